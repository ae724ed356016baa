package restore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// encrypt has what is made in an empty folder be encrypted, and returns what takes the key away and brings it back.
func encrypt(t *testing.T, point, dir string) (lock, unlock func()) {
	t.Helper()
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
	unlock = func() { control(point, unix.FS_IOC_ADD_ENCRYPTION_KEY, unsafe.Pointer(&key)) }
	unlock()
	policy := unix.FscryptPolicyV2{
		Version: unix.FSCRYPT_POLICY_V2, Contents_encryption_mode: unix.FSCRYPT_MODE_AES_256_XTS, Filenames_encryption_mode: unix.FSCRYPT_MODE_AES_256_CTS,
	}
	copy(policy.Master_key_identifier[:], key.Key_spec.U[:])
	control(dir, unix.FS_IOC_SET_ENCRYPTION_POLICY, unsafe.Pointer(&policy))
	return func() {
		t.Helper()
		fd, err := unix.Open(point, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Syncfs(fd)) // what is not on the disk is not locked
		must(t, unix.Close(fd))
		control(point, unix.FS_IOC_REMOVE_ENCRYPTION_KEY, unsafe.Pointer(&unix.FscryptRemoveKeyArg{Key_spec: key.Key_spec}))
	}, unlock
}

// paths are all that is below a folder.
func paths(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return all
}

// An encrypted folder whose key is not there has other names than the version: none of them is one too many.
func TestNothingIsDeletedInALockedFolder(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("secret", g.file("f", "f"), g.dir("sub", g.file("f", "f"))), g.file("well", "well"))
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt"))
	dir := filepath.Join(point, "target")
	secret := filepath.Join(dir, "secret")
	must(t, os.MkdirAll(secret, 0o755))
	lock, unlock := encrypt(t, point, secret)
	g.restore(v, dir)
	write(t, filepath.Join(secret, "mine"), "mine")
	lock()
	before := paths(t, dir)
	if slices.Contains(before, filepath.Join(secret, "f")) {
		t.Fatal("it is not locked: this tests nothing")
	}
	write(t, filepath.Join(dir, "surplus"), "x")
	r := g.restore(v, dir, deleting)
	wantLeft(t, "failed", r.Failed, "secret/f", "secret/sub")
	wantLeft(t, "noted", r.Notes, "secret")
	if after := paths(t, dir); r.Deleted != 1 || !slices.Equal(after, before) {
		t.Errorf("%d were deleted: there was %q, and is %q", r.Deleted, before, after)
	}
	for _, as := range []string{"ro", "rw"} {
		command(t, "mount", "-o", "remount,"+as, point)
		r = g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.Others = true, true })
		wantLeft(t, "different", r.Differs, "secret/f", "secret/sub")
		wantLeft(t, "noted", r.Notes, "secret")
	}
	unlock()
	r = g.restore(v, dir, deleting)
	wantLeft(t, "failed", r.Failed)
	if r.Deleted != 1 {
		t.Errorf("%d were deleted in a folder that is open", r.Deleted)
	}
	wantSame(t, g, v, dir)
}

// Nor is such a folder removed that the version has not, or has something else in the place of: what in it is to be kept cannot be told.
func TestLockedFoldersAreNotRemoved(t *testing.T) {
	g := newRig(t)
	v := g.version(append(names(g.file("", "x"), "a", "way of a link"), g.file("way", "x"), g.dir("kept"))...)
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt"))
	dir := filepath.Join(point, "target")
	var lock, unlock func()
	locked := []string{"vault", "outer/vault", "way", "way of a link", "kept/vault"}
	for _, name := range locked {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(path, 0o755))
		lock, unlock = encrypt(t, point, path)
		write(t, filepath.Join(path, "vault.json"), "{}")
		write(t, filepath.Join(path, "packs/1"), "x")
	}
	lock()
	before := paths(t, dir)
	if slices.Contains(before, filepath.Join(dir, "vault/vault.json")) {
		t.Fatal("it is not locked: this tests nothing")
	}
	for _, dry := range []bool{true, false} {
		r := g.restore(v, dir, deleting, func(o *Options) { o.DryRun = dry })
		failed := []string{"vault", "outer", "kept/vault"}
		if !dry {
			failed = append(failed, "way", "way of a link")
		}
		wantLeft(t, "failed", r.Failed, failed...)
		for _, l := range r.Failed.Items {
			if !strings.Contains(l.What, errKey.Error()) {
				t.Errorf("%s failed for %q", l.Path, l.What)
			}
		}
	}
	unlock()
	for _, name := range locked {
		if content(t, filepath.Join(dir, name, "vault.json"))+content(t, filepath.Join(dir, name, "packs/1")) != "{}x" {
			t.Errorf("%s is another", name)
		}
	}
}

