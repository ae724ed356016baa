package track

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// image makes a file with a file system in it.
func image(t testing.TB) string {
	if os.Geteuid() != 0 {
		t.Skip("needs root: file systems are mounted and listened to")
	}
	path := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, 64<<20))
	run(t, "mkfs.ext4", "-q", path)
	return path
}

func run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mounted mounts an image.
func mounted(t testing.TB, image string) (point string) {
	point = t.TempDir()
	run(t, "mount", "-o", "loop", image, point)
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	return point
}

func open(t testing.TB, point string) *Journal {
	j, err := Open(point, nil)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func cut(t testing.TB, j *Journal) *Set {
	t.Helper()
	s, err := j.Cut()
	must(t, err)
	return s
}

// names are all names in a set.
func names(t testing.TB, s *Set) (all []string) {
	t.Helper()
	must(t, s.Folders(func(_ unix.FileHandle, _ bool, names []string, _ []bool) error {
		all = append(all, names...)
		return nil
	}))
	slices.Sort(all)
	return all
}

func TestCutHasAllThatWasDoneBefore(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	for i := range 50 {
		name := string(rune('A' + i))
		must(t, os.WriteFile(filepath.Join(point, name), []byte("1"), 0o600))
		s := cut(t, j)
		if got := names(t, s); !slices.Equal(got, []string{name}) || s.Unknown() != "" || s.Certificate.Sequence != uint64(i+1) {
			t.Fatalf("%q, %q, %+v; want %q", got, s.Unknown(), s.Certificate, name)
		}
	}
}

func TestReturnedSetComesAgain(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	must(t, os.Mkdir(filepath.Join(point, "a"), 0o700))
	s := cut(t, j)
	must(t, os.Mkdir(filepath.Join(point, "b"), 0o700))
	j.Return(s)
	if got := names(t, cut(t, j)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

func TestUnmountIsUnknown(t *testing.T) {
	file := image(t)
	point := mounted(t, file)
	j := open(t, point)
	cut(t, j)
	must(t, unix.Unmount(point, 0))
	elsewhere := mounted(t, file)
	must(t, os.WriteFile(filepath.Join(elsewhere, "unheard"), nil, 0o600))
	must(t, unix.Unmount(elsewhere, 0))
	run(t, "mount", "-o", "loop", file, point)
	if s := cut(t, j); s.Unknown() != "the file system was unmounted" {
		t.Errorf("%q, %q", s.Unknown(), names(t, s))
	}
	must(t, os.WriteFile(filepath.Join(point, "heard"), nil, 0o600))
	if s := cut(t, j); s.Unknown() != "" || !slices.Equal(names(t, s), []string{"heard"}) || s.Certificate.Sequence != 1 {
		t.Errorf("%q, %q, %+v", s.Unknown(), names(t, s), s.Certificate)
	}
}

func TestAnotherFileSystemInThatPlaceIsUnknown(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	cut(t, j)
	run(t, "mount", "-o", "loop", image(t), point)
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	if s := cut(t, j); s.Unknown() != "another file system was mounted" {
		t.Errorf("%q", s.Unknown())
	}
	must(t, os.WriteFile(filepath.Join(point, "heard"), nil, 0o600))
	if s := cut(t, j); s.Unknown() != "" || !slices.Equal(names(t, s), []string{"heard"}) {
		t.Errorf("%q, %q", s.Unknown(), names(t, s))
	}
}

func TestNothingMountedIsAnErrorUntilThereIs(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	must(t, os.Mkdir(filepath.Join(point, "a"), 0o700))
	j.mu.Lock()
	must(t, unix.Close(j.fd)) // as if the kernel had ended it
	j.fd = -1
	j.path += "/nothing"
	j.mu.Unlock()
	if _, err := j.Cut(); err == nil {
		t.Error("no error")
	}
	j.mu.Lock()
	j.path = point
	j.mu.Unlock()
	if s := cut(t, j); s.Unknown() == "" {
		t.Error("nothing was listened to, and the set knows")
	}
	if s := cut(t, j); s.Unknown() != "" {
		t.Error(s.Unknown())
	}
}

func TestReadErrorIsUnknown(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	cut(t, j)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	j.mu.Lock()
	must(t, unix.Dup3(null, j.fd, unix.O_CLOEXEC)) // it ends at once, which fanotify never does
	j.mu.Unlock()
	must(t, unix.Close(null))
	must(t, os.Mkdir(filepath.Join(point, "a"), 0o700))
	if s := cut(t, j); s.Unknown() == "" {
		t.Errorf("%q", names(t, s))
	}
}

func TestChangedFlagsAreCounted(t *testing.T) {
	point := mounted(t, image(t))
	u := counting(t)
	file := filepath.Join(point, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	before, err := u.Count()
	must(t, err)
	run(t, "chattr", "+d", file)
	after, err := u.Count()
	must(t, err)
	if after <= before {
		t.Errorf("%d calls, then %d", before, after)
	}
}

// It need not be mounted any more.
func TestOverlayThatIsGoneMakesAnOldKernelsSetUnknown(t *testing.T) {
	dir := mounted(t, image(t))
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	j := open(t, dir)
	for _, c := range []struct {
		kernel  int
		unknown bool
	}{{6<<8 | 4, true}, {6<<8 | 5, false}} {
		j.mu.Lock()
		j.kernel = c.kernel
		j.mu.Unlock()
		merged := filepath.Join(dir, "merged")
		run(t, "mount", "-t", "overlay", "-o", "lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work", "overlay", merged)
		err := os.WriteFile(filepath.Join(merged, "file"), []byte("1"), 0o600)
		must(t, unix.Unmount(merged, 0))
		must(t, err)
		if why := cut(t, j).Unknown(); strings.Contains(why, "overlay") != c.unknown {
			t.Errorf("with kernel %#x the set is unknown because %q", c.kernel, why)
		}
	}
}

func TestOverlaysAreUnheardOfOldKernelsOnly(t *testing.T) {
	for release, want := range map[string]bool{"5.17.0": false, "6.1.0-28-amd64": false, "6.5.0-14-generic": true, "6.18.44": true, "7.0-rc1": true} {
		if got := kernelVersion(release) >= overlayHeardSince; got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
	dir := mounted(t, image(t))
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	merged := filepath.Join(dir, "merged")
	run(t, "mount", "-t", "overlay", "-o", "lowerdir="+dir+"/lower,upperdir="+dir+"/upper,workdir="+dir+"/work", "overlay", merged)
	defer unix.Unmount(merged, 0)
	if runningKernel() < overlayHeardSince {
		t.Skip("this kernel does not tell what they write")
	}
	j := open(t, dir)
	must(t, os.WriteFile(filepath.Join(merged, "file"), []byte("1"), 0o600))
	f, err := os.OpenFile(filepath.Join(merged, "file"), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	cut(t, j)
	_, err = f.WriteString("2")
	must(t, err)
	if s := cut(t, j); !slices.Contains(names(t, s), "file") {
		t.Errorf("%q, %q", names(t, s), s.Unknown())
	}
}

func TestErrorOfTheFileSystemIsUnknown(t *testing.T) {
	point := mounted(t, image(t))
	j := open(t, point)
	cut(t, j)
	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", point).Output()
	must(t, err)
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	must(t, os.WriteFile(trigger, []byte("1"), 0))
	if s := cut(t, j); s.Unknown() != "the file system met an error" {
		t.Errorf("%q", s.Unknown())
	}
	if s := cut(t, j); s.Unknown() != "" {
		t.Errorf("%q", s.Unknown())
	}
}

func TestHandlesMustLast(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only that can listen at all")
	}
	point := t.TempDir()
	run(t, "mount", "-t", "tmpfs", "tmpfs", point)
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	if j, err := Open(point, nil); !errors.Is(err, ErrUnsupported) {
		if err == nil {
			j.Close()
		}
		t.Errorf("%v", err)
	}
}

// Programs that take the number of a call for an int pass it on with its sign.
func TestUnheardCallsWithASignAreCounted(t *testing.T) {
	u := counting(t)
	before, err := u.Count()
	must(t, err)
	const swap = 0xffffffffc0c0586d // XFS_IOC_SWAPEXT
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, ^uintptr(0), swap, 0); e != unix.EBADF {
		t.Fatal(e)
	}
	if after, err := u.Count(); err != nil || after == before {
		t.Errorf("%d after %d, %v", after, before, err)
	}
}

// The counters of a processor that went for a moment end, and stand still. Then something may have been done that was not counted.
func TestCountingBeginsAnewAfterAGap(t *testing.T) {
	u := counting(t)
	for range 3 {
		_, gap, err := u.sum()
		if err != nil || gap {
			t.Fatal(gap, err)
		}
		before, err := u.Count()
		must(t, err)
		for i := range u.counters[1:] {
			u.counters[i].began -= uint64(2 * apart) // as if all but the last had run for longer
		}
		after, err := u.Count()
		if err != nil || after <= before {
			t.Errorf("%d after %d, %v", after, before, err)
		}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, ^uintptr(0), unix.FS_IOC_SETFLAGS, 0); e != unix.EBADF {
			t.Fatal(e)
		}
		if again, err := u.Count(); err != nil || again <= after {
			t.Errorf("%d after %d, %v", again, after, err)
		}
	}
}

func TestRepairsOfXFSAreCounted(t *testing.T) {
	u := counting(t)
	const scrub, scrubVector = 0xc040583c, 0xc0285840
	for _, call := range []uintptr{scrub, scrubVector} {
		before, err := u.Count()
		must(t, err)
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, ^uintptr(0), call, 0); e != unix.EBADF {
			t.Fatal(e)
		}
		if after, err := u.Count(); err != nil || after <= before {
			t.Errorf("%#x: %d after %d, %v", call, after, before, err)
		}
	}
}

// counting counts the calls that are not heard, until the test ends.
func counting(t *testing.T) *Unheard {
	t.Helper()
	u, err := WatchUnheard()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { u.Close() })
	return u
}
