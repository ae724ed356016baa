package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"yester/store/pack"
	"yester/store/place"
)

const machine = "0123456789abcdef0123456789abcdef"

// a vault in a folder, with its index in another
type testVault struct {
	*Vault
	t   *testing.T
	dir string
	log *logBuffer
}

// A logBuffer keeps what is logged, also in the background.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newVault(t *testing.T) *testVault {
	tv := &testVault{t: t, dir: t.TempDir(), log: new(logBuffer)}
	if err := os.Mkdir(tv.vaultDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Init(t.Context(), tv.options()); err != nil {
		t.Fatal(err)
	}
	tv.open()
	t.Cleanup(func() {
		if err := tv.Close(); err != nil {
			t.Error(err)
		}
	})
	return tv
}

func (tv *testVault) vaultDir() string { return filepath.Join(tv.dir, "vault") }
func (tv *testVault) indexDir() string { return filepath.Join(tv.dir, "index") }

func (tv *testVault) options() Options {
	p, err := place.NewDir(tv.vaultDir())
	if err != nil {
		tv.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(tv.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return Options{Places: []place.Place{p}, IndexDir: tv.indexDir(), Log: log, Reserve: 1}
}

func (tv *testVault) open() {
	tv.t.Helper()
	v, err := Open(tv.t.Context(), tv.options())
	if err != nil {
		tv.t.Fatal(err)
	}
	tv.Vault = v
}

func (tv *testVault) reopen() {
	tv.t.Helper()
	if err := tv.Close(); err != nil {
		tv.t.Fatal(err)
	}
	tv.open()
}

// quiet fails the test if anything was logged as a warning or worse.
func (tv *testVault) quiet() {
	tv.t.Helper()
	if tv.log.String() != "" {
		tv.t.Errorf("unexpected log:\n%s", tv.log)
	}
}

func (tv *testVault) writer(o WriterOptions) *Writer {
	tv.t.Helper()
	w, err := tv.Writer(machine, o)
	if err != nil {
		tv.t.Fatal(err)
	}
	return w
}

// store puts chunks and commits them as a version.
func (tv *testVault) store(version string, o WriterOptions, chunks [][]byte) (ids []ID, s Stats) {
	tv.t.Helper()
	w := tv.writer(o)
	for _, c := range chunks {
		id, _, err := w.Put(tv.t.Context(), pack.KindFile, c)
		if err != nil {
			tv.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := w.Commit(tv.t.Context(), key(version), []byte("record of "+version)); err != nil {
		tv.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tv.t.Fatal(err)
	}
	return ids, w.Stats()
}

func (tv *testVault) holds(ids []ID, chunks [][]byte) {
	tv.t.Helper()
	for i, id := range ids {
		b, err := tv.Get(tv.t.Context(), id)
		if err != nil || !bytes.Equal(b, chunks[i]) {
			tv.t.Fatalf("chunk %d of %d: %d bytes, %v; want %d bytes", i, len(ids), len(b), err, len(chunks[i]))
		}
	}
}

func key(version string) VersionKey { return VersionKey{machine, "root", version} }

// someChunks are n chunks of up to max bytes, half of them text-like.
func someChunks(seed uint64, n, max int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	chunks := make([][]byte, n)
	for i := range chunks {
		c := make([]byte, 8, 8+max)
		for n := r.IntN(max); len(c) < n; {
			x := r.Uint64()
			if i%2 == 0 {
				x &= 0x0303030303030303
			}
			c = binary.LittleEndian.AppendUint64(c, x)
		}
		binary.LittleEndian.PutUint64(c, r.Uint64())
		chunks[i] = c
	}
	return chunks
}

func TestWhatWasPutComesBack(t *testing.T) {
	for _, o := range []WriterOptions{
		{Encoding: pack.Raw}, {Encoding: pack.LZ4}, {Encoding: pack.Zstd}, {Encoding: pack.LZ4, Workers: 3},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			tv := newVault(t)
			n := uint64(280) // some 55 MB, so several packs
			if oneIn(2) == 1 {
				n = 400
			}
			chunks := someChunks(1, int(n), 400_000)
			ids, s := tv.store("v1", o, chunks)
			if s.Chunks != n || s.NewChunks != n || s.Stored == 0 {
				t.Errorf("stats %+v", s)
			}
			tv.holds(ids, chunks)
			tv.reopen()
			tv.holds(ids, chunks)
			record, err := tv.Record(t.Context(), key("v1"))
			if err != nil || string(record) != "record of v1" {
				t.Errorf("record %q, %v", record, err)
			}
			info, err := tv.Info(t.Context())
			if err != nil || info.Versions != 1 || info.Chunks != n || info.Packs < 2 || info.Instances != 1 {
				t.Errorf("info %+v, %v", info, err)
			}
			tv.quiet()
		})
	}
}

func TestEqualChunksAreStoredOnce(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(2, 50, 10_000)
	first, _ := tv.store("v1", WriterOptions{Workers: 2}, append(slices.Clone(chunks), chunks...))
	second, s := tv.store("v2", WriterOptions{}, chunks)
	if !slices.Equal(first[:50], second) || !slices.Equal(first[50:], second) {
		t.Error("ids differ")
	}
	if s.NewChunks != 0 || s.NewRaw != 0 {
		t.Errorf("second time: %+v", s)
	}
	if s.Stored > 24<<10 {
		t.Errorf("a version without anything new takes %d bytes", s.Stored)
	}
	tv.quiet()
}

func TestManyCallersPutAtOnce(t *testing.T) {
	tv := newVault(t)
	w := tv.writer(WriterOptions{Encoding: pack.LZ4, Workers: 2})
	chunks := someChunks(3, 300, 50_000)
	ids := make([]ID, len(chunks))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range chunks {
				id, _, err := w.Put(t.Context(), pack.KindFile, chunks[i])
				if err != nil {
					t.Error(err)
					return
				}
				if g == 0 {
					ids[i] = id
				}
			}
		})
	}
	wg.Wait()
	if err := w.Commit(t.Context(), key("v1"), nil); err != nil {
		t.Fatal(err)
	}
	if s := w.Stats(); s.NewChunks != 300 || s.Chunks != 1200 {
		t.Errorf("stats %+v", s)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tv.holds(ids, chunks)
}

