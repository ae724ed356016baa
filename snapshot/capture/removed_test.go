package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A folder that cannot be read is to the kernel as one that is gone. Here it has another generation, and so another handle than the one that the changes tell.
func TestFolderThatIsNotThereAndWasNotRemovedMakesAWalk(t *testing.T) {
	point := partition(t, "ext4", "-O", "^metadata_csum")
	r := newJournalRig(t, point, nil)
	write(t, point+"/dir/file", "1")
	r.next("walk")
	must(t, os.Remove(point+"/dir/file"))
	dir, err := os.Open(point + "/dir")
	must(t, err)
	defer dir.Close()
	const setVersion = 0x40087602
	must(t, unix.IoctlSetPointerInt(int(dir.Fd()), setVersion, 5))
	v := r.next("walk")
	if !strings.Contains(v.Because, "not told that it was removed") {
		t.Error(v.Because)
	}
	r.asWalk(v)
	r.look()
}

// xfs tells nobody that it cannot read something.
func TestFolderThatCannotBeReadMakesAWalk(t *testing.T) {
	for _, program := range []string{"xfs_db", "fsfreeze"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs", program)
		}
	}
	point := partition(t, "xfs")
	r := newJournalRig(t, point, nil)
	write(t, point+"/dir/file", "1")
	r.next("walk")
	must(t, os.Remove(point+"/dir/file"))
	st, err := statPath(point+"/dir", 0)
	must(t, err)
	command(t, "fsfreeze", "-f", point) // writes everything to where it belongs
	command(t, "fsfreeze", "-u", point)
	image := filepath.Join(filepath.Dir(point), "image")
	_, where, _ := strings.Cut(command(t, "xfs_db", "-r", "-c", fmt.Sprintf("convert inode %d fsbyte", st.ino), image), "(")
	at, err := strconv.ParseInt(strings.TrimSuffix(where, ")"), 10, 64)
	must(t, err)
	disk, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	defer disk.Close()
	magic := make([]byte, 2) // of an inode
	if _, err := disk.ReadAt(magic, at); string(magic) != "IN" {
		t.Fatalf("%q, %v", magic, err)
	}
	_, err = disk.WriteAt([]byte("XX"), at)
	must(t, err)
	for range 100 {
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		if _, err = os.Stat(point + "/dir"); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("the folder is still in the cache")
	}
	if v := r.tryNext(); v.Method != "walk" || len(v.Warnings) != 1 || v.Warnings[0].Path != "dir" {
		t.Errorf("by %s because %q, %v", v.Method, v.Because, v.Warnings)
	}
	_, err = disk.WriteAt(magic, at)
	must(t, err)
	r.look()
}

// Somebody writes on to what lay in it.
func TestRemovedFolderThatIsHeldMakesNoWalk(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		write(t, point+"/dir/file", "1")
		r.next("walk")
		held, err := os.OpenFile(point+"/dir/file", os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		defer held.Close()
		must(t, os.RemoveAll(point+"/dir"))
		for range 3 {
			r.next("journal")
			_, err := held.WriteString("2")
			must(t, err)
		}
		r.look()
	})
}

func TestRemovedFoldersMakeNoWalk(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		var removed []string
		remove := func() {
			for _, path := range removed {
				must(t, os.RemoveAll(path))
			}
			removed = nil
		}
		dir := func(format string, args ...any) string {
			path := point + "/" + fmt.Sprintf(format, args...)
			write(t, path+"/a/b/file", "1")
			return path
		}
		tries := 0
		r.afterAll = func() { // when they are looked for
			tries++
			remove()
		}
		btrfs := exec.Command("btrfs", "subvolume", "show", point).Run() == nil
		for i := range 3 {
			dir("changed%d", i)
			dir("later%d", i)
			dir("over%d/full", i)
			must(t, os.Mkdir(fmt.Sprintf("%s/over%d/empty", point, i), 0o755))
			if btrfs {
				command(t, "btrfs", "-q", "subvolume", "create", fmt.Sprintf("%s/volume%d", point, i))
				dir("volume%d", i)
			}
		}
		r.next("walk")
		r.look()
		for i := range 3 {
			removed = append(removed, dir("short%d", i), dir("changed%d/a", i))
			switch i {
			case 0:
				remove()
			case 1:
				r.afterCut = remove
			}
			later := dir("later%d/new", i)
			r.frozen = func() { dir("frozen%d", i) }
			must(t, unix.Rename(fmt.Sprintf("%s/over%d/full", point, i), fmt.Sprintf("%s/over%d/empty", point, i)))
			held, err := os.Open(later)
			must(t, err)
			defer held.Close()
			must(t, held.Chmod(0o700))
			must(t, os.RemoveAll(later))
			if btrfs {
				dir("volume%d/new", i)
				command(t, "btrfs", "-q", "subvolume", "delete", fmt.Sprintf("%s/volume%d", point, i))
			}
			tries = 0
			r.next("journal")
			if tries != 1 {
				t.Errorf("the changes were resolved %d times", tries)
			}
			r.afterCut, r.frozen = nil, nil
			r.look()
		}
	})
}
