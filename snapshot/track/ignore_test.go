package track

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forEachType runs a test with a journal of each kind of file system, which takes a folder with eight changed names for busy. Its set begins with old being there
// already, with file and twin, which are one file.
func forEachType(t *testing.T, f func(t *testing.T, j *Journal, point string)) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			path := image(t)
			if _, err := exec.LookPath("mkfs." + fstype); err != nil {
				t.Skipf("needs mkfs.%s", fstype)
			}
			must(t, os.Truncate(path, 400<<20))
			force := map[string]string{"ext4": "-F", "xfs": "-f", "btrfs": "-f"}[fstype]
			run(t, "mkfs."+fstype, "-q", force, path)
			point := mounted(t, path)
			must(t, os.Mkdir(point+"/old", 0o755))
			touch(t, point+"/old/file")
			must(t, os.Link(point+"/old/file", point+"/old/twin"))
			j := open(t, point)
			j.Busy(8)
			f(t, j, point)
		})
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte("1"), 0o644))
}

// makeBusy makes a folder, and files in it until it is ignored: the n-th.
func makeBusy(t *testing.T, j *Journal, dir string, n int) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	begin := time.Now()
	for i := 0; j.Report().Ignored < n; i++ {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%s is not ignored: %+v", dir, j.Report())
		}
		touch(t, fmt.Sprintf("%s/f%d", dir, i))
	}
	j.Peek()
}

// heardOf tells how many events an action causes.
func heardOf(j *Journal, action func()) uint64 {
	j.Peek()
	before := j.Report().Events
	action()
	j.Peek()
	return j.Report().Events - before
}

func handle(t *testing.T, path string) string {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	must(t, err)
	return string(handleKey(nil, h.Type(), h.Bytes()))
}

// wholes are the folders that are wholly dirty, by their handles.
func wholes(t *testing.T, s *Set) (all []string) {
	must(t, s.Folders(func(h unix.FileHandle, isWhole bool, _ []string, _ []bool) error {
		if isWhole {
			all = append(all, string(handleKey(nil, h.Type(), h.Bytes())))
		}
		return nil
	}))
	return all
}

func touched(t *testing.T, s *Set, file string) (is bool) {
	must(t, s.Files(func(h unix.FileHandle) error {
		is = is || string(handleKey(nil, h.Type(), h.Bytes())) == file
		return nil
	}))
	return is
}

func TestBusyNewFolderIsIgnoredUntilTheCut(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		hot := point + "/hot"
		makeBusy(t, j, hot, 1)
		if n := heardOf(j, func() {
			for i := range 100 {
				name := fmt.Sprintf("%s/g%d", hot, i)
				touch(t, name)
				must(t, os.Chmod(name, 0o600))
				must(t, os.Truncate(name, 0))
			}
			must(t, os.Symlink("x", hot+"/symlink"))
		}); n != 0 {
			t.Errorf("%d events", n)
		}
		s := cut(t, j)
		if got := wholes(t, s); !slices.Equal(got, []string{handle(t, hot)}) || s.Unknown() != "" || j.Report().Ignored != 0 {
			t.Errorf("wholly dirty: %q; %q, %+v", got, s.Unknown(), j.Report())
		}
		touch(t, hot+"/heard")
		if s := cut(t, j); !slices.Equal(names(t, s), []string{"heard"}) || len(wholes(t, s)) > 0 {
			t.Errorf("%q", names(t, s))
		}
	})
}

