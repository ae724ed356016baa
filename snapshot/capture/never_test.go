package capture

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// One of them is our own mount.
func TestNeverPathsAreFoundWithoutAskingWhoServesThem(t *testing.T) {
	needRoot(t)
	d, point := newMute(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Mkdir(dir+"/folder", 0o755))
	must(t, os.Symlink(point, dir+"/absolute"))
	must(t, os.Symlink("folder/none", dir+"/relative"))
	must(t, os.Symlink("loop", dir+"/loop"))
	found := make(chan []string, 1)
	go func() {
		found <- neverIn("/", []string{point, dir + "/absolute", dir + "/relative", dir + "/loop", "relative"})
	}()
	select {
	case what := <-d.asked:
		t.Fatal("the server is asked", what)
	case got := <-found:
		if want := []string{point, point, dir + "/folder/none", dir + "/loop"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
