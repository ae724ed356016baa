package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
)

func TestUnreadableFilesAndFolders(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/closed/file", "x")
	write(t, dir+"/secret", "x")
	write(t, dir+"/open", "x")
	must(t, os.Chmod(dir+"/closed", 0))
	must(t, os.Chmod(dir+"/secret", 0))
	letThrough(t, dir)
	// The walk is one goroutine then: on a thread that accesses files as nobody it is refused, and may not suppress access times.
	asNobody := func(do func()) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		must(t, unix.Setfsuid(65534))
		defer unix.Setfsuid(0)
		do()
	}
	r.o.Walkers = 1
	var v *snapshot.Version
	asNobody(func() {
		v = r.run("closed: the folder cannot be opened: permission denied", "secret: it is skipped: open: permission denied")
	})
	if got := r.paths(v, dir); !slices.Equal(got, []string{"closed/", "open"}) || v.Skipped != 1 {
		t.Errorf("%q, %d skipped", got, v.Skipped)
	}
	compare(t, r, r.run(), dir)
}

func TestFileWithABadBlockIsSkipped(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/fine", "x")
	const size, bad = 4 << 20, 5 << 19
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{3}).Read(content)
	write(t, point+"/torn", string(content))
	unix.Sync()
	// What was written with a checksum and then changed behind the file system's back reads as an error once it is no more in the cache.
	image := filepath.Join(filepath.Dir(point), "image")
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	var at int64
	for b := make([]byte, 4096); !bytes.Equal(b, content[bad:bad+4096]); at += int64(len(b)) {
		at, err = f.Seek(at, unix.SEEK_DATA)
		must(t, err)
		_, err = f.ReadAt(b, at)
		must(t, err)
	}
	_, err = f.WriteAt(make([]byte, 4096), at-4096)
	must(t, errors.Join(err, f.Close()))
	f, err = os.Open(point + "/torn")
	must(t, err)
	must(t, errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()))
	r := newRig(t, point)
	v := r.run(fmt.Sprintf("torn: it is skipped: read at offset %d: input/output error", bad))
	if got := r.paths(v, point); !slices.Equal(got, []string{"fine"}) || v.Skipped != 1 {
		t.Errorf("%q, %d skipped", got, v.Skipped)
	}
}

func TestFullVaultCommitsNothing(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	r.run()
	noise := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{2}).Read(noise)
	write(t, dir+"/file", string(noise))
	r.mem.SetCapacity(1 << 20)
	w, err := r.vault.Writer(r.o.Instance.ID, store.WriterOptions{})
	must(t, err)
	defer w.Close()
	o := r.o
	o.Parent = r.last
	if _, err := Run(t.Context(), r.vault, w, o); !errors.Is(err, store.ErrNoSpace) {
		t.Error(err)
	}
	if got := r.vault.Versions(r.o.Instance.ID); len(got) != 1 {
		t.Errorf("versions %v", got)
	}
	r.mem.SetCapacity(0)
}

func TestWarningsAreCapped(t *testing.T) {
	var w warnings
	for range 2 * snapshot.MaxWarnings {
		w.add([]byte("x"), "y")
	}
	if len(w.list) != snapshot.MaxWarnings || w.count != 2*snapshot.MaxWarnings {
		t.Errorf("%d of %d", len(w.list), w.count)
	}
	var long, all warnings
	for range snapshot.MaxWarnings {
		long.add(bytes.Repeat([]byte("\x01"), 4000), "y")
	}
	all.append(&long)
	b, err := json.Marshal(all.list)
	if err != nil || len(b) > pack.MaxRaw/2 || len(all.list) == 0 || all.count != snapshot.MaxWarnings {
		t.Errorf("%d of %d, %d bytes, %v", len(all.list), all.count, len(b), err)
	}
}

func TestPrintablePaths(t *testing.T) {
	for in, want := range map[string]string{
		"": ".", "etc/hosts": "etc/hosts", "ünï/日本": "ünï/日本", "a b": "a b", "a\nb": `"a\nb"`, "\xff": `"\xff"`, `"x`: `"\"x"`, "a\u202eb": `"a\u202eb"`,
		`a\b`: `a\b`,
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
