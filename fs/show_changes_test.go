package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/store"
)

// await waits until ok says so: the kernel is told of a change a moment after it was made.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("not seen: ", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A shell sits in a folder and runs commands.
type shell struct {
	t   *testing.T
	dir *os.File
}

func sit(t *testing.T, dir string) shell {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return shell{t, f}
}

func (s shell) names() []string {
	cmd := exec.Command("ls", "/proc/self/fd/3/")
	cmd.ExtraFiles = []*os.File{s.dir}
	out, err := cmd.Output()
	if err != nil {
		s.t.Error("ls:", err)
	}
	return strings.Fields(string(out))
}

func (s shell) has(names ...string) func() bool {
	return func() bool { return slices.Equal(s.names(), names) }
}

func (s shell) stat(name string) error {
	var st unix.Stat_t
	return unix.Fstatat(int(s.dir.Fd()), name, &st, 0)
}

func TestVersionsComeAndGoUnderAShellThatSitsThere(t *testing.T) {
	s, dir := mounted(t, "small")
	sh := sit(t, filepath.Dir(dir))
	one, two := day(1).Version, day(2).Version
	if err := sh.stat(two); !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	if !sh.has(one, latest)() {
		t.Fatal(sh.names())
	}
	before := modTime(t, filepath.Dir(dir))
	link := func() string {
		target, _ := os.Readlink(filepath.Join(filepath.Dir(dir), latest))
		return target
	}
	if link() != one {
		t.Error("latest leads to", link())
	}

	s.do(order{Do: "commit", Key: day(2), Name: "small"})
	await(t, "the new version in the list", sh.has(one, two, latest))
	await(t, "latest moved", func() bool { return link() == two })
	if err := sh.stat(two + "/hello"); err != nil {
		t.Error("the new version cannot be looked into:", err)
	}
	if after := modTime(t, filepath.Dir(dir)); !after.After(before) {
		t.Error("the folder's time stayed at", before)
	}

	s.do(order{Do: "delete", Key: day(2)})
	await(t, "the deleted version gone from the list", sh.has(one, latest))
	await(t, "latest moved back", func() bool { return link() == one })
	await(t, "the deleted version gone by name", func() bool { return errors.Is(sh.stat(two), unix.ENOENT) })
}

func TestNothingIsRememberedOfADeletedVersionThatNobodyIsIn(t *testing.T) {
	s, dir := mounted(t, "files")
	s.do(order{Do: "commit", Key: day(2), Name: "small"})
	s.do(order{Do: "commit", Key: day(3), Name: "small"})
	await(t, "the versions", sit(t, filepath.Dir(dir)).has(day(1).Version, day(2).Version, day(3).Version, latest))
	inside := sit(t, filepath.Join(dir, "folder-0007"))
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(dir, "folder-0007/file-0007"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("find", filepath.Dir(dir), "-ls").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	pages := func() int { return s.do(order{Do: "pages"}).Count }
	before := pages()
	s.do(order{Do: "delete", Key: day(1)})
	s.do(order{Do: "delete", Key: day(2)})
	await(t, "the second version dropped", func() bool { return pages() < before })
	if err := inside.stat("file-0008"); err != nil {
		t.Error("who sits in the deleted version:", err)
	}
	if list, err := os.ReadDir("/proc/self/fd/" + fmt.Sprint(inside.dir.Fd())); err != nil || len(list) != 100 {
		t.Error("who sits in the deleted version lists", len(list), err)
	}
	inside.dir.Close()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil { // as the kernel does when memory is short
		t.Fatal(err)
	}
	left := 2 // of the third version
	await(t, "the first version dropped", func() bool { return pages() == left })
	top := sit(t, s.dir)
	if fd, err := unix.OpenByHandleAt(int(top.dir.Fd()), handle, unix.O_RDONLY); !errors.Is(err, unix.ESTALE) {
		unix.Close(fd)
		t.Error("a handle of a file in the deleted version:", err)
	}
	compareContent(t, filepath.Join(filepath.Dir(dir), day(3).Version, "hello"), smallTree().child("hello"))
}

func TestListingWhileVersionsComeAndGo(t *testing.T) {
	s, dir := mounted(t, "small")
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				list, err := os.ReadDir(filepath.Dir(dir))
				if err != nil || len(list) < 2 || list[0].Name() != day(1).Version || list[len(list)-1].Name() != latest {
					t.Errorf("%v, %v", list, err)
					return
				}
				compareContent(t, filepath.Join(dir, "hello"), smallTree().child("hello"))
				for _, d := range list {
					// The top of a version is read from its record, which may just be going.
					_, err := os.Lstat(filepath.Join(filepath.Dir(dir), d.Name()))
					if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESTALE) {
						t.Error(err)
					}
				}
			}
		})
	}
	for first := 2; first < 52; first += 10 {
		for d := range 10 {
			s.do(order{Do: "commit", Key: day(first + d), Name: "small"})
		}
		for d := range 10 {
			s.do(order{Do: "delete", Key: day(first + d)})
		}
	}
	stop.Store(true)
	wg.Wait()
	await(t, "what is left", sit(t, filepath.Dir(dir)).has(day(1).Version, latest))
}

