package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func TestUnchangedPartitionIsNeitherReadNorStored(t *testing.T) {
	point := partition(t, "ext4")
	hostile(t, point)
	for i := range 3000 {
		write(t, fmt.Sprintf("%s/many/%04d", point, i), "x")
	}
	r := newRig(t, point)
	first := r.run()
	r.o.trace = func(op, path string) { t.Errorf("%s %q", op, path) }
	v := r.run()
	if v.Added+v.Changed+v.Deleted+v.ReadBytes+v.NewBytes+v.Stored != 0 || !bytes.Equal(v.Root, first.Root) || v.Totals != first.Totals {
		t.Errorf("%+v", v)
	}
	if v.Parent != first.Name || v.Method != "walk" || v.Consistency != "live" {
		t.Errorf("%+v", v)
	}
	compare(t, r, v, point)
}

func TestNextVersionHasJustTheChanges(t *testing.T) {
	point := partition(t, "ext4")
	hostile(t, point)
	r := newRig(t, point)
	before := r.run()
	old := r.entries(before)
	write(t, point+"/names/plain", "changed")
	must(t, os.Rename(point+"/old", point+"/renamed"))
	must(t, os.RemoveAll(point+"/hard"))
	must(t, os.Chmod(point+"/capable", 0o700))
	must(t, unix.Setxattr(point+"/xattrs", "user.dir", []byte("e"), 0))
	must(t, os.Remove(point+"/link"))
	must(t, os.MkdirAll(point+"/link/now/a/folder", 0o755))
	must(t, os.RemoveAll(point+"/folders"))
	write(t, point+"/folders", "now a file")
	must(t, os.Symlink("elsewhere", point+"/new"))
	v := r.run()
	compare(t, r, v, point)
	all := r.entries(v)
	var added, changed, deleted uint64
	for p, e := range all {
		o, ok := old[p]
		switch {
		case !ok:
			added++
		case !alike(&o, &e):
			changed++
		}
	}
	for p := range old {
		if _, ok := all[p]; !ok {
			deleted++
		}
	}
	if v.Added != added || v.Changed != changed || v.Deleted != deleted {
		t.Errorf("added %d, changed %d, deleted %d; want %d, %d, %d", v.Added, v.Changed, v.Deleted, added, changed, deleted)
	}
	if got := r.entries(before); len(got) != len(old) {
		t.Error("the earlier version changed")
	}
	if v.ReadBytes > 100 {
		t.Errorf("%d bytes read", v.ReadBytes)
	}
}

// Random changes, each version compared with the source in full: reuse of trees and entries must never show.
func TestManyVersionsOfAChangingTree(t *testing.T) {
	point := partition(t, "ext4")
	r := newRig(t, point)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func() string {
		path := point
		for range 1 + rnd.IntN(3) {
			path += "/" + strconv.Itoa(rnd.IntN(12))
		}
		return path
	}
	for range 12 {
		for range 60 {
			path := pick()
			switch rnd.IntN(6) {
			case 0:
				_ = os.RemoveAll(path)
			case 1:
				_ = os.MkdirAll(path, 0o755)
			case 2:
				_ = os.Rename(path, pick())
			case 3:
				_ = os.Link(path, pick())
			default:
				_ = os.MkdirAll(filepath.Dir(path), 0o755)
				_ = os.WriteFile(path, []byte(strconv.Itoa(rnd.IntN(1000))), 0o644)
			}
		}
		v := r.run()
		compare(t, r, v, point)
		if t.Failed() {
			return
		}
	}
}

func TestRacyFilesAreReadAgain(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/young", "1")
	write(t, dir+"/old", "1")
	var opened []string
	r.o.trace = func(op, path string) {
		if op == "open" {
			opened = append(opened, filepath.Base(path))
		}
	}
	age := time.Minute
	r.o.clock = func() time.Time { return time.Now().Add(age) }
	must(t, os.Chtimes(dir+"/young", time.Time{}, time.Now().Add(10*time.Minute)))
	r.run()
	opened = nil
	v := r.run()
	if !slices.Equal(opened, []string{"young"}) || v.Changed != 0 {
		t.Errorf("opened %q, %d changed; want the one whose time lies in the future", opened, v.Changed)
	}
	age = time.Hour
	opened = nil
	r.run()
	if !slices.Equal(opened, []string{"young"}) {
		t.Errorf("opened %q: what was racy must be read once more", opened)
	}
	opened = nil
	if r.run(); len(opened) > 0 {
		t.Errorf("opened %q", opened)
	}
}

func TestIsRacy(t *testing.T) {
	now := time.Unix(1000, 500_000_000)
	at := func(sec int64, nsec uint32) snapshot.Time { return snapshot.Time{Sec: sec, Nsec: nsec} }
	for _, c := range []struct {
		ctime, mtime snapshot.Time
		want         bool
	}{
		{at(1000, 399_999_999), at(1, 0), false},
		{at(1000, 400_000_000), at(1, 0), true},
		{at(1000, 399_999_999), at(1000, 400_000_000), true},
		{at(999, 0), at(999, 0), true},
		{at(998, 0), at(998, 0), false},
		{at(999, 1), at(998, 0), false},
		{at(5000, 1), at(1, 0), true},
		{at(1, 1), at(5000, 0), true},
		{at(-5, 1), at(-9, 0), false},
	} {
		if got := isRacy(now, &stat{ctime: c.ctime, mtime: c.mtime}); got != c.want {
			t.Errorf("ctime %v mtime %v: %v", c.ctime, c.mtime, got)
		}
	}
}

func TestClockThatWasSetBack(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	first := r.run()
	r.o.Now = func() time.Time { return first.Start.Add(-24 * time.Hour) }
	v := r.run(".: the clock says " + snapshot.Name(first.Start.Add(-24*time.Hour)))
	if v.Name != snapshot.Name(first.Start.Add(time.Second)) || v.Parent != first.Name {
		t.Errorf("%s after %s", v.Name, v.Parent)
	}
	r.o.Now = func() time.Time { return v.Start }
	if v = r.run("the clock"); v.Name != snapshot.Name(first.Start.Add(2*time.Second)) {
		t.Error(v.Name)
	}
}

func TestVersionsOfOneSecondHaveNamesOfTheirOwn(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	first := r.run()
	r.o.Now = func() time.Time { return first.Start }
	if v := r.run(); v.Name != snapshot.Name(first.Start.Add(time.Second)) {
		t.Error(v.Name)
	}
}

func TestAnotherFileSystemAtTheSamePlaceIsReadAnew(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/file", "x")
	r.run()
	r.o.Partition.UUID = "another"
	if v := r.run(); v.ReadBytes != 1 || v.Parent != "" || v.Added == 0 {
		t.Errorf("%+v", v)
	}
}

func TestDamagedParentCostsTimeOnly(t *testing.T) {
	r, dir := emptyRig(t)
	for i := range 2000 {
		write(t, fmt.Sprintf("%s/folder/%04d", dir, i), "x")
	}
	write(t, dir+"/file", "x")
	r.run()
	v := *r.last
	root, err := v.RootEntry()
	must(t, err)
	root.Tree[0]++
	v.SetRoot(&root)
	r.last = &v
	compare(t, r, r.run(".: the earlier version cannot be read here"), dir)
}
