package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