// What leads from an ignored folder to elsewhere is heard: files that have or get other names, and folders.
func TestWhatReachesBeyondAnIgnoredFolderIsHeard(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		hot := point + "/hot"
		makeBusy(t, j, hot, 1)
		for what, action := range map[string]func(){
			"a file is linked there":   func() { must(t, os.Link(point+"/old/file", hot+"/file")) },
			"a file is unlinked there": func() { must(t, os.Remove(hot+"/f1")) },
			"a file is moved there":    func() { must(t, os.Rename(hot+"/f2", point+"/old/f2")) },
			"a file is moved away":     func() { must(t, os.Rename(point+"/old/twin", hot+"/twin")) },
			"a folder is made there":   func() { must(t, os.Mkdir(hot+"/sub", 0o755)) },
			"its own attributes":       func() { must(t, os.Chmod(hot, 0o700)) },
			"itself is moved":          func() { must(t, os.Rename(hot, point+"/old/hot")); must(t, os.Rename(point+"/old/hot", hot)) },
		} {
			if n := heardOf(j, action); n == 0 {
				t.Errorf("%s, and nothing is heard", what)
			}
		}
		if n := heardOf(j, func() { touch(t, hot+"/sub/file") }); n == 0 {
			t.Error("what is done in a folder in it is not heard")
		}
		s := cut(t, j)
		for _, path := range []string{"/old/file", "/old/f2", "/hot/twin"} {
			if !touched(t, s, handle(t, point+path)) {
				t.Errorf("%s is not among the touched files", path)
			}
		}
	})
}

// A file that loses its name in an ignored folder while it is open, and lives on by another, is among the touched ones.
func TestFileWithoutItsNameInAnIgnoredFolderIsTouched(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		hot := point + "/hot"
		makeBusy(t, j, hot, 1)
		must(t, os.Link(point+"/old/file", hot+"/name"))
		f, err := os.OpenFile(hot+"/name", os.O_WRONLY, 0)
		must(t, err)
		must(t, os.Remove(hot+"/name"))
		_, err = f.WriteString("22")
		must(t, err)
		must(t, f.Close())
		fd, err := unix.Open(hot, unix.O_TMPFILE|unix.O_WRONLY, 0o644)
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, point+"/old/tmp", unix.AT_SYMLINK_FOLLOW))
		_, err = unix.Write(fd, []byte("1"))
		must(t, err)
		must(t, unix.Close(fd))
		s := cut(t, j)
		for _, name := range []string{"file", "tmp"} {
			if !touched(t, s, handle(t, point+"/old/"+name)) {
				t.Errorf("%s is not among the touched files", name)
			}
		}
	})
}

// A mark is that of the folder, not of its place, and does not outlive it.
func TestFolderIsIgnoredWhereverItIs(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		hot, moved := point+"/hot", point+"/old/moved"
		makeBusy(t, j, hot, 1)
		must(t, os.Rename(hot, moved))
		if n := heardOf(j, func() { touch(t, moved+"/ignored") }); n != 0 {
			t.Errorf("%d events where it was moved to", n)
		}
		must(t, os.Mkdir(hot, 0o755))
		if n := heardOf(j, func() { touch(t, hot+"/heard") }); n == 0 {
			t.Error("another folder in its place is not heard")
		}
		must(t, os.RemoveAll(moved))
		must(t, os.Mkdir(moved, 0o755))
		if n := heardOf(j, func() { touch(t, moved+"/heard too") }); n == 0 {
			t.Error("a folder made where it was deleted is not heard")
		}
		if all := names(t, cut(t, j)); !slices.Contains(all, "heard") || !slices.Contains(all, "heard too") {
			t.Errorf("%q", all)
		}
	})
}

func TestOlderFolderIsAlwaysHeard(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		older := point + "/older"
		must(t, os.Mkdir(older, 0o755))
		cut(t, j)
		for i := range 50 {
			touch(t, fmt.Sprintf("%s/%d", older, i))
		}
		makeBusy(t, j, point+"/hot", 1) // it would have been found busy before
		touch(t, older+"/heard")
		s := cut(t, j)
		if got := wholes(t, s); !slices.Equal(got, []string{handle(t, point+"/hot")}) || !slices.Contains(names(t, s), "heard") {
			t.Errorf("wholly dirty: %q", got)
		}
	})
}

// When the kernel no longer remembers a folder, what is done in it is heard again.
func TestEvictedFolderIsHeardAgain(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	j.Busy(8)
	makeBusy(t, j, point+"/hot", 1)
	for range 100 {
		unix.Sync()
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		if heardOf(j, func() { touch(t, point+"/hot/heard") }) > 0 {
			break
		}
	}
	s := cut(t, j)
	if !touched(t, s, handle(t, point+"/hot/heard")) {
		t.Error("it is not heard")
	}
	if got := wholes(t, s); !slices.Equal(got, []string{handle(t, point+"/hot")}) {
		t.Errorf("wholly dirty: %q", got)
	}
}

