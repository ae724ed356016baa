package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPartitionIsAsOpenAsItsNewestVersionSays(t *testing.T) {
	s, first := mounted(t, "small") // which does not know
	dir := filepath.Dir(first)
	paths := []string{first + "/hello", filepath.Join(dir, latest, "hello"), filepath.Join(dir, byFileName, "hello", day(1).Version)}
	isOpen := func() bool {
		open := 0
		for _, path := range paths {
			if _, ok := as(nobody, "cat", path); ok {
				open++
			}
			if _, err := os.ReadFile(path); err != nil {
				t.Error("root reads", err)
			}
		}
		if open > 0 && open < len(paths) {
			t.Error(open, "of", len(paths), "paths are open")
		}
		return open > 0
	}
	mode := func(want os.FileMode) func() bool {
		return func() bool {
			info, err := os.Stat(dir)
			return err == nil && info.Mode().Perm() == want
		}
	}
	if !isOpen() || !mode(0o755)() {
		t.Error("nobody comes to a version that does not know")
	}
	inside := sit(t, filepath.Join(dir, byFileName, "folder"))

	s.do(order{Do: "say", N: 1})
	s.do(order{Do: "commit", Key: day(2), Name: "small"})
	await(t, "the folder to be closed", mode(0o700))
	if isOpen() {
		t.Error("the folder is open to nobody")
	}
	await(t, "that who sits below must come in anew", func() bool { return errors.Is(inside.stat("."), unix.ESTALE) })
	s.do(order{Do: "say", N: 0})
	s.do(order{Do: "commit", Key: day(3), Name: "small"})
	await(t, "the folder to be open", mode(0o755))
	if !isOpen() {
		t.Error("the folder is closed")
	}
	s.do(order{Do: "delete", Key: day(3)})
	await(t, "the folder to be closed again", mode(0o700))
	if isOpen() {
		t.Error("the folder stayed open")
	}
}

// What the first who comes there is told late is not for good.
func TestPartitionThatIsClosedWhileItIsLookedUpForTheFirstTimeIsClosed(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "say", N: 0})
	s.do(order{Do: "commit", Key: day(1), Name: "small"})
	s.do(order{Do: "serve", Name: s.dir})
	dir := filepath.Join(s.dir, "web1", "root")
	t.Cleanup(func() { s.try(order{Do: "back"}) })
	s.do(order{Do: "away", Name: day(1).Version})
	looked := make(chan error, 1)
	go func() {
		_, err := os.Stat(dir)
		looked <- err
	}()
	await(t, "who waits for the record", func() bool { return s.do(order{Do: "away"}).Count > 0 })
	s.do(order{Do: "say", N: 1})
	s.do(order{Do: "commit", Key: day(2), Name: "small"})
	await(t, "the version", func() bool { return s.do(order{Do: "versions"}).Count == 2 })
	time.Sleep(10 * time.Millisecond) // until the kernel is told
	s.do(order{Do: "back"})
	if err := <-looked; err != nil {
		t.Error(err)
	}
	await(t, "the folder to be closed", func() bool {
		info, err := os.Stat(dir)
		return err == nil && info.Mode().Perm() == 0o700
	})
}

func TestFolderThatAnotherMountLayOnIsRootsAlone(t *testing.T) {
	s := newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "cover", N: int(coveredTree().child("below").Ino)})
	s.do(order{Do: "commit", Key: day(1), Name: "covered"})
	s.do(order{Do: "serve", Name: s.dir})
	for name, want := range map[string]bool{"below": false, "beside": true} {
		top := filepath.Join(s.dir, "web1", "root")
		for _, path := range []string{day(1).Version + "/" + name + "/file", latest + "/" + name + "/file", byFileName + "/" + name + "/file/" + day(1).Version} {
			if out, ok := as(nobody, "cat", filepath.Join(top, path)); ok != want {
				t.Errorf("nobody reads %s: %v, %s", path, ok, out)
			}
			if _, err := os.ReadFile(filepath.Join(top, path)); err != nil {
				t.Error("root reads", err)
			}
		}
		dir, all := filepath.Join(top, latest, name), make([]byte, 1000)
		_, err := unix.Lgetxattr(dir, accessACL, nil)
		n, _ := unix.Llistxattr(dir, all)
		if has := strings.Contains(string(all[:n]), accessACL); has != want || want != (err == nil) || !strings.Contains(string(all[:n]), "user.some") {
			t.Errorf("%s has %q, its ACL %v", name, all[:n], err)
		}
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil || !want && (st.Mode&0o777 != 0o700 || st.Uid != 0) {
			t.Errorf("%s: mode %o of %d, %v", name, st.Mode, st.Uid, err)
		}
	}
}