func modTime(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestPartitionsAndInstancesComeAndGo(t *testing.T) {
	s, _ := mounted(t, "small")
	top, web := sit(t, s.dir), sit(t, filepath.Join(s.dir, "web1"))
	if !top.has("web1")() || !web.has("root")() {
		t.Fatal(top.names(), web.names())
	}
	home := store.VersionKey{Instance: machine, Partition: "home", Version: day(3).Version}
	s.do(order{Do: "commit", Key: home, Name: "small"})
	await(t, "the new partition", web.has("home", "root"))
	db := store.VersionKey{Instance: "fedcba98765432100123456789abcdef", Partition: "root", Version: day(3).Version}
	s.do(order{Do: "instance", Key: db, Name: "web1"})
	s.do(order{Do: "commit", Key: db, Name: "small"})
	await(t, "two instances of one name", top.has("web1~01234567", "web1~fedcba98"))
	s.do(order{Do: "delete", Key: db})
	await(t, "the name alone again", top.has("web1"))
	s.do(order{Do: "delete", Key: home})
	await(t, "the partition gone", web.has("root"))
	s.do(order{Do: "delete", Key: day(1)})
	await(t, "nothing left", top.has())
	if !web.has()() {
		t.Error("who sits in a folder that went sees", web.names())
	}
}

func TestInstanceKeepsItsNameWhileItsDescriptionCannotBeRead(t *testing.T) {
	s, dir := mounted(t, "small")
	s.noisy = true
	for _, name := range []string{"instance.json", "instance.json.copy"} {
		s.do(order{Do: "spoil", Key: day(1), Name: name})
	}
	s.do(order{Do: "commit", Key: day(2), Name: "small"})
	await(t, "the version", func() bool { return s.do(order{Do: "versions"}).Count == 2 })
	for range 10 { // the kernel is told after that
		if _, err := os.ReadDir(filepath.Join(filepath.Dir(dir), day(2).Version)); err != nil {
			t.Error(err)
		}
		if names := sit(t, s.dir).names(); !slices.Equal(names, []string{"web1"}) {
			t.Error(names)
		}
	}
}

func TestDeletedVersionIsReadOnByWhoSitsInIt(t *testing.T) {
	s, dir := mounted(t, "small")
	sh := sit(t, dir)
	s.do(order{Do: "delete", Key: day(1)})
	await(t, "it gone", func() bool { _, err := os.Lstat(dir); return errors.Is(err, unix.ENOENT) })
	if !sh.has("folder", "hello")() {
		t.Error("who sits in it sees", sh.names())
	}
}

func TestDamageIsAnErrorOfOneFileAndToldOnce(t *testing.T) {
	s, dir := mounted(t, "broken")
	s.noisy = true
	tests := []struct {
		command, file, says string
	}{
		{"cat", "other length", "Input/output error"},
		{"cat", "junk list", "Input/output error"},
		{"ls", "junk folder", "Input/output error"},
		{"stat", "junk folder/x", "Input/output error"},
		{"cat", "lost file", "Input/output error"},
		{"ls", "lost folder", "Input/output error"},
	}
	for range 2 {
		for _, tt := range tests {
			out, err := exec.Command(tt.command, filepath.Join(dir, tt.file)).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.says) {
				t.Errorf("%s %q: %s", tt.command, tt.file, out)
			}
		}
	}
	if _, err := unix.Lgetxattr(filepath.Join(dir, "junk attrs"), "user.x", nil); !errors.Is(err, unix.EIO) {
		t.Error("junk attributes:", err)
	}
	compareContent(t, filepath.Join(dir, "good"), brokenTree().child("good"))
	log := s.do(order{Do: "log"}).Text
	if n := strings.Count(log, `path="/lost file"`); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
	for _, want := range []string{"instance=" + machine, "partition=root", "version=" + day(1).Version, `path="/junk folder"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "bug") {
		t.Errorf("there was a panic:\n%s", log)
	}
	s.do(order{Do: "delete", Key: day(1)})
}

func TestManyVersionsAreShownAtOnce(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit many", Key: day(1), N: 2000})
	took, err := time.ParseDuration(s.do(order{Do: "serve", Name: s.dir}).Text)
	t.Logf("2000 versions: mounted in %v", took)
	if err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(filepath.Join(s.dir, "web1", "root"))
	if err != nil || len(list) != 2001 {
		t.Errorf("%d names, %v", len(list), err)
	}
}