// A progress is told once that something was done.
type progress func()

func (p progress) Add(uint64, uint64) { p() }

// What could not be found by its name when the restore came to a folder is not deleted either if the key is there by the time it is told what is one too many.
func TestFolderThatIsUnlockedMeanwhileIsLeftAlone(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("secret", g.dir("sub")))
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt"))
	secret := filepath.Join(point, "target/secret")
	must(t, os.MkdirAll(secret, 0o755))
	lock, unlock := encrypt(t, point, secret)
	write(t, filepath.Join(secret, "vault.json"), "{}")
	write(t, filepath.Join(secret, "packs/1"), "x")
	lock()
	once := sync.OnceFunc(unlock)
	r := g.restore(v, filepath.Join(point, "target"), deleting, func(o *Options) { o.Progress = progress(once) })
	wantLeft(t, "failed", r.Failed, "secret/sub")
	wantLeft(t, "noted", r.Notes, "secret")
	there(t, secret, []string{"vault.json", "packs/1"}, "sub")
}

// A key does not help where the kernel knows nothing of how a folder is encrypted: its names are as without one.
func TestNothingIsDeletedInAFolderThatCannotBeUnlocked(t *testing.T) {
	g := newRig(t)
	image, made := newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt,^metadata_csum"), false
	t.Run("make", func(t *testing.T) {
		point := mountImage(t, image)
		for _, name := range []string{"target/secret", "target/surplus"} {
			must(t, os.MkdirAll(filepath.Join(point, name), 0o755))
			encrypt(t, point, filepath.Join(point, name))
			write(t, filepath.Join(point, name, "mine"), "mine")
		}
		made = true
	})
	if !made {
		t.Skip("nothing can be encrypted here")
	}
	b, err := os.ReadFile(image)
	must(t, err)
	known := []byte{unix.FSCRYPT_POLICY_V2, unix.FSCRYPT_MODE_AES_256_XTS, unix.FSCRYPT_MODE_AES_256_CTS, 0, 0, 0, 0, 0}
	must(t, os.WriteFile(image+" changed", bytes.ReplaceAll(b, known, []byte{unix.FSCRYPT_POLICY_V2, 99, 99, 0, 0, 0, 0, 0}), 0o600))
	dir := filepath.Join(mountImage(t, image+" changed"), "target")
	before := paths(t, dir)
	if fd, err := openIn(openDir(t, filepath.Join(dir, "secret")), ".", unix.O_TMPFILE|unix.O_RDWR); err != unix.EINVAL {
		t.Fatalf("%d, %v: this tests nothing", fd, err)
	}
	r := g.restore(g.version(g.dir("secret", g.file("f", "f"))), dir, deleting)
	wantLeft(t, "failed", r.Failed, "secret/f", "surplus")
	wantLeft(t, "noted", r.Notes, "secret")
	if after := paths(t, dir); r.Deleted != 0 || !slices.Equal(after, before) {
		t.Errorf("%d were deleted: there was %q, and is %q", r.Deleted, before, after)
	}
}

