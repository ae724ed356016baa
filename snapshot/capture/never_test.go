package capture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Nothing is asked of a file system that is not backed up anyway.
func TestPartitionThatIsANeverFolderIsLeftOut(t *testing.T) {
	point, dir := partition(t, "ext4"), t.TempDir()
	for _, d := range []string{point + "/vault", dir + "/bound to it"} {
		must(t, os.Mkdir(d, 0o755))
	}
	must(t, os.Symlink("other", dir+"/link"))
	must(t, os.Symlink(point, dir+"/other"))
	mount(t, dir+"/bound to it", "mount", "--bind", point, dir+"/bound to it")
	d, mute := newMute(t)
	must(t, os.Symlink(mute, dir+"/mute"))
	for _, tt := range []struct {
		never string
		out   bool
	}{
		{point, true},
		{point + "/", true},
		{filepath.Dir(point), true},
		{dir + "/link", true},
		{dir + "/link/.", true},
		{dir + "/bound to it", true},
		{point + "/vault", false},
		{dir + "/link/vault", false},
		{point + "less", false},
		{mute + "/place", false},
		{dir + "/mute/place", false},
	} {
		mounts, err := Discover()
		must(t, err)
		beside := slices.Clone(mounts)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, ok := Reach(mounts, tt.never); ok == strings.HasSuffix(tt.never, "/place") {
				t.Errorf("%s is reached: %v", tt.never, ok)
			}
			LeaveOut(mounts, []string{dir + "/nothing"}, []string{dir + "/nothing", tt.never})
			LeaveOut(beside, []string{dir + "/nothing", tt.never}, []string{dir + "/nothing"})
		}()
		select {
		case what := <-d.asked:
			t.Fatal(tt.never, ": the server is asked", what)
		case <-done:
		}
		i := slices.IndexFunc(mounts, func(m Mount) bool { return m.MountPoint == point })
		for _, got := range []struct {
			as, excluded string
			out          bool
		}{{"folder", mounts[i].Excluded, tt.out}, {"place", beside[i].Excluded, tt.out && tt.never != filepath.Dir(point)}} { // what else is mounted in a place is somebody's own
			if isOut := got.excluded == isOurs; isOut != got.out || !isOut && got.excluded != "" {
				t.Errorf("%s as a %s: it is %q", tt.never, got.as, got.excluded)
			}
		}
	}
}