func TestChunksPutLaterAreThoseOfPut(t *testing.T) {
	chunks := someChunks(5, 200, 60_000)
	all := append(slices.Clone(chunks), chunks...)
	for _, workers := range []int{0, 2} {
		tv := newVault(t)
		w := tv.writer(WriterOptions{Encoding: pack.LZ4, Workers: workers})
		var tickets []*Ticket
		var mine []byte
		for _, c := range all {
			mine = append(mine[:0], c...)
			ticket := NewTicket()
			w.PutLater(t.Context(), pack.KindFile, mine, ticket)
			clear(mine) // it is the caller's again
			tickets = append(tickets, ticket)
		}
		for i, ticket := range tickets {
			id, err := ticket.ID()
			if own := tv.hash.id(all[i]); err != nil || id != own {
				t.Fatalf("chunk %d with %d workers: %v, %v; want %v", i, workers, id, err, own)
			}
		}
		must(t, w.Commit(t.Context(), key("v1"), nil))
		if s := w.Stats(); s.NewChunks != uint64(len(chunks)) || s.Chunks != uint64(len(all)) {
			t.Errorf("stats %+v", s)
		}
		must(t, w.Close())
		for i, c := range all {
			tv.holds([]ID{tv.hash.id(c)}, all[i:i+1])
		}
	}
}

// A pack takes more memory when none of its frames is being sealed: one that is would be written where the pack no longer is.
func TestPackGrowsWhenItsFramesAreSealed(t *testing.T) {
	tv := newVault(t)
	chunks := [][]byte{bytes.Repeat([]byte{1}, 300_000), bytes.Repeat([]byte{2}, 300_000)} // the first needs 512 KiB
	frame := func(i int) pack.Frame {
		return pack.Frame{Chunk: tv.hash.id(chunks[i]), Kind: pack.KindFile, Raw: uint32(len(chunks[i]))}
	}
	w := tv.writer(WriterOptions{Workers: 2})
	p := w.packers[0]
	must(t, p.ready(1, len(chunks[0])))
	slow := p.filling.Reserve(frame(0), len(chunks[0]))
	p.sealing.Add(1)
	appended := make(chan error)
	go func() { appended <- p.append(frame(1), chunks[1]) }()
	select {
	case <-appended:
		t.Fatal("it was not waited for")
	case <-time.After(50 * time.Millisecond):
	}
	slow.Seal(chunks[0])
	p.sealing.Done()
	must(t, <-appended)
	must(t, w.Commit(t.Context(), key("v1"), nil))
	must(t, w.Close())
	for i := range chunks {
		tv.holds([]ID{frame(i).Chunk}, chunks[i:i+1])
	}
}

