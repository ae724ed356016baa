package capture

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
)

func TestFileThatChangesWhileItIsRead(t *testing.T) {
	for changes, warning := range map[int][]string{1: nil, maxAgain: nil, 100: {"file: it changed each of the 4 times"}} {
		r, dir := emptyRig(t)
		write(t, dir+"/file", strings.Repeat("x", 100_000))
		left, reads := changes, 0
		r.o.trace = func(op, path string) {
			if op != "read" {
				return
			}
			if reads++; left > 0 {
				left--
				write(t, dir+"/file", strings.Repeat("y", 100_000+reads))
			}
		}
		v := r.run(warning...)
		if want := 1 + min(changes, maxAgain); reads != want {
			t.Errorf("%d changes: read %d times, want %d", changes, reads, want)
		}
		_, e := only(t, r, v)
		data, _ := r.content(&e)
		if uint64(len(data)) != e.Size || (warning != nil) != e.Racy {
			t.Errorf("%d changes: %d bytes for size %d, racy %v", changes, len(data), e.Size, e.Racy)
		}
		r.o.trace = nil
		v = r.run()
		_, e = only(t, r, v)
		want, err := os.ReadFile(dir + "/file")
		must(t, err)
		if data, _ := r.content(&e); !bytes.Equal(data, want) {
			t.Errorf("%d changes: the next version has not the file as it is", changes)
		}
	}
}

// only returns the one regular file of a version.
func only(t *testing.T, r *rig, v *snapshot.Version) (path string, e snapshot.Entry) {
	t.Helper()
	for p, e := range r.entries(v) {
		if e.IsRegular() {
			return p, e
		}
	}
	t.Fatal("there is no file")
	return "", e
}

func TestLinkThatIsReplacedWhileItIsRead(t *testing.T) {
	r, dir := emptyRig(t)
	must(t, os.Symlink("there", dir+"/link"))
	left := maxAgain
	r.o.trace = func(op, _ string) {
		if op == "other" && left > 0 {
			must(t, os.Symlink("there"+strings.Repeat("/and/on", left), dir+"/other"))
			must(t, os.Rename(dir+"/other", dir+"/link"))
			left--
		}
	}
	e := r.entries(r.run())["link"]
	st, err := statPath(dir+"/link", unix.AT_SYMLINK_NOFOLLOW)
	must(t, err)
	if string(e.Target) != "there/and/on" || e.Size != st.size || e.Ino != st.ino || e.Ctime != st.ctime {
		t.Errorf("it leads to %q, of %d bytes, and is file %d; at the source it has %d bytes, and is file %d", e.Target, e.Size, e.Ino, st.size, st.ino)
	}
}

