package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a folder lets in is recorded before what is in it is read, and what it lets in then may be less.
func TestFolderThatIsClosedWhileItIsReadIsClosedInTheVersion(t *testing.T) {
	acl := func(who, path string) { command(t, "setfacl", "-m", who, path) }
	for _, tt := range []struct {
		name         string
		before, then func(folder string)
		mode         uint32
		racy         bool
		acl          bool
	}{
		{"nothing", nil, func(string) {}, 0o2755, false, false},
		{"a file is made", nil, func(folder string) { write(t, folder+"/new", "") }, 0o2755, false, false},
		{"the mode is set as it was", nil, func(folder string) { must(t, unix.Chmod(folder, 0o2755)) }, 0o2755, false, false},
		{"it is closed", nil, func(folder string) { must(t, unix.Chmod(folder, 0o700)) }, 0o2700, true, false},
		{"it is closed to some", nil, func(folder string) { must(t, unix.Chmod(folder, 0o2571)) }, 0o2551, true, false},
		{"it is opened", func(folder string) { must(t, unix.Chmod(folder, 0o700)) }, func(folder string) { must(t, unix.Chmod(folder, 0o755)) }, 0o700, false, false},
		{"it has another owner", nil, func(folder string) { must(t, os.Chown(folder, 7, -1)) }, 0o2000, true, false},
		{"it has another group", nil, func(folder string) { must(t, os.Chown(folder, -1, 7)) }, 0o2700, true, false},
		{"it gets an ACL", nil, func(folder string) { acl("u:7:-", folder) }, 0o2700, true, false},
		{"its ACL stays", func(folder string) { acl("u:7:-", folder) }, func(folder string) { write(t, folder+"/new", "") }, 0o2755, false, true},
		{"it gets another ACL", func(folder string) { acl("u:7:rx", folder) }, func(folder string) { acl("u:7:-", folder) }, 0o2700, true, false},
		{"it gets another attribute", nil, func(folder string) { must(t, unix.Setxattr(folder, "user.x", nil, 0)) }, 0o2755, false, false},
		{"it is renamed", nil, func(folder string) { must(t, os.Rename(folder, folder+" now")) }, 0o2755, false, false},
		{"it is moved", nil, func(folder string) { must(t, os.Rename(folder, filepath.Dir(folder)+"/private/folder")) }, 0o2700, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, dir := emptyRig(t)
			r.o.Walkers = 1
			folder := dir + "/folder"
			write(t, folder+"/file", "x")
			must(t, os.Mkdir(dir+"/private", 0o700))
			must(t, unix.Chmod(folder, 0o2755))
			if tt.before != nil {
				tt.before(folder)
			}
			r.o.trace = func(op, path string) {
				if op == "open" && path == "folder/file" {
					tt.then(folder)
				}
			}
			r.o.Limiter = noLimit // no looking ahead
			e := r.entries(r.run())["folder"]
			if _, has := e.Xattrs.Get(accessACL); e.Mode&^unix.S_IFMT != tt.mode || e.Racy != tt.racy || has != tt.acl || e.Totals.Files != 1 {
				t.Errorf("mode %o, racy %v, ACL %v, %d files", e.Mode, e.Racy, has, e.Totals.Files)
			}
			r.o.trace = nil
			compare(t, r, r.run(), dir)
		})
	}
}

// So it is with the root folder, and with what the mount point lies in.
func TestPartitionThatIsClosedWhileItIsReadIsClosedInTheVersion(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	letThrough(t, dir)
	r.o.trace = func(op, path string) {
		must(t, os.Chmod(dir, 0o700))
		must(t, os.Chmod(filepath.Dir(dir), 0o700))
	}
	v := r.run()
	if e := r.entries(v)[""]; e.Mode != unix.S_IFDIR|0o700 || !*v.Partition.Closed {
		t.Errorf("mode %o, closed %v", e.Mode, *v.Partition.Closed)
	}
	r.o.trace = nil
	compare(t, r, r.run(), dir)
}

// By journal, what would be taken over from the version before may be gone when a folder is opened to others, if that is just then.
func TestFolderThatIsOpenedWhileItIsCapturedHasWhatIsThereThen(t *testing.T) {
	for _, in := range []string{"", "in/"} {
		t.Run(in, func(t *testing.T) {
			point := partition(t, "ext4")
			r := newJournalRig(t, point, nil)
			r.o.clock = time.Now
			folder := point + "/folder"
			write(t, folder+"/other", "x")
			write(t, folder+"/"+in+"secret", "x")
			write(t, folder+"/"+in+"private", "x")
			must(t, os.Chmod(folder, 0o700))
			r.next("walk")

			write(t, folder+"/other", "y")
			r.afterAll = func() {
				must(t, os.Remove(folder+"/"+in+"secret"))
				must(t, os.Chmod(folder+"/"+in+"private", 0o600))
				must(t, os.Chmod(folder, 0o755))
			}
			v := r.next("journal")
			r.asWalk(v)
			all := r.entries(v)
			if _, ok := all["folder/"+in+"secret"]; ok || all["folder"].Mode != unix.S_IFDIR|0o755 || all["folder/"+in+"private"].Mode != unix.S_IFREG|0o600 {
				t.Errorf("modes %o and %o, the file that was removed is there: %v", all["folder"].Mode, all["folder/"+in+"private"].Mode, ok)
			}
		})
	}
}

