package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wantNoSnapshots fails the test if one of ours is on the partition.
func wantNoSnapshots(t *testing.T, point string) {
	t.Helper()
	if left, _ := filepath.Glob(point + "/" + snapshotPrefix + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func mtime(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.ModTime()
}

// Two files are written together, one after the other, again and again, and before and after each round both have the same number, or the first is one ahead. A
// version of one moment has them so; one that was read over a time has not.
func TestBtrfsVersionIsOfOneMoment(t *testing.T) {
	point := partition(t, "btrfs")
	const files = 50
	file := func(i int) string { return fmt.Sprintf("%s/%02d/file", point, i) }
	put := func(i int, n uint64) {
		must(t, os.WriteFile(file(i), binary.BigEndian.AppendUint64(nil, n), 0o644))
	}
	for i := range files {
		write(t, file(i), "")
		put(i, 0)
	}
	r := newRig(t, point)
	r.o.clock, r.o.Limiter, r.o.Walkers = time.Now, noLimit, 1
	round := uint64(0)
	r.o.trace = func(op, path string) { // the whole row, in order, whenever the walk opens a file
		if op == "open" {
			round++
			for i := range files {
				put(i, round)
			}
			must(t, os.WriteFile(fmt.Sprintf("%s/new-%d", point, round), nil, 0o644))
		}
	}
	v := r.run()
	if v.Consistency != "snapshot" || v.LiveBecause != "" || round != files {
		t.Errorf("consistency %s (%s) after %d rounds", v.Consistency, v.LiveBecause, round)
	}
	all := r.entries(v)
	for path, e := range all {
		if !e.IsRegular() {
			continue
		}
		data, _ := r.content(&e)
		if strings.HasPrefix(path, "new-") || len(data) != 8 || binary.BigEndian.Uint64(data) != 0 {
			t.Errorf("%s has %x, which was written while the version was made", path, data)
		}
	}
	wantNoSnapshots(t, point)
	r.o.trace = nil
	compare(t, r, r.run(), point) // what came meanwhile is in the next one
}

// A write right after the snapshot may leave a file with the very times that it has in it.
func TestWriteInTheTickOfTheSnapshotIsSeenByTheNextVersion(t *testing.T) {
	point := partition(t, "btrfs")
	r := newRig(t, point)
	r.o.Limiter, r.o.Walkers = noLimit, 1
	const files = 200
	for i := range files {
		write(t, fmt.Sprintf("%s/%03d", point, i), "one")
	}
	changed := false
	r.o.clock = func() time.Time {
		if changed { // the walk takes its time
			return time.Now().Add(time.Minute)
		}
		return time.Now()
	}
	r.o.trace = func(op, _ string) {
		if op == "open" && !changed {
			changed = true
			for i := range files { // of the same size, and by the clock perhaps of the same moment
				must(t, os.WriteFile(fmt.Sprintf("%s/%03d", point, i), []byte("two"), 0o644))
			}
		}
	}
	first := r.run()
	for path, e := range r.entries(first) {
		var now unix.Stat_t
		must(t, unix.Lstat(filepath.Join(point, path), &now))
		if same := now.Ctim.Sec == e.Ctime.Sec && now.Ctim.Nsec == int64(e.Ctime.Nsec); e.IsRegular() && same && !e.Racy {
			t.Errorf("%s was written again within the grain of the clock, and is trusted", path)
		}
	}
	r.o.trace = nil
	compare(t, r, r.run(), point)
}

func TestSnapshotIsComparedLikeThePartitionItself(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/dir/file", "x")
	must(t, os.Link(point+"/dir/file", point+"/dir/link"))
	command(t, "btrfs", "subvolume", "create", point+"/dir/nested")
	write(t, point+"/dir/nested/deep/file", "y")
	r := newRig(t, point)
	before := mtime(t, point)
	frozen := r.run()
	// The same as it is live, and the other way round: nothing is read again.
	read := map[string]uint64{}
	for i := range 4 {
		if i == 1 {
			must(t, unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		}
		if i == 2 {
			must(t, unix.Mount("", point, "", unix.MS_REMOUNT, ""))
		}
		v := r.run()
		read[v.Consistency] += v.ReadBytes + v.NewBytes + v.Added + v.Deleted
		if i != 1 && v.Changed != 0 {
			t.Errorf("version %d: %d changed", i, v.Changed)
		}
		if i == 1 && (v.Consistency != "live" || v.LiveBecause != "it is mounted read-only") {
			t.Errorf("read-only: %s, %q", v.Consistency, v.LiveBecause)
		}
	}
	if read["snapshot"]+read["live"] != 0 || len(read) != 2 {
		t.Errorf("got %v", read)
	}
	if got := r.paths(frozen, point); !slices.Equal(got, []string{"dir/", "dir/file", "dir/link", "dir/nested/", "dir/nested/deep/", "dir/nested/deep/file"}) {
		t.Errorf("%q", got)
	}
	if now := mtime(t, point); !now.Equal(before) {
		t.Errorf("the root folder was modified %v, and is said to be %v", before, now)
	}
	compare(t, r, r.last, point)
	wantNoSnapshots(t, point)
}

func TestNestedSubvolumesAreReadWhereTheyAre(t *testing.T) {
	point := partition(t, "btrfs")
	deep := point + strings.Repeat("/"+strings.Repeat("long", 50), 3)
	must(t, os.MkdirAll(deep, 0o755))
	for _, name := range []string{deep + "/a", point + "/gone", point + "/replaced", point + "/vault"} {
		command(t, "btrfs", "subvolume", "create", name)
		write(t, name+"/file", "x")
	}
	command(t, "btrfs", "subvolume", "create", deep+"/a/b")
	write(t, deep+"/a/b/file", "y")
	write(t, point+"/0", "the first to be opened")
	r := newRig(t, point)
	r.o.Never, r.o.Limiter = []string{point + "/vault"}, noLimit
	r.o.trace = func(op, path string) {
		if op == "open" && path == "0" {
			command(t, "btrfs", "subvolume", "delete", point+"/gone", point+"/replaced")
			must(t, os.Mkdir(point+"/replaced", 0o755))
			command(t, "btrfs", "subvolume", "create", point+"/new")
		}
	}
	v := r.run()
	rel := strings.TrimPrefix(deep, point+"/")
	got := r.paths(v, point)
	for _, want := range []string{rel + "/a/file", rel + "/a/b/file", "0"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	for _, p := range got {
		if strings.HasPrefix(p, "gone") || strings.HasPrefix(p, "replaced") || strings.HasPrefix(p, "new") || strings.HasPrefix(p, "vault") {
			t.Errorf("%s is in the version", p)
		}
	}
}

// The usual way to lay out a root file system: what is mounted is a subvolume, and others are nested in it and mounted beside it.
func TestMountedSubvolumeHasASnapshotOfItsOwn(t *testing.T) {
	top := partition(t, "btrfs")
	command(t, "btrfs", "subvolume", "create", top+"/@")
	command(t, "btrfs", "subvolume", "create", top+"/@/home")
	write(t, top+"/@/etc/file", "x")
	write(t, top+"/@/home/file", "y")
	write(t, top+"/elsewhere", "z")
	point := t.TempDir()
	mount(t, point, "mount", "-o", "subvol=@", command(t, "findmnt", "-no", "SOURCE", top), point)
	m, err := Discover()
	must(t, err)
	i := slices.IndexFunc(m, func(m Mount) bool { return m.MountPoint == point })
	if i < 0 || m[i].FSType != "btrfs" {
		t.Fatalf("got %+v", m)
	}
	r := newRig(t, top)
	r.o.Partition = m[i].Partition
	v := r.run()
	if got := r.paths(v, point); v.Consistency != "snapshot" || !slices.Equal(got, []string{"etc/", "etc/file", "home/", "home/file"}) {
		t.Errorf("%s (%s), %q", v.Consistency, v.LiveBecause, got)
	}
	if v := r.run(); v.Added+v.Changed+v.Deleted+v.ReadBytes+v.NewBytes != 0 {
		t.Errorf("again: %+v", v)
	}
	wantNoSnapshots(t, point)
	wantNoSnapshots(t, top)
}

func TestVaultOnTheSamePartitionStaysOutOfItsSnapshot(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/vault/pack", "x")
	write(t, point+"/hidden/pack", "x")
	write(t, point+"/kept", "x")
	mount(t, point+"/hidden", "mount", "-t", "tmpfs", "none", point+"/hidden")
	r := newRig(t, point)
	r.o.Never = []string{point + "/vault", point + "/hidden"}
	if v := r.run(); !slices.Equal(r.paths(v, point), []string{"kept"}) || v.Consistency != "snapshot" {
		t.Errorf("%q, %s", r.paths(v, point), v.Consistency)
	}
}

func TestWhereNoSnapshotCanBeMadeThePartitionIsReadAsItIs(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/folder/file", "x")
	sub := t.TempDir()
	mount(t, sub, "mount", "--bind", point+"/folder", sub)
	r := newRig(t, point)
	m, err := Discover()
	must(t, err)
	i := slices.IndexFunc(m, func(m Mount) bool { return m.MountPoint == sub })
	r.o.Partition = m[i].Partition
	v := r.run()
	if v.Consistency != "live" || v.LiveBecause != "what is mounted is a folder within a subvolume" || !slices.Equal(r.paths(v, sub), []string{"file"}) {
		t.Errorf("%s, %q, %q", v.Consistency, v.LiveBecause, r.paths(v, sub))
	}
	ext4, point := emptyRig(t)
	write(t, point+"/file", "x")
	if v := ext4.run(); v.Consistency != "live" || v.LiveBecause != "" {
		t.Errorf("ext4: %s, %q", v.Consistency, v.LiveBecause)
	}
}

func TestCaptureThatIsCancelledRemovesItsSnapshot(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/file", "x")
	r := newRig(t, point)
	r.o.Limiter = noLimit
	ctx, cancel := context.WithCancel(t.Context())
	there := 0
	r.o.trace = func(string, string) {
		left, _ := filepath.Glob(point + "/" + snapshotPrefix + "*")
		there += len(left)
		for _, dir := range left { // what is deleted or closed meanwhile, or lies under other mounts, is for nobody
			if info, err := os.Stat(dir); err != nil || info.Mode() != os.ModeDir|0o700 {
				t.Errorf("%s is %v (%v)", dir, info.Mode(), err)
			}
			if _, err := os.Stat(dir + "/" + snapshotName + "/file"); err != nil {
				t.Error(err)
			}
		}
		cancel()
	}
	if _, err := r.try(ctx); err != context.Canceled || there != 1 {
		t.Errorf("got %v, %d snapshots meanwhile", err, there)
	}
	wantNoSnapshots(t, point)
}

func TestAbandonedSnapshotsAreRemovedAndNothingElse(t *testing.T) {
	point := partition(t, "btrfs")
	write(t, point+"/file", "x")
	m := mountOf(t, point)
	at := func(name string) string { return point + "/" + snapshotPrefix + name }
	abandon := func(name string) {
		must(t, os.Mkdir(at(name), 0o700))
		command(t, "btrfs", "subvolume", "snapshot", "-r", point, at(name)+"/"+snapshotName)
	}
	abandon("abandoned")
	must(t, os.Mkdir(at("begun"), 0o700))
	command(t, "btrfs", "subvolume", "snapshot", "-r", point, at("earlier")) // as an earlier program left them
	// What only has such a name: folders, writable snapshots, and one that is at work.
	write(t, at("folder/file"), "x")
	must(t, os.Mkdir(at("more"), 0o700))
	write(t, at("more/file"), "x")
	command(t, "btrfs", "subvolume", "snapshot", "-r", point, at("more")+"/"+snapshotName)
	command(t, "btrfs", "subvolume", "snapshot", point, at("writable"))
	s, err := openSource(t.Context(), m.Partition, time.Now) // removes the abandoned ones
	must(t, err)
	defer s.close()
	left := func() (names []string) {
		all, _ := filepath.Glob(at("*"))
		for _, p := range all {
			names = append(names, strings.TrimPrefix(filepath.Base(p), snapshotPrefix))
		}
		return names
	}
	atWork := strings.TrimPrefix(s.made.name, snapshotPrefix)
	if got := left(); !slices.Equal(got, sorted([]string{atWork, "folder", "more", "writable"})) {
		t.Errorf("left are %q", got)
	}
	r := newRig(t, point)
	want := []string{snapshotPrefix + "folder/", snapshotPrefix + "folder/file", snapshotPrefix + "more/", snapshotPrefix + "more/file", snapshotPrefix + "more/snapshot/", "file"}
	if got := r.paths(r.run(), point); !slices.Equal(got, want) {
		t.Errorf("beside another capture: %q", got)
	}
	abandon("again")
	removed, err := Tidy([]Mount{m})
	if err != nil || !slices.Equal(removed, []string{at("again")}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	if got := left(); !slices.Contains(got, atWork) || len(got) != 4 {
		t.Errorf("left are %q", got)
	}
}

// What changes between the journal's cut and the snapshot is in the snapshot, and so it is in the version.
func TestJournalTellsAllUpToTheMoment(t *testing.T) {
	point := partition(t, "btrfs")
	for _, name := range []string{"changed", "deleted", "from/moved/file", "from/file", "still", "to/file"} {
		write(t, point+"/"+name, "one")
	}
	r := newJournalRig(t, point, nil)
	r.next("walk")
	change := func(version string) {
		write(t, point+"/changed", version)
		write(t, point+"/new-"+version, version)
		must(t, os.Rename(point+"/from/moved", point+"/to/"+version))
		must(t, os.Rename(point+"/from/file", point+"/to/file"))
		must(t, os.Remove(point+"/deleted"))
		write(t, point+"/from/moved/file", version)
		write(t, point+"/from/file", version)
		write(t, point+"/deleted", "again")
	}
	told := 0
	r.o.clock = func() time.Time { // is asked before the snapshot is made
		if told++; told == 1 {
			change("before")
		}
		return time.Now().Add(time.Minute)
	}
	r.frozen = func() {
		if told++; told == 2 {
			change("after")
		}
	}
	v := r.next("journal")
	all := r.entries(v)
	e := all["changed"]
	if data, _ := r.content(&e); v.Consistency != "snapshot" || told != 2 || string(data) != "before" {
		t.Errorf("%s, the version has %q", v.Consistency, data)
	}
	want := []string{"changed", "deleted", "from/", "from/file", "from/moved/", "from/moved/file", "new-before", "still", "to/", "to/before/", "to/before/file", "to/file"}
	if got := r.paths(v, point); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	r.o.clock = func() time.Time { return time.Now().Add(time.Minute) }
	r.asWalk(r.next("journal"))
}

// The kernel may take its time over a snapshot. What comes too late is removed.
func TestSnapshotThatComesLateIsRemoved(t *testing.T) {
	point := partition(t, "btrfs")
	root, err := openAt(unix.AT_FDCWD, append(zname(point), 0), openDir)
	must(t, err)
	defer unix.Close(root)
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{t.Context(), errSlowSnapshot}, {ended, context.Canceled}} {
		patience := time.Duration(0)
		if c.want == context.Canceled {
			patience = time.Hour
		}
		m, err := snapshotInTime(c.ctx, root, patience)
		if err == nil { // it was quicker than no time at all
			must(t, m.remove(root))
		} else if !errors.Is(err, c.want) {
			t.Error(err)
		}
	}
	for begin := time.Now(); openOf(t, point) > 1; time.Sleep(10 * time.Millisecond) { // until those who are late are done
		if time.Since(begin) > time.Minute {
			t.Fatal("a snapshot is still being made")
		}
	}
	wantNoSnapshots(t, point)
}

// openOf counts this process's descriptors of a folder.
func openOf(t *testing.T, dir string) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range all {
		if to, _ := os.Readlink(fd); to == dir {
			n++
		}
	}
	return n
}