// A fifo through which data goes has other times at each look.
func TestFifoOrDeviceThatIsWrittenToAllTheTimeIsKept(t *testing.T) {
	r, dir := emptyRig(t)
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	must(t, unix.Mknod(dir+"/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	now := time.Now().Add(-time.Hour).Truncate(time.Second)
	r.o.trace = func(_, path string) {
		now = now.Add(time.Second)
		must(t, os.Chtimes(dir+"/"+path, now, now))
	}
	all := r.entries(r.run())
	for _, name := range []string{"fifo", "device"} {
		if e, ok := all[name]; !ok || !e.Racy {
			t.Errorf("%s: %+v", name, e)
		}
	}
	r.o.trace = nil
	all = r.entries(r.run())
	for _, name := range []string{"fifo", "device"} {
		st, err := statPath(dir+"/"+name, lookOnly)
		must(t, err)
		if e := all[name]; e.Mtime != st.mtime || e.Ctime != st.ctime || e.Racy {
			t.Errorf("%s: %+v; at the source it has the times %v and %v", name, e, st.mtime, st.ctime)
		}
	}
}

func TestFileThatIsCutOffWhileItIsRead(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", strings.Repeat("x", 5<<20))
	size := int64(5 << 20)
	r.o.trace = func(op, path string) {
		if op == "read" {
			size = max(size-1<<20, 0)
			must(t, os.Truncate(dir+"/file", size))
		}
	}
	v := r.run()
	_, e := only(t, r, v)
	if data, _ := r.content(&e); uint64(len(data)) != e.Size || e.Size > 4<<20 {
		t.Errorf("%d bytes for size %d", len(data), e.Size)
	}
}

func TestFileWithAWriterAtWork(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", strings.Repeat("x", 1<<20))
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		f, err := os.OpenFile(dir+"/file", os.O_WRONLY|os.O_APPEND, 0)
		for err == nil {
			select {
			case <-stop:
				done <- f.Close()
				return
			default:
				_, err = f.WriteString("more")
			}
		}
		done <- err
	}()
	v, err := r.try(t.Context())
	close(stop)
	must(t, errors.Join(err, <-done))
	_, e := only(t, r, v)
	if data, _ := r.content(&e); uint64(len(data)) != e.Size || e.Size < 1<<20 {
		t.Errorf("%d bytes for size %d", len(data), e.Size)
	}
}

func TestNameThatVanishesOrTurnsIntoSomethingElse(t *testing.T) {
	r, dir := emptyRig(t)
	for _, n := range []string{"gone", "fifo", "folder", "link", "swapped"} {
		write(t, dir+"/"+n, n)
	}
	swapped := false
	r.o.Limiter = noLimit // no looking ahead: each file is opened in its turn
	r.o.trace = func(op, path string) {
		if op != "open" {
			return
		}
		switch p := dir + "/" + path; path {
		case "gone":
			must(t, os.Remove(p))
		case "fifo":
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o600))
		case "folder":
			must(t, os.Remove(p))
			write(t, p+"/inside/file", "x")
		case "link":
			must(t, os.Remove(p))
			must(t, os.Symlink("gone", p))
		case "swapped":
			if !swapped {
				swapped = true
				write(t, p+".new", "swapped again")
				must(t, os.Rename(p+".new", p))
			}
		}
	}
	v := r.run()
	want := []string{"fifo", "folder/", "folder/inside/", "folder/inside/file", "link", "swapped"}
	if got := r.paths(v, dir); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	e := r.entries(v)["swapped"]
	if data, _ := r.content(&e); string(data) != "swapped again" {
		t.Errorf("%q", data)
	}
}

func TestFileThatIsReplacedForEverIsSkipped(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	r.o.Limiter = noLimit
	r.o.trace = func(op, path string) {
		write(t, dir+"/new", "y")
		must(t, os.Rename(dir+"/new", dir+"/"+path))
	}
	if v := r.run("file: it is skipped: replaced while"); v.Skipped != 1 {
		t.Errorf("%+v", v)
	}
}

func TestFolderThatVanishesWhileItIsWalked(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/a/1", "x")
	write(t, dir+"/a/2", "x")
	write(t, dir+"/b/1", "x")
	r.o.Limiter, r.o.Walkers = noLimit, 1
	r.o.trace = func(op, path string) {
		if op == "open" && path == "a/1" {
			must(t, os.RemoveAll(dir+"/a"))
			must(t, os.RemoveAll(dir+"/b"))
		}
	}
	if got := r.paths(r.run(), dir); !slices.Equal(got, []string{"a/"}) {
		t.Errorf("%q", got)
	}
}

func TestFolderThatIsRemovedWhileItIsListedIsGone(t *testing.T) {
	r, point := emptyRig(t)
	must(t, os.Mkdir(point+"/dir", 0o755))
	dir, err := os.Open(point + "/dir")
	must(t, err)
	defer dir.Close()
	must(t, os.Remove(point+"/dir"))
	src, err := openSource(t.Context(), r.o.Partition, r.o.clock)
	must(t, err)
	defer src.close()
	put, err := r.vault.Writer(r.o.Instance.ID, store.WriterOptions{Encoding: pack.LZ4})
	must(t, err)
	defer put.Close()
	w, err := newWalker(r.vault, put, &r.o, src)
	must(t, err)
	err = w.walk(t.Context(), directory{fd: int(dir.Fd()), vol: volume{dev: src.root.dev}, at: w.filter.root, depth: 1, encrypted: -1}, &snapshot.Entry{}, nil)
	if err == nil || !fromSource(err) || !vanished(err) || w.warnings.count > 0 {
		t.Errorf("%v, warnings are %v", err, w.warnings.list)
	}
}
