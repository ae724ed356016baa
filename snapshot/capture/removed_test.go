package capture

import (
	"fmt"
	"os"
	"os/exec"
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
