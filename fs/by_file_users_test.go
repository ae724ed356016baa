package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// guards are ways to let users into a folder; what the last one is given to is a file instead.
var guards = []func(*tree) *tree{
	func(t *tree) *tree { return t.mode(0o755) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o755) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o750) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o700) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o711) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o744) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o070) },
	func(t *tree) *tree { return t.owner(1001, 2000).mode(0o007) },
	func(t *tree) *tree { return t.owner(1002, 2000).mode(0o750) },
	func(t *tree) *tree { return t.owner(1001, 3000).mode(0o750) },
	func(t *tree) *tree { return t.owner(1001, 2000).aclFor(1003, 5, 0, 0) },
	func(t *tree) *tree { return t.owner(1001, 2000).aclFor(1003, 0, 5, 5) },
	func(t *tree) *tree { return t.mode(0o644) },
}

// aclFor gives a file an ACL with the permissions of a user, of its group and of others; its owner may do all.
func (t *tree) aclFor(uid, user, group, other uint32) *tree {
	ne := binary.LittleEndian
	b := ne.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 7, ^uint32(0)}, {2, user, uid}, {4, group, ^uint32(0)}, {0x10, 5, ^uint32(0)}, {0x20, other, ^uint32(0)}} {
		b = ne.AppendUint32(ne.AppendUint16(ne.AppendUint16(b, uint16(e[0])), uint16(e[1])), e[2])
	}
	return t.mode(0o750|other).xattr(accessACL, string(b))
}

// guardsTree has a folder for each pair of guards, which has one of them on the first day and the other on the second, with a file of the day.
func guardsTree(day int) *tree {
	var m maker
	top := m.dir()
	for i := range guards {
		for j := range guards {
			k, seed := []int{i, j}[day-1], uint64(1+day)
			t := m.dir(m.file(part{seed, 100}).named(fmt.Sprint("only ", day)), m.file(part{seed, 100}).named("both"))
			if k == len(guards)-1 {
				t = m.file(part{seed, 100})
			}
			top.kids = append(top.kids, guards[k](t).named(fmt.Sprintf("%d-%d", i, j)))
		}
	}
	return top
}

// asUser runs f with what a user may do.
func asUser(t *testing.T, uid, gid int, f func()) {
	t.Helper()
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		_, _, err := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
		if err == 0 {
			_, _, err = syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
		}
		if err == 0 {
			_, _, err = syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if err == 0 {
			f()
		}
		done <- err
	}()
	if err := <-done; err != 0 {
		t.Fatal(err)
	}
}

func TestByFileShowsNoUserMoreThanTheVersionsDo(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	for i := 1; i <= 2; i++ {
		s.do(order{Do: "commit", Key: day(i), Name: fmt.Sprint("guards ", i)})
	}
	s.do(order{Do: "serve", Name: s.dir})
	for _, u := range [][2]int{{1001, 1001}, {1002, 2000}, {1003, 1003}, {1004, 2000}, {1005, 3000}, {nobody, nobody}} {
		w := watcher{t: t, top: filepath.Join(s.dir, "web1", "root"), user: u[0]}
		asUser(t, u[0], u[1], func() {
			for i := range guards {
				for j := range guards {
					w.compare(fmt.Sprintf("%d-%d", i, j))
				}
			}
		})
		t.Logf("user %d sees %d names, and not %d that are seen in a version", w.user, w.shown, w.hidden)
		if w.shown == 0 || w.hidden == 0 {
			t.Error("that compares nothing")
		}
	}
}

// A watcher compares what a user sees of a path's past with what they see in the versions.
type watcher struct {
	t             *testing.T
	top           string
	user          int
	shown, hidden int
}

func (w *watcher) stat(path ...string) bool {
	var st unix.Stat_t
	return unix.Lstat(filepath.Join(w.top, filepath.Join(path...)), &st) == nil
}

func (w *watcher) read(path ...string) string {
	b, _ := os.ReadFile(filepath.Join(w.top, filepath.Join(path...)))
	return string(b)
}

func (w *watcher) list(path ...string) map[string]bool {
	names := make(map[string]bool)
	list, _ := os.ReadDir(filepath.Join(w.top, filepath.Join(path...)))
	for _, e := range list {
		names[e.Name()] = true
	}
	return names
}

func (w *watcher) compare(path string) {
	listed := w.list(byFileName, path)
	either := make(map[string]bool)
	for i := 1; i <= 2; i++ {
		v := day(i).Version
		names := w.list(v, path)
		names[v] = w.stat(v, path)
		for name, there := range names {
			either[name] = either[name] || there
		}
		w.compareEntry(v, path)
		w.compareEntry(v, path+"/both")
		w.compareEntry(v, path+"/only "+fmt.Sprint(i))
	}
	for name := range listed {
		if w.shown++; !either[name] {
			w.t.Errorf("user %d: %s lists %q, and no version does", w.user, path, name)
		}
	}
	for name := range either {
		if !listed[name] {
			w.hidden++
		}
	}
}

// compareEntry compares what is seen of a path as it was in a version.
func (w *watcher) compareEntry(v, path string) {
	if w.stat(byFileName, path, v) && !w.stat(v, path) {
		w.t.Errorf("user %d: stat shows %s of %s, and in the version not", w.user, path, v)
	}
	if b := w.read(byFileName, path, v); b != "" && b != w.read(v, path) {
		w.t.Errorf("user %d: reading shows %s of %s, and in the version not", w.user, path, v)
	}
}

// A shell that sits in a folder, or has it open, is asked for nothing by the kernel when it goes on; nor may others open the door for it again.
func TestByFileAnswersNobodyWhoWasLetInBefore(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: "door open"})
	s.do(order{Do: "serve", Name: s.dir})
	past := filepath.Join(s.dir, "web1", "root", byFileName)
	within, below := sit(t, past+"/door/inner"), sit(t, past+"/door")
	if err := within.stat("old/" + day(1).Version); err != nil {
		t.Fatal(err)
	}
	s.do(order{Do: "commit", Key: day(2), Name: "door closed"})
	await(t, "that others may come there", func() bool {
		info, err := os.Stat(past + "/door")
		return err == nil && info.Mode().Perm() == 0o700
	})
	if got := namesIn(t, past+"/door/inner"); got != "new/ old/" { // root opens it
		t.Error("root sees", got)
	}
	for what, sh := range map[string]shell{"in the folder": below, "below it": within} {
		for range 2 {
			if err := sh.stat("."); !errors.Is(err, unix.ESTALE) {
				t.Errorf("%s: stat of the folder: %v", what, err)
			}
			if names, err := sh.dir.ReadDir(-1); len(names) > 0 {
				t.Errorf("%s: names: %v, %v", what, names, err)
			}
		}
		for _, name := range []string{"new/" + day(2).Version, "inner/new/" + day(2).Version, "inner", "old"} {
			if err := sh.stat(name); err == nil {
				t.Errorf("%s: %s is seen", what, name)
			}
		}
	}
	if _, ok := as(nobody, "stat", past+"/door/inner"); ok {
		t.Error("nobody comes in by name")
	}
	s.do(order{Do: "delete", Key: day(2)})
	await(t, "the door open", func() bool { _, ok := as(nobody, "ls", past+"/door/inner/old"); return ok })
}

// doorTree has a folder that is open to all on the first day only, and in it one that always is.
func doorTree(mode uint32, names ...string) *tree {
	var m maker
	inner := m.dir().named("inner")
	for _, name := range names {
		inner.kids = append(inner.kids, m.file(part{9, 100}).named(name))
	}
	return m.dir(m.dir(inner).named("door").mode(mode))
}
