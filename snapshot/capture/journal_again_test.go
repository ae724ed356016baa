package capture

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/snapshot/track"
)

func TestWhatCouldNotBeReadIsLookedAtAgain(t *testing.T) {
	for from, to := range map[string]string{"dir": "moved", "dir/closed": "dir/opened", "dir/secret": "dir/told"} {
		r := newJournalRig(t, partition(t, "ext4"), nil)
		point := r.o.Partition.MountPoint
		write(t, point+"/dir/closed/file", "x")
		write(t, point+"/dir/secret", "x")
		must(t, os.Chmod(point+"/dir/closed", 0))
		must(t, os.Chmod(point+"/dir/secret", 0))
		letThrough(t, point)
		r.o.Walkers = 1
		func() { // as nobody, to whom these are closed
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			must(t, unix.Setfsuid(65534))
			defer unix.Setfsuid(0)
			if v := r.tryNext(); v.WarningCount < 2 {
				t.Errorf("%d warnings", v.WarningCount)
			}
		}()
		must(t, os.Rename(point+"/"+from, point+"/"+to))
		v, _ := r.look()
		all := r.entries(v)
		for _, name := range []string{"dir/secret", "dir/closed/file"} {
			if name = strings.Replace(name, from, to, 1); all[name].Size != 1 {
				t.Errorf("%s to %s: %s is missing: %v", from, to, name, all)
			}
		}
	}
}

func TestFoldersThatChangePlacesMeanwhile(t *testing.T) {
	r := newJournalRig(t, partition(t, "ext4"), nil)
	point := r.o.Partition.MountPoint
	write(t, point+"/a", "1")
	write(t, point+"/y/x/file", "1")
	r.next("walk")
	must(t, os.Rename(point+"/y/x", point+"/x"))
	write(t, point+"/a", "22")
	r.o.Walkers, r.o.Limiter = 1, noLimit
	r.o.trace = func(op, path string) {
		if _, err := os.Stat(point + "/y"); op == "open" && path == "a" && err == nil {
			must(t, os.Rename(point+"/y", point+"/x/y"))
		}
	}
	if all := r.entries(r.tryNext()); all["x/file"].Size != 1 {
		t.Errorf("%v", all)
	}
	r.look()
}

func TestFolderThatIsMovedBeforeWhatIsHeldInIt(t *testing.T) {
	r := newJournalRig(t, partition(t, "ext4"), nil)
	point := r.o.Partition.MountPoint
	write(t, point+"/a", "1")
	write(t, point+"/b/c/held", "1")
	write(t, point+"/b/other", "1")
	f, err := os.OpenFile(point+"/b/c/held", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	r.next("walk")
	write(t, point+"/a", "22")
	r.o.Walkers, r.o.Limiter = 1, noLimit
	r.o.trace = func(op, path string) {
		if _, err := os.Stat(point + "/b"); op == "open" && path == "a" && err == nil {
			must(t, os.Rename(point+"/b", point+"/d"))
		}
	}
	if all := r.entries(r.tryNext()); all["d/other"].Size != 1 && all["b/other"].Size != 1 {
		t.Errorf("%v", all)
	}
	r.look()
}

func TestUnreadAttributesAreReadAgain(t *testing.T) {
	w := &walker{survey: &survey{src: &source{}, o: &Options{Memory: &Memory{}}}, path: []byte("file")}
	e := snapshot.Entry{Mode: unix.S_IFREG}
	w.noXattrs(&e, unix.ENOMEM)
	later := e
	later.Racy = false
	if w.unchanged(&e, &later) || len(w.again) != 1 || w.again[0].path != "file" {
		t.Errorf("%+v, %v", e, w.again)
	}
}

func TestFolderWithoutCaseMakesAWalk(t *testing.T) {
	w := &walker{survey: &survey{o: &Options{Memory: &Memory{}, Parent: &snapshot.Version{Name: "v"}, Changes: &track.Set{}}}}
	w.caseless.Store(true)
	w.remember(&snapshot.Version{Name: "v"})
	if why := w.whyWalk(); !strings.Contains(why, "chattr +F") {
		t.Errorf("%q", why)
	}
}

func TestWhereAFolderWasThatIsBelowItselfByNow(t *testing.T) {
	point := partition(t, "ext4")
	must(t, os.MkdirAll(point+"/x/y", 0o755))
	root, err := os.Open(point)
	must(t, err)
	defer root.Close()
	x, err := os.Open(point + "/x")
	must(t, err)
	defer x.Close()
	st, err := statPath(point+"/x", lookOnly)
	must(t, err)
	y, _, err := unix.NameToHandleAt(unix.AT_FDCWD, point+"/x/y", 0)
	must(t, err)
	r := &resolver{
		src: &source{fd: int(root.Fd()), live: -1}, root: &dirty{},
		moved: map[fileID]move{{st.dev, st.ino}: {y, "x"}},
	}
	if was, err := r.before(int(x.Fd()), &st, map[fileID]bool{}); err != errGone {
		t.Errorf("%q, %v", was, err)
	}
}

// Other names of a file in a subvolume are found where that is now, be it that a folder above it was moved.
func TestNestedSubvolumeThatWasMoved(t *testing.T) {
	for from, to := range map[string]string{"dir/nested": "dir/moved", "dir": "moved"} {
		r := newJournalRig(t, partition(t, "btrfs"), nil)
		point := r.o.Partition.MountPoint
		must(t, os.Mkdir(point+"/dir", 0o755))
		command(t, "btrfs", "subvolume", "create", point+"/dir/nested")
		write(t, point+"/dir/nested/a/one", "1")
		must(t, os.Mkdir(point+"/dir/nested/b", 0o755))
		must(t, os.Link(point+"/dir/nested/a/one", point+"/dir/nested/b/two"))
		r.next("walk")
		must(t, os.Rename(point+"/"+from, point+"/"+to))
		nested := strings.Replace("dir/nested", from, to, 1)
		write(t, point+"/"+nested+"/a/one", "22")
		v, _ := r.look()
		if all := r.entries(v); all[nested+"/b/two"].Size != 2 {
			t.Errorf("%s to %s: %v", from, to, all)
		}
	}
}

// Its folders and links could be read, under names that are not theirs.
func TestNothingIsTakenOfALockedFolder(t *testing.T) {
	point := partition(t, "ext4", "-O", "encrypt")
	control := func(path string, request uintptr, arg unsafe.Pointer) {
		t.Helper()
		f, err := os.Open(path)
		must(t, err)
		defer f.Close() // what is open is not locked
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
			t.Skipf("nothing can be encrypted here: %v", errno)
		}
	}
	key := struct {
		unix.FscryptAddKeyArg
		raw [64]byte
	}{FscryptAddKeyArg: unix.FscryptAddKeyArg{Key_spec: unix.FscryptKeySpecifier{Type: unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER}, Raw_size: 64}, raw: [64]byte{1, 2, 3}}
	control(point, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&key))
	policy := unix.FscryptPolicyV2{
		Version: unix.FSCRYPT_POLICY_V2, Contents_encryption_mode: unix.FSCRYPT_MODE_AES_256_XTS, Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS,
	}
	copy(policy.Master_key_identifier[:], key.Key_spec.U[:])
	must(t, os.MkdirAll(point+"/secret", 0o755))
	control(point+"/secret", unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&policy))
	must(t, os.MkdirAll(point+"/secret/dir/deeper", 0o755))
	must(t, os.Symlink("dir", point+"/secret/link"))
	r := newRig(t, point)
	all := []string{"lost+found/", "secret/", "secret/dir/", "secret/dir/deeper/", "secret/link"}
	wantPaths(t, r, r.run(), "unlocked", all...)
	command(t, "sync", "-f", point) // what is not on the disk is not locked
	control(point, unix.FS_IOC_REMOVE_ENCRYPTION_KEY, unsafe.Pointer(&unix.FscryptRemoveKeyArg{Key_spec: key.Key_spec}))
	wantPaths(t, r, r.run("secret: "+snapshot.NotListed), "locked", "lost+found/", "secret/")
	control(point, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&key))
	wantPaths(t, r, r.run(), "unlocked again", all...)
}