func TestCancelledContextPutsNothingLater(t *testing.T) {
	tv := newVault(t)
	w := tv.writer(WriterOptions{Workers: 2})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ticket := NewTicket()
	w.PutLater(ctx, pack.KindFile, make([]byte, 50_000), ticket)
	if _, err := ticket.ID(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, w.Close())
	if s := w.Stats(); s.Chunks != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestWriterClosedWithoutCommitLosesNothing(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(4, 20, 10_000)
	w := tv.writer(WriterOptions{Workers: 1})
	for _, c := range chunks {
		if _, _, err := w.Put(t.Context(), pack.KindTree, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if len(tv.Versions(machine)) != 0 {
		t.Error("a version without a commit")
	}
	if _, s := tv.store("v1", WriterOptions{}, chunks); s.NewChunks != 0 {
		t.Errorf("stored again: %+v", s)
	}
}

func TestAbandonedWriterDropsWhatIsInNoPackAndHoldsNothing(t *testing.T) {
	tv := newVault(t)
	chunk := someChunks(1, 1, 100<<10)[0]
	w := tv.writer(WriterOptions{Workers: 2})
	if _, isNew, err := w.Put(t.Context(), pack.KindFile, chunk); err != nil || !isNew {
		t.Fatalf("got %v, %v", isNew, err)
	}
	w.Abandon()
	w.workers.Wait()
	if n := len(tv.holding.writers); n != 0 {
		t.Errorf("%d writers are open", n)
	}
	w = tv.writer(WriterOptions{})
	if _, isNew, err := w.Put(t.Context(), pack.KindFile, chunk); err != nil || !isNew {
		t.Errorf("the next one: new %v, %v", isNew, err)
	}
	must(t, w.Close())
}

func TestCommitIsRefusedTwice(t *testing.T) {
	tv := newVault(t)
	tv.store("v1", WriterOptions{}, nil)
	w := tv.writer(WriterOptions{})
	defer w.Close()
	if err := w.Commit(t.Context(), key("v1"), nil); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
}

func TestCancelledContextPutsNothing(t *testing.T) {
	tv := newVault(t)
	w := tv.writer(WriterOptions{})
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Put(ctx, pack.KindFile, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if err := w.Commit(ctx, key("v1"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if len(tv.Versions(machine)) != 0 {
		t.Error("committed")
	}
}

func TestVersionsAreListedAndWatched(t *testing.T) {
	tv := newVault(t)
	var seen []string
	stop := tv.Watch(func(k VersionKey, there bool) { seen = append(seen, fmt.Sprint(k.Version, there)) })
	tv.store("v2", WriterOptions{}, nil)
	tv.store("v1", WriterOptions{}, nil)
	if err := tv.Delete(t.Context(), key("v2")); err != nil {
		t.Fatal(err)
	}
	stop()
	tv.store("v3", WriterOptions{}, nil)
	if want := []string{"v2true", "v1true", "v2false"}; !slices.Equal(seen, want) {
		t.Errorf("watched %v, want %v", seen, want)
	}
	want := []VersionKey{key("v1"), key("v3")}
	if got := tv.Versions(machine); !slices.Equal(got, want) {
		t.Errorf("versions %v, want %v", got, want)
	}
	tv.reopen()
	if got := tv.Versions(machine); !slices.Equal(got, want) {
		t.Errorf("versions after opening again %v, want %v", got, want)
	}
	if _, err := tv.Record(t.Context(), key("v2")); !errors.Is(err, ErrNotFound) {
		t.Errorf("record of a deleted version: %v", err)
	}
}

// What a deletion takes away under who reads it is no damage.
func TestRecordOfAVersionThatIsBeingDeletedIsNotFound(t *testing.T) {
	log := new(logBuffer)
	p := &disturbed{Place: place.NewMem(1)}
	v := openNew(t, Options{
		Places: []place.Place{p}, Log: slog.New(slog.NewTextHandler(log, nil)), Reserve: 1,
		OnTrouble: func(tr Trouble) { t.Errorf("told of %+v", tr) },
	})
	tv := &testVault{Vault: v, t: t, log: log}
	tv.version("v1", someChunks(1, 3, 1000))
	tv.version("v2", someChunks(2, 3, 1000))
	p.before = func() { tv.delete("v1") }
	if _, err := v.Record(t.Context(), key("v1")); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	p.before = func() { tv.delete("v2") }
	tv.collect()
	if p.before != nil {
		t.Error("the collection opened nothing")
	}
	tv.quiet()
}

func TestRecordUnderAnotherNameIsTold(t *testing.T) {
	tv := newVault(t)
	tv.store("v1", WriterOptions{}, nil)
	tv.store("v2", WriterOptions{}, nil)
	name := func(v string) string { return filepath.Join(tv.vaultDir(), key(v).file()) }
	if err := os.Rename(name("v1"), name("v2")); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.Record(t.Context(), key("v2")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestInstancesKeepTheirDescription(t *testing.T) {
	tv := newVault(t)
	in := Instance{ID: machine, Name: "web1", Platform: "linux/amd64"}
	if err := tv.PutInstance(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	got, err := tv.Instances(t.Context())
	if err != nil || !slices.Equal(got, []Instance{in}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