// So it is with a folder that was moved, if it is moved to where others are let in just then.
func TestFolderThatIsMovedToOthersWhileItIsCapturedHasWhatIsThereThen(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	r.o.clock = time.Now
	write(t, point+"/private/folder/below/secret", "x")
	must(t, os.Chmod(point+"/private", 0o700))
	r.next("walk")

	must(t, os.Rename(point+"/private/folder", point+"/private/moved"))
	must(t, os.Mkdir(point+"/open", 0o755))
	r.afterAll = func() {
		must(t, os.Remove(point+"/private/moved/below/secret"))
		must(t, os.Rename(point+"/private/moved", point+"/open/moved"))
	}
	r.asWalk(r.next("journal"))
}

// A folder that was opened between two versions, and in which names come and go also while it is captured, is as open in each version as it is.
func TestBusyFolderHasTheRightsThatItHas(t *testing.T) {
	point := partition(t, "ext4")
	vault := point + "/busy/vault"
	for _, tt := range []struct {
		name string
		open func(folder string)
	}{
		{"mode", func(folder string) { must(t, os.Chmod(folder, 0o755)) }},
		{"owner", func(folder string) { must(t, os.Chown(folder, 7, 7)) }},
		{"group", func(folder string) { must(t, os.Chown(folder, -1, 8)) }},
		{"ACL", func(folder string) { command(t, "setfacl", "-m", "u:7:rx", folder) }},
	} {
		for _, at := range []string{"busy", ""} {
			for _, vague := range []bool{false, true} {
				t.Run(fmt.Sprint(tt.name, at, vague), func(t *testing.T) {
					r := newJournalRig(t, point, nil)
					r.o.clock, r.o.Never = time.Now, []string{vault}
					folder := filepath.Join(point, at)
					write(t, vault+"/pack", "x")
					write(t, point+"/busy/below/file", "x")
					command(t, "setfacl", "-b", folder)
					must(t, os.Chown(folder, 0, 0))
					must(t, os.Chmod(folder, 0o750))
					r.next("walk")

					tt.open(folder)
					r.vague = vague
					for range 2 {
						write(t, folder+"/name", r.last.Name)
						write(t, vault+"/pack", r.last.Name)
						r.afterAll = func() { must(t, os.Remove(folder+"/name")) }
						v := r.next("journal")
						if at != "" { // the times of the root are those of the beginning
							r.asWalk(v)
						}
						st, err := statPath(folder, lookOnly)
						must(t, err)
						if e := r.entries(v)[at]; e.Mode != st.mode {
							t.Errorf("mode %o in version %s, of a folder with %o", e.Mode, v.Name, st.mode)
						}
					}
				})
			}
		}
	}
}

// Without times of birth nothing is known of what lies in such a folder, and yet what changes in a vault there is none of the version's.
func TestBusyFolderWithoutTimesOfBirthMayHoldAVault(t *testing.T) {
	point := partition(t, "ext4", "-I", "128")
	r := newJournalRig(t, point, nil)
	vault := point + "/busy/below/vault"
	r.o.clock, r.o.Never = time.Now, []string{vault}
	write(t, vault+"/packs/pack", "x")
	write(t, point+"/busy/below/file", "x")
	must(t, os.Chmod(point+"/busy", 0o750))
	r.next("walk")

	must(t, os.Chmod(point+"/busy", 0o755))
	for i := range 3 {
		write(t, point+"/busy/name", r.last.Name)
		write(t, fmt.Sprintf("%s/packs/%d", vault, i), "x")
		tries := 0
		r.afterAll = func() {
			tries++
			must(t, os.RemoveAll(point+"/busy/name"))
		}
		v := r.next("journal")
		r.afterAll = nil
		r.asWalk(v)
		if tries != 1 {
			t.Errorf("it was tried %d times", tries)
		}
	}
}

func TestFileThatIsClosedEachTimeItIsReadIsClosedInTheVersion(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	reads := 0
	r.o.trace = func(op, path string) {
		if op != "read" {
			return
		}
		if reads++; reads == 1+maxAgain {
			must(t, os.Chmod(dir+"/file", 0o600))
		}
		write(t, dir+"/file", "secret")
	}
	_, e := only(t, r, r.run("it changed each of the"))
	if e.Mode != unix.S_IFREG|0o600 {
		t.Errorf("mode %o", e.Mode)
	}
}