// That nothing can be made in a folder to see whether its key is there, as the disk is full, ends no restore.
func TestFolderWhoseKeyIsNotSeenOnAFullDiskFailsAlone(t *testing.T) {
	g := newRig(t)
	v := g.version(g.file("way", "x"), g.file("well", "x"))
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-N", "128", "-O", "encrypt"))
	dir := filepath.Join(point, "target")
	way := filepath.Join(dir, "way")
	must(t, os.Mkdir(dir, 0o755))
	g.restore(v, dir)
	must(t, os.Remove(way))
	must(t, os.Mkdir(way, 0o755))
	encrypt(t, point, way)
	write(t, filepath.Join(way, "mine"), "mine")
	for i := 0; ; i++ {
		err := os.WriteFile(filepath.Join(point, strconv.Itoa(i)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		must(t, err)
	}
	r := g.restore(v, dir, deleting)
	wantLeft(t, "failed", r.Failed, "way")
	if r.Equal != 1 || content(t, filepath.Join(way, "mine")) != "mine" {
		t.Errorf("%d are equal", r.Equal)
	}
}

// An immutable folder whose key is there is as one that is not encrypted, and so is what is in it, though nothing can be made there to see that.
func TestImmutableFolderWhoseKeyIsThereIsNotLocked(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("secret", g.dir("sub", g.dir("deep", g.file("f", "f"))), g.symlink("link", "sub")))
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt"))
	dir := filepath.Join(point, "target")
	secret := filepath.Join(dir, "secret")
	must(t, os.MkdirAll(secret, 0o755))
	lock, unlock := encrypt(t, point, secret)
	g.restore(v, dir, overwrite)
	immutable := func(how string, paths ...string) {
		t.Helper()
		command(t, append([]string{"chattr", how}, paths...)...)
	}
	verify := func(o *Options) { o.VerifyOnly, o.ContentOnly, o.Others = true, true, true }
	sub := filepath.Join(secret, "sub")
	for _, files := range []bool{false, true} {
		write(t, filepath.Join(secret, "sub/deep/mine"), "mine")
		kept, told := []string{"link"}, []string{"secret/sub/deep/mine"}
		if files {
			write(t, filepath.Join(secret, "mine"), "mine")
			told = append(told, "secret/mine")
			kept = append(kept, "mine")
		}
		immutable("+i", secret, sub)
		t.Cleanup(func() { immutable("-i", secret, sub) })
		r := g.restore(v, dir, verify)
		wantLeft(t, "different", r.Differs, told...)
		wantLeft(t, "noted", r.Notes)
		r = g.restore(v, dir, deleting)
		wantLeft(t, "noted", r.Notes)
		there(t, secret, kept, "sub/deep/mine")

		lock()
		before := paths(t, dir)
		if slices.Contains(before, sub) {
			t.Fatal("it is not locked: this tests nothing")
		}
		r = g.restore(v, dir, verify)
		wantLeft(t, "different", r.Differs, "secret/sub", "secret/link")
		wantLeft(t, "noted", r.Notes, "secret")
		r = g.restore(v, dir, deleting)
		wantLeft(t, "noted", r.Notes, "secret")
		if after := paths(t, dir); r.Deleted != 0 || !slices.Equal(after, before) {
			t.Errorf("%d were deleted: there was %q, and is %q", r.Deleted, before, after)
		}
		unlock()
		immutable("-i", secret, sub)
	}
}

// Where the file system knows of no keys, none is missed, also if it is read-only; but one that lies above another may fail for the key of that one.
func TestKeysOfAnOverlay(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("secret", g.file("f", "f")))
	point := mountImage(t, newImage(t, 64, "mkfs.ext4", "-I", "256", "-O", "encrypt"))
	secret := filepath.Join(point, "upper/secret")
	for _, name := range []string{"upper/secret", "work", "lower"} {
		must(t, os.MkdirAll(filepath.Join(point, name), 0o755))
	}
	lock, _ := encrypt(t, point, secret)
	g.restore(v, filepath.Join(point, "upper"), overwrite)
	write(t, filepath.Join(secret, "mine"), "mine")
	overlay := func(t *testing.T, options string) string {
		dir := t.TempDir()
		if err := unix.Mount("overlay", dir, "overlay", 0, options); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
		return dir
	}
	t.Run("read-only", func(t *testing.T) {
		dir := overlay(t, "lowerdir="+point+"/upper:"+point+"/lower")
		r := g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.ContentOnly, o.Others = true, true, true })
		wantLeft(t, "different", r.Differs, "secret/mine")
		wantLeft(t, "noted", r.Notes)
	})
	t.Run("locked", func(t *testing.T) {
		lock()
		dir := overlay(t, "lowerdir="+point+"/lower,upperdir="+point+"/upper,workdir="+point+"/work")
		before := paths(t, secret)
		r := g.restore(v, dir, deleting)
		wantLeft(t, "noted", r.Notes, "secret")
		if after := paths(t, secret); r.Deleted != 0 || !slices.Equal(after, before) {
			t.Errorf("%d were deleted: there was %q, and is %q", r.Deleted, before, after)
		}
	})
}