// A set that is given back covers what was ignored in it; no folder stays ignored without being wholly dirty.
func TestReturnedSetIsWhollyDirtyWhereItWas(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	j.Busy(8)
	makeBusy(t, j, point+"/hot", 1)
	touch(t, point+"/hot/ignored")
	hot := handle(t, point+"/hot")
	if got := wholes(t, j.Peek()); !slices.Equal(got, []string{hot}) {
		t.Errorf("peeked: %q", got)
	}
	s := cut(t, j)
	makeBusy(t, j, point+"/second", 1)
	j.Return(s)
	touch(t, point+"/hot/heard")
	if got := wholes(t, cut(t, j)); len(got) != 2 || !slices.Contains(got, hot) || !slices.Contains(got, handle(t, point+"/second")) {
		t.Errorf("returned: %q", got)
	}
	if j.Report().Ignored != 0 {
		t.Error("one is still ignored")
	}
}

// An older kernel, which does not know such marks, is asked just once, and all is heard.
func TestKernelThatCannotIgnoreTellsAll(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	j.Busy(8)
	j.mu.Lock()
	j.how |= 1 << 30 // no kernel knows that
	j.mu.Unlock()
	hot := point + "/hot"
	must(t, os.Mkdir(hot, 0o755))
	want := []string{"hot"}
	for asked := false; !asked && len(want) < 100_000; {
		name := fmt.Sprint("f", len(want))
		want = append(want, name)
		touch(t, hot+"/"+name)
		j.mu.Lock()
		asked = j.how == 0
		j.mu.Unlock()
	}
	slices.Sort(want)
	s := cut(t, j)
	if got := names(t, s); !slices.Equal(got, want) || len(wholes(t, s)) > 0 || j.how != 0 {
		t.Errorf("%d names, want %d; wholly dirty: %q", len(got), len(want), wholes(t, s))
	}
}

func TestSetIsUnknownWhenIgnoringCannotBeEnded(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	j.Busy(8)
	makeBusy(t, j, point+"/hot", 1)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	j.mu.Lock()
	must(t, unix.Dup3(null, j.fd, unix.O_CLOEXEC))
	must(t, unix.Close(null))
	j.heed()
	if j.fd != -1 || j.set.unknown == "" {
		t.Errorf("fd %d, %q", j.fd, j.set.unknown)
	}
	j.mu.Unlock()
	if s := cut(t, j); s.Unknown() == "" {
		t.Error("the set knows")
	}
	touch(t, filepath.Join(point, "hot/heard"))
	if s := cut(t, j); s.Unknown() != "" || !slices.Equal(names(t, s), []string{"heard"}) {
		t.Errorf("%q, %q", s.Unknown(), names(t, s))
	}
}

func TestNewFolderIsBusyByTheNamesThatChanged(t *testing.T) {
	s := &Set{busyNames: 4}
	change := func(dir string, i int) {
		heard(t, s, encode(unix.FAN_CREATE, info{in, dir, fmt.Sprint(i)}, info{fid, fmt.Sprintf("%s%04d", dir, i), ""}))
	}
	change("old ", 0)
	heard(t, s, encode(unix.FAN_CREATE|unix.FAN_ONDIR, info{in, "old ", "new "}, info{fid, "new ", ""}))
	for i := range 9 {
		change("old ", i)
		change("new ", i)
		change("new ", i)
	}
	want := []string{"new ", "new "} // at 4 and at 8
	var got []string
	for _, p := range s.busy {
		got = append(got, string(s.folders.key(p)[4:]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	newer := &Set{busyNames: 4}
	newer.merge(s)
	if p := newer.folder([]byte("\x01\x00\x00\x00new ")); !newer.is(p, born) {
		t.Error("in a set that began with it, it is old")
	}
}
