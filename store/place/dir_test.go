package place

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func newDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := NewDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustWrite(t *testing.T, p Place, name, content string) {
	t.Helper()
	if err := p.Write(t.Context(), name, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

// content returns what name holds, "" for no file too.
func content(t *testing.T, p Place, name string) string {
	t.Helper()
	f, err := p.Open(context.Background(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		t.Fatal(err)
	}
	return string(b)
}

func expectNoTemporaries(t *testing.T, d disk) {
	t.Helper()
	if left, err := d.list(tempFolder); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("temporary names: %v, %v", left, err)
	}
}

func TestNewDirWantsAFolder(t *testing.T) {
	top := t.TempDir()
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(file); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("file: %v", err)
	}
	if _, err := NewDir(filepath.Join(top, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if d := newDir(t, top); d.String() != top {
		t.Errorf("String = %s", d)
	}
	if entries, _ := os.ReadDir(top); len(entries) != 1 {
		t.Errorf("NewDir wrote something: %v", entries)
	}
}

func TestDirKeepsToItsOwner(t *testing.T) {
	top := t.TempDir()
	mustWrite(t, newDir(t, top), "a/b/f", "x")
	for name, want := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o700, "a/b/f": 0o600, ".tmp": 0o700} {
		info, err := os.Stat(filepath.Join(top, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestDirShowsNothingButFiles(t *testing.T) {
	top := t.TempDir()
	d := newDir(t, top)
	mustWrite(t, d, "file", "x")
	for _, err := range []error{
		os.Symlink("file", filepath.Join(top, "link")),
		syscall.Mkfifo(filepath.Join(top, "pipe"), 0o600),
		os.WriteFile(filepath.Join(top, ".hidden"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if infos, err := d.List(t.Context(), ""); err != nil || !slices.Equal(infos, []Info{{Name: "file", Size: 1}}) {
		t.Errorf("List = %v, %v", infos, err)
	}
	for _, name := range []string{"link", "pipe"} {
		if _, err := d.Open(t.Context(), name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}

func TestSweepRemovesWhatAKilledWriterLeft(t *testing.T) {
	top := t.TempDir()
	mustWrite(t, newDir(t, top), "a/f", "x")
	for _, name := range []string{".tmp/0123", ".tmp/4567"} {
		if err := os.WriteFile(filepath.Join(top, name), []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := newDir(t, top)
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectNoTemporaries(t, d.disk)
	if content(t, d, "a/f") != "x" {
		t.Error("a file went")
	}
}

// Whoever else may write in a place leads nobody out of it.
func TestLinksLeadNobodyOutOfAPlace(t *testing.T) {
	top, outside := t.TempDir(), t.TempDir()
	d := newDir(t, top)
	mustWrite(t, d, "a/f", "x")
	if err := errors.Join(
		os.RemoveAll(filepath.Join(top, ".tmp")), os.Symlink(outside, filepath.Join(top, ".tmp")), os.Symlink(outside, filepath.Join(top, "link")),
		os.WriteFile(filepath.Join(outside, "passwd"), []byte("x"), 0o600), os.Symlink("a", filepath.Join(top, "within")),
	); err != nil {
		t.Fatal(err)
	}
	if err := d.Sweep(t.Context()); err == nil {
		t.Error("swept behind a link")
	}
	if err := d.Write(t.Context(), "b/new", []byte("x")); err == nil {
		t.Error("written by way of a link")
	}
	for _, dir := range []string{"link", "within"} {
		if infos, err := d.List(t.Context(), dir); err == nil {
			t.Errorf("listed %s: %v", dir, infos)
		}
	}
	if _, err := d.Open(t.Context(), "link/passwd"); err == nil {
		t.Error("opened behind a link")
	}
	if err := d.Remove(t.Context(), "link/passwd"); err == nil {
		t.Error("removed behind a link")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("outside there is %v, %v", left, err)
	}
	if content(t, d, "a/f") != "x" {
		t.Error("a file went")
	}
}

func TestWriteIntoAFolderAnotherProcessRemoved(t *testing.T) {
	top := t.TempDir()
	d := newDir(t, top)
	mustWrite(t, d, "a/b/f", "x")
	if err := os.RemoveAll(filepath.Join(top, "a")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, "a/b/f", "y")
	if content(t, d, "a/b/f") != "y" {
		t.Error("not written")
	}
}

func TestDirRefusesAnotherFolderInItsPlace(t *testing.T) {
	top := filepath.Join(t.TempDir(), "vault")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	d := newDir(t, top)
	if err := os.Rename(top, top+".away"); err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"missing", "another"} {
		if err := d.Write(t.Context(), "f", []byte("x")); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("%s: %v", rule, err)
		}
		_ = os.Mkdir(top, 0o700)
	}
	if entries, _ := os.ReadDir(top); len(entries) != 0 {
		t.Errorf("written into another folder: %v", entries)
	}
}

func TestDirIsReadWithoutItsTop(t *testing.T) {
	top := filepath.Join(t.TempDir(), "vault")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	d := newDir(t, top)
	if err := os.Remove(top); err != nil {
		t.Fatal(err)
	}
	if infos, err := d.List(t.Context(), ""); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("a place that is gone is listed: %v, %v", infos, err)
	}
}

func TestFailedWriteLeavesNoTemporary(t *testing.T) {
	d := newDir(t, t.TempDir())
	mustWrite(t, d, "a/f", "x")
	if err := d.Write(t.Context(), "a", []byte("over a folder")); err == nil {
		t.Error("a file replaced a folder")
	}
	if err := d.Write(t.Context(), "a/f/g", []byte("below a file")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	expectNoTemporaries(t, d.disk)
}
