package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func TestAuditFindsWhatTheJournalMissed(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		for i := range 10 {
			write(t, fmt.Sprintf("%s/dir/%d", point, i), "1")
		}
		r.next("walk")
		change := func() {
			write(t, point+"/dir/2", "22")
			write(t, point+"/dir/3", "333")
			write(t, point+"/new/file", "1")
			must(t, os.Remove(point+"/dir/4"))
		}
		change()
		r.o.Audit = true
		r.o.trace = func(op, path string) { // as if meanwhile
			if op == "open" && path == "dir/2" {
				write(t, point+"/dir/9", "changed before it is looked at")
				write(t, point+"/later", "1")
			}
		}
		if v := r.next("walk"); v.Audit == nil || v.Audit.Missed != 0 {
			t.Errorf("%+v, %q", v.Audit, v.Because)
		}
		r.o.trace = nil
		r.next("walk")

		write(t, point+"/dir/2", "4444")
		write(t, point+"/dir/3", "55555")
		must(t, os.Remove(point+"/dir/5"))
		write(t, point+"/dir/missed", "1")
		set, err := r.journal.Cut()
		must(t, err)
		r.o.Changes, r.o.Until = deaf{set, []string{"2", "5", "missed"}}, nil
		v, err := r.try(t.Context())
		must(t, err)
		if v.Audit == nil || v.Audit.Missed != 3 || !slices.Equal(v.Audit.Paths, []string{"dir/2", "dir/5", "dir/missed"}) {
			t.Errorf("%+v", v.Audit)
		}
	})
}

func TestAuditSaysNothingOfWhatIsUnheardMeanwhile(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, counting(t))
	write(t, point+"/dir/changed", "1")
	write(t, point+"/dir/flagged", "1")
	r.next("walk")
	write(t, point+"/dir/changed", "22")
	r.o.Audit = true
	r.o.trace = func(op, path string) {
		if op == "open" && path == "dir/changed" {
			command(t, "chattr", "+d", point+"/dir/flagged") // before it is looked at
		}
	}
	if v := r.next("walk"); v.Audit != nil {
		t.Errorf("%+v, %q", v.Audit, v.Because)
	}
}

func TestAuditSaysNothingOfMoreThanItCanLookAtAgain(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	name := func(i int) string { return fmt.Sprintf("dir/%04d", i) }
	for i := range maxSuspects + 200 {
		write(t, point+"/"+name(i), "1")
	}
	r.next("walk")
	write(t, point+"/"+name(0), "22")
	r.o.Audit, r.o.Walkers, r.o.Limiter = true, 1, noLimit
	r.o.trace = func(op, path string) {
		if op == "open" && path == name(0) {
			for i := 1; i < maxSuspects+200; i++ {
				write(t, point+"/"+name(i), "333")
			}
		}
	}
	if v := r.tryNext(); v.Audit != nil {
		t.Errorf("%+v, %q", v.Audit, v.Because)
	}
}

func TestWholeFolderCoversWhatIsInItAlone(t *testing.T) {
	r := &resolver{w: &walker{survey: &survey{o: &Options{}}}, src: &source{root: stat{btime: snapshot.Time{Sec: 1}}}, root: &dirty{all: true}}
	for path, want := range map[string]bool{"bar": true, "foo/bar": false, "foo/barfoo": false, "b/c/b": false} {
		if got := r.covers(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if r.src.root.btime = (snapshot.Time{}); !r.covers("foo/bar") {
		t.Error("a folder of which it is not known whether it is the one that was is not read whole")
	}
}

// Of a file system that keeps no times of birth, a capture by journal reads all that is in a folder which came to be there: it may be another one of the same number.
func TestAuditKnowsThatANewFolderWithoutATimeOfBirthIsReadWhole(t *testing.T) {
	for _, vague := range []bool{false, true} {
		point := partition(t, "ext4", "-I", "128")
		r := newJournalRig(t, point, nil)
		write(t, point+"/dir/sub/file", "1")
		write(t, point+"/dir/sub/below/file", "1")
		r.next("walk")
		var was, is unix.Stat_t
		must(t, unix.Stat(point+"/dir/sub", &was))
		must(t, os.RemoveAll(point+"/dir/sub"))
		must(t, os.Mkdir(point+"/dir/sub", 0o755))
		if must(t, unix.Stat(point+"/dir/sub", &is)); is.Ino != was.Ino {
			t.Skip("the new folder has a number of its own")
		}
		r.o.Audit, r.vague = true, vague
		if v := r.next("walk"); v.Audit == nil || v.Audit.Missed != 0 {
			t.Errorf("names told to be vague: %v: %+v, %q", vague, v.Audit, v.Because)
		}
	}
}

func TestAuditTakesATimeOfReadingForNoChange(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/dir/file", "1")
	r.next("walk")
	for _, name := range []string{"dir", "dir/file"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(point, name), []unix.Timespec{{Sec: 1}, {Nsec: unix.UTIME_OMIT}}, 0))
	}
	r.o.Audit = true
	if v := r.next("walk"); v.Audit == nil || v.Audit.Missed != 0 {
		t.Errorf("%+v, %q", v.Audit, v.Because)
	}
}