func TestOtherInstancesAreRootsAlone(t *testing.T) {
	s, own := mounted(t, "small")
	k := key("fedcba9876543210fedcba9876543210", "root", 1)
	s.do(order{Do: "instance", Key: k, Name: "web2"})
	s.do(order{Do: "commit", Key: k, Name: "small"})
	other := filepath.Join(s.dir, "web2", "root")
	await(t, "the other instance", func() bool { _, err := os.Stat(other); return err == nil })
	for _, path := range []string{filepath.Join(other, k.Version, "hello"), filepath.Join(other, latest, "hello"), filepath.Join(other, byFileName, "hello", k.Version)} {
		if _, err := os.ReadFile(path); err != nil {
			t.Error("root reads", err)
		}
		if out, ok := as(nobody, "cat", path); ok || !strings.Contains(out, "Permission denied") {
			t.Errorf("nobody reads %s: %v", path, ok)
		}
	}
	if out, ok := as(nobody, "cat", filepath.Join(own, "hello")); !ok {
		t.Error("nobody does not read the own instance:", out)
	}
}

func TestPartitionStaysClosedWhenTheRecordThatSaysSoIsLostOrForgotten(t *testing.T) {
	modes := func(s *server, want os.FileMode) func() bool {
		return func() bool {
			info, err := os.Stat(filepath.Join(s.dir, "web1", "root"))
			return err == nil && info.Mode().Perm() == want
		}
	}
	made := func(t *testing.T, says ...int) *server { // a version for each: -1 does not know
		t.Helper()
		s := newServer(t)
		s.noisy = true
		s.do(order{Do: "instance", Key: day(1), Name: "web1"})
		for i, closed := range says {
			if closed >= 0 {
				s.do(order{Do: "say", N: closed})
			}
			s.do(order{Do: "commit", Key: day(i + 1), Name: "small"})
		}
		return s
	}
	for name, tt := range map[string]struct {
		says  []int
		spoil int
		want  os.FileMode
	}{
		"lost, before it one that does not know": {[]int{-1, 1}, 2, 0o700},
		"lost, before it one that is open":       {[]int{-1, 0, 1}, 3, 0o755},
		"lost, before it one that is closed":     {[]int{0, 1, 0}, 3, 0o700},
		"lost, the only one":                     {[]int{0}, 1, 0o700},
	} {
		s := made(t, tt.says...)
		s.do(order{Do: "spoil", Key: day(tt.spoil)})
		s.do(order{Do: "serve", Name: s.dir})
		if !modes(s, tt.want)() {
			t.Errorf("%s: it is not %o", name, tt.want)
		}
	}
	s := made(t, -1, 1)
	s.do(order{Do: "serve", Name: s.dir})
	if !modes(s, 0o700)() {
		t.Error("it is open")
	}
	s.do(order{Do: "delete", Key: day(2)})
	gone := filepath.Join(s.dir, "web1", "root", day(2).Version)
	await(t, "the version to go", func() bool { _, err := os.Stat(gone); return errors.Is(err, os.ErrNotExist) })
	await(t, "its folder to be looked at anew", func() bool {
		to, err := os.Readlink(filepath.Join(s.dir, "web1", "root", latest))
		return err == nil && to == day(1).Version
	})
	if !modes(s, 0o700)() {
		t.Error("it is open when the version that says so is forgotten")
	}
}

func TestPartitionIsShownToRootWhileTheVaultCannotBeRead(t *testing.T) {
	s := newServer(t)
	s.noisy = true
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "say", N: 0})
	s.do(order{Do: "commit", Key: day(1), Name: "small"})
	s.do(order{Do: "serve", Name: s.dir})
	s.do(order{Do: "fail", N: 1})
	dir := filepath.Join(s.dir, "web1", "root")
	for range 2 {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Error("while nothing can be read:", info, err)
		}
	}
	s.do(order{Do: "fail", N: 0})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Error("when it can be read again:", info, err)
	}
}