// With keys of the first version, which programs have in keyrings of their own, nothing tells that a folder was unlocked.
func TestFolderThatWasLockedIsLookedAtAgain(t *testing.T) {
	point := partition(t, "ext4", "-O", "encrypt")
	control := func(path string, request uintptr, arg unsafe.Pointer) {
		t.Helper()
		f, err := os.Open(path)
		must(t, err)
		defer f.Close() // what is open is not locked
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
			t.Skipf("nothing can be encrypted here: %v", errno)
		}
	}
	key := struct {
		unix.FscryptAddKeyArg
		raw [64]byte
	}{FscryptAddKeyArg: unix.FscryptAddKeyArg{Key_spec: unix.FscryptKeySpecifier{Type: unix.FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR}, Raw_size: 64}, raw: [64]byte{1, 2, 3}}
	unlock := func() { control(point, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&key)) }
	unlock()
	must(t, os.Mkdir(point+"/secret", 0o755))
	policy := unix.FscryptPolicyV1{
		Version: unix.FSCRYPT_POLICY_V1, Contents_encryption_mode: unix.FSCRYPT_MODE_AES_256_XTS, Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS,
	}
	control(point+"/secret", unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&policy))
	write(t, point+"/secret/dir/file", "12345678")
	write(t, point+"/secret/other", "1")
	write(t, point+"/open/file", "1")
	command(t, "sync", "-f", point) // what is not on the disk is not locked
	control(point, unix.FS_IOC_REMOVE_ENCRYPTION_KEY, unsafe.Pointer(&unix.FscryptRemoveKeyArg{Key_spec: key.Key_spec}))

	r := newJournalRig(t, point, nil)
	v := r.tryNext()
	if v.WarningCount != 1 || v.Warnings[0].Path != "secret" {
		t.Errorf("warnings: %v", v.Warnings)
	}
	wantPaths(t, r.rig, v, "locked", "lost+found/", "open/", "open/file", "secret/") // and no names that are none
	for _, a := range r.memory.again {
		if a.path != "secret" {
			t.Errorf("%s is to be looked at again", a.path)
		}
	}
	unlock()
	r.look()
	r.wantContent("secret/dir/file", "12345678")
	r.wantContent("secret/other", "1")
	if n := len(r.memory.again); n != 0 {
		t.Errorf("%d paths are still to be looked at again: %v", n, r.memory.again)
	}
}

// Anybody can make many files that cannot be captured as they should be, far down in folders with long names.
func TestPathsToLookAtAgainTakeLittleMemory(t *testing.T) {
	m := &Memory{}
	w := &walker{survey: &survey{o: &Options{Memory: m}}, path: make([]byte, maxPath)}
	for range 2 * maxAgainBytes / maxPath {
		w.path[0]++
		w.lookAgain(false)
	}
	n := 0
	for _, a := range w.again {
		n += len(a.path)
	}
	if w.remember(&snapshot.Version{Name: "v"}); n > maxAgainBytes || m.version != "" {
		t.Errorf("%d bytes, remembered is %q", n, m.version)
	}
	w.againBytes.Store(maxAgainBytes)
	if w.remember(&snapshot.Version{Name: "v"}); m.version != "v" {
		t.Errorf("remembered is %q", m.version)
	}
}
