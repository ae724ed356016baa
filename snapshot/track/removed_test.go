package track

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func folderHandle(t *testing.T, path string) unix.FileHandle {
	return handleOf([]byte(handle(t, path)))
}

func TestRemovedFoldersAreTold(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		for _, name := range []string{"removed", "over", "open", "later", "kept", "moved"} {
			must(t, os.MkdirAll(point+"/"+name, 0o755))
		}
		file := folderHandle(t, point+"/old/file")
		unlinked, err := os.Open(point + "/old/file")
		must(t, err)
		cut(t, j)
		gone := map[string]unix.FileHandle{}
		for _, name := range []string{"removed", "over", "open", "later"} {
			gone[name] = folderHandle(t, point+"/"+name)
		}
		there := map[string]unix.FileHandle{"kept": folderHandle(t, point+"/kept"), "moved": folderHandle(t, point+"/moved"), "a file": file}

		must(t, os.Chmod(point+"/kept", 0o700))
		must(t, os.Mkdir(point+"/short", 0o755))
		gone["short"] = folderHandle(t, point+"/short")
		touch(t, point+"/short/file")
		must(t, os.RemoveAll(point+"/short"))
		must(t, os.Remove(point+"/removed"))
		must(t, unix.Rename(point+"/moved", point+"/over")) // os.Rename refuses
		open, err := os.Open(point + "/open")
		must(t, err)
		defer open.Close()
		must(t, open.Chmod(0o700))
		must(t, os.Remove(point+"/open"))
		must(t, os.Remove(point+"/old/file"))
		must(t, os.Remove(point+"/old/twin"))
		if n := heardOf(j, func() { must(t, unlinked.Close()) }); n != 0 {
			t.Errorf("%d events when a file without a name is no more", n)
		}
		older := cut(t, j)
		must(t, os.Remove(point+"/later"))
		newer := cut(t, j)
		if !newer.Removed(gone["later"]) {
			t.Error("it is not told that a folder was removed of which nothing else is told")
		}
		newer.Extend(older)
		for name, h := range gone {
			if !newer.Removed(h) || newer.Made(h) != (name == "short") {
				t.Errorf("%s: removed %v, made %v", name, newer.Removed(h), newer.Made(h))
			}
		}
		for name, h := range there {
			if newer.Removed(h) || newer.Made(h) {
				t.Errorf("%s: removed %v, made %v", name, newer.Removed(h), newer.Made(h))
			}
		}
		if u := newer.Unknown(); u != "" {
			t.Error(u)
		}
	})
}

func TestFoldersGoWithTheirSubvolume(t *testing.T) {
	forEachType(t, func(t *testing.T, j *Journal, point string) {
		if exec.Command("btrfs", "subvolume", "show", point).Run() != nil {
			t.Skip("no btrfs")
		}
		var gone []unix.FileHandle
		for _, name := range []string{"deleted", "removed", "kept"} {
			run(t, "btrfs", "-q", "subvolume", "create", point+"/"+name)
			must(t, os.MkdirAll(point+"/"+name+"/a/b", 0o755))
			touch(t, point+"/"+name+"/a/b/file")
			gone = append(gone, folderHandle(t, point+"/"+name+"/a/b"))
		}
		kept := gone[2]
		cut(t, j)
		must(t, os.RemoveAll(point+"/removed/a"))
		must(t, os.Remove(point+"/removed"))
		run(t, "btrfs", "-q", "subvolume", "delete", point+"/deleted")
		older := cut(t, j)
		newer := cut(t, j)
		newer.Extend(older)
		for _, h := range gone[:2] {
			if !newer.Removed(h) {
				t.Error("it is not told that a folder went with its subvolume")
			}
		}
		if newer.Removed(kept) {
			t.Error("a folder of another subvolume passes for removed")
		}
	})
}
