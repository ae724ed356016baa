package store

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/store/place"
)

// A tightVault has its index on a small disk of its own, that is filled while packs are looked at.
type tightVault struct {
	testVault
	filling
}

// A filling is a place that fills something whenever a pack is opened.
type filling struct {
	*place.Mem
	fill func()
}

func (p *filling) Open(ctx context.Context, name string) (place.File, error) {
	if isPack(name) && p.fill != nil {
		p.fill()
	}
	return p.Mem.Open(ctx, name)
}

func newTightVault(t *testing.T) *tightVault {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("yester-test", dir, "tmpfs", 0, "size=100m,nr_inodes=1000"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	tv := &tightVault{testVault{t: t, dir: dir, log: new(logBuffer)}, filling{Mem: place.NewMem(newSeed(t))}}
	must(t, Init(t.Context(), tv.options()))
	must(t, tv.open())
	t.Cleanup(func() { must(t, tv.Close()) })
	return tv
}

func (tv *tightVault) options() Options {
	log := slog.New(slog.NewTextHandler(tv.log, nil))
	return Options{Places: []place.Place{&tv.filling}, IndexDir: tv.indexDir(), Log: log, Reserve: 1}
}

func (tv *tightVault) open() error {
	v, err := Open(tv.t.Context(), tv.options())
	if err == nil {
		tv.Vault = v
	}
	return err
}

// full fills the disk of the index, so that it could just be written.
func (tv *tightVault) full(name string) {
	tv.t.Helper()
	file := filepath.Join(tv.dir, name)
	must(tv.t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(tv.t, os.WriteFile(file, make([]byte, 50<<20), 0o600))
}

// fillDisk fills the disk of the index to the last byte.
func (tv *tightVault) fillDisk(name string) {
	tv.t.Helper()
	if err := os.WriteFile(filepath.Join(tv.dir, name), make([]byte, 110<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		tv.t.Fatalf("the disk is not full: %v", err)
	}
}

// breakIndex closes the vault and has its index not be what it was when it was closed.
func (tv *tightVault) breakIndex() {
	tv.t.Helper()
	must(tv.t, tv.Close())
	must(tv.t, os.WriteFile(filepath.Join(tv.indexDir(), cleanFile), nil, 0o600))
}

func TestIndexIsNotMadeAnewOnAFullDisk(t *testing.T) {
	tv := newTightVault(t)
	chunks := someChunks(1, 20, 10_000)
	ids, _ := tv.store("v1", WriterOptions{}, chunks)
	tv.fill = func() { tv.full("other") }
	if _, err := tv.RebuildIndex(t.Context(), nil); !errors.Is(err, ErrIndexSpace) || !errors.Is(err, ErrNoSpace) {
		t.Errorf("made anew: %v", err)
	}
	must(t, os.Remove(filepath.Join(tv.dir, "other")))
	tv.breakIndex()
	for range 2 {
		if err := tv.open(); !errors.Is(err, ErrNoSpace) || errors.Is(err, errIndex) {
			t.Errorf("opened: %v", err)
		}
	}
	tv.fill = nil
	must(t, os.Remove(filepath.Join(tv.dir, "other")))
	must(t, tv.open())
	tv.holds(ids, chunks)
}

func TestBrokenIndexGivesWayToTheNewOne(t *testing.T) {
	for name, when := range map[string]func(tv *tightVault){
		"at the start":      func(tv *tightVault) { tv.full("index.broken/big") },
		"while it is made":  func(tv *tightVault) { tv.fill = func() { tv.full("index.broken/big") } },
		"found by a writer": func(*tightVault) {},
	} {
		t.Run(name, func(t *testing.T) {
			tv := newTightVault(t)
			chunks := someChunks(1, 20, 10_000)
			ids, _ := tv.store("v1", WriterOptions{}, chunks)
			tv.breakIndex()
			when(tv)
			if err := tv.open(); err != nil {
				t.Fatal(err)
			}
			tv.fill = nil
			tv.holds(ids, chunks)
			if name == "found by a writer" {
				tv.full("index.broken/big")
				tv.store("v2", WriterOptions{}, someChunks(2, 3, 10_000))
			}
			if _, err := os.Lstat(filepath.Join(tv.guard.aside(), "big")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is there: %v", err)
			}
		})
	}
}

func TestWhatCannotBeNotedAsCleanIsNotBroken(t *testing.T) {
	tv := newTightVault(t)
	tv.fillDisk("other")
	if err := tv.guard.clean(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("noted: %v", err)
	}
	must(t, os.Remove(filepath.Join(tv.dir, "other")))
	if clean, err := tv.guard.inspect(); clean || err != nil {
		t.Errorf("clean: %v, %v", clean, err)
	}
	for range 2 { // nor is it by what is left of the note
		must(t, tv.Close())
		must(t, tv.open())
	}
	if strings.Contains(tv.log.String(), "made anew") {
		t.Error("the index was made anew")
	}
}

// Badger ends the process when it cannot make its next file.
func TestIndexIsNotWrittenWhereItCannotMakeFiles(t *testing.T) {
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	full := func(tv *tightVault) string { return filepath.Join(tv.dir, "full") }
	for name, c := range map[string]struct {
		want        error
		begin, over func(tv *tightVault)
	}{
		"no inodes": {ErrIndexSpace, func(tv *tightVault) {
			for i := range 950 {
				must(t, os.MkdirAll(filepath.Join(full(tv), strconv.Itoa(i)), 0o700))
			}
		}, func(tv *tightVault) { must(t, os.RemoveAll(full(tv))) }},
		"no descriptors": {unix.EMFILE, func(*tightVault) {
			must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
		}, func(*tightVault) { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }},
	} {
		t.Run(name, func(t *testing.T) {
			tv := newTightVault(t)
			w := tv.writer(WriterOptions{})
			t.Cleanup(func() { _ = w.Close() })
			ids := tv.put(w, someChunks(1, 20, 1000))
			c.begin(tv)
			t.Cleanup(func() { c.over(tv) })
			err := w.Flush(t.Context())
			c.over(tv)
			if !errors.Is(err, c.want) {
				t.Errorf("written: %v", err)
			}
			if _, found, err := tv.index.find(ids[0]); found || err != nil {
				t.Errorf("the index has it: %v, %v", found, err)
			}
			if strings.Contains(tv.log.String(), "the index is broken") {
				t.Error("the index is in doubt")
			}
			chunks := someChunks(2, 20, 1000)
			ids, _ = tv.store("v1", WriterOptions{}, chunks)
			tv.holds(ids, chunks)
		})
	}
}

// On a full disk a collection removes what it may, and writes nothing to the index.
func TestCollectOnAFullDiskLeavesTheIndexAlone(t *testing.T) {
	tv := newTightVault(t)
	chunks := someChunks(1, 20, 10_000)
	tv.version("v1", chunks)
	tv.version("v2", chunks[1:])
	tv.delete("v1")
	dead := func() (sum uint64) {
		t.Helper()
		_, uses, err := tv.index.known()
		must(t, err)
		for _, u := range uses {
			sum += u.dead
		}
		return sum
	}
	tv.full("other")
	c, err := tv.Collect(t.Context(), CollectOptions{Mark: flat})
	if err != nil || c.Dead == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if at, err := tv.collected(); err != nil || !at.IsZero() || dead() > 0 {
		t.Errorf("the index says %v, %d bytes dead, %v", at, dead(), err)
	}
	must(t, os.Remove(filepath.Join(tv.dir, "other")))
	if c, err = tv.Collect(t.Context(), CollectOptions{Mark: flat}); err != nil || dead() != c.Dead {
		t.Errorf("%+v, %v, the index says %d bytes dead", c, err, dead())
	}
}
