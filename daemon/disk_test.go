package daemon

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// loopDisk makes a small file system in a file, and mounts it until the test ends.
func loopDisk(t *testing.T) (point string) { return loopDiskAt(t, filepath.Join(t.TempDir(), "point")) }

// loopDiskAt is loopDisk with where it is mounted.
func loopDiskAt(t *testing.T, point string) string {
	t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and mkfs.ext4")
	}
	image := point + ".image"
	if err := errors.Join(os.MkdirAll(point, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 600<<20)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, point}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		err := syscall.Unmount(point, 0)
		for begin := time.Now(); err == syscall.EBUSY && time.Since(begin) < 5*time.Second; err = syscall.Unmount(point, 0) {
			time.Sleep(20 * time.Millisecond) // a process that is just being started has all descriptors until it is another program
		}
		if err != nil {
			t.Errorf("unmount %s: %v", point, err)
		}
	})
	return point
}

// The folder where it was mounted is no vault, and neither is it well there nor is anything written; when the disk is back, as another device, it is used.
func TestVaultOnADiskThatIsUnpluggedIsUsedWhenItIsBack(t *testing.T) {
	for name, atOnce := range map[string]bool{"at once": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			dir, point := source(t), loopDisk(t)
			needPartition(t, dir)
			o := options(t)
			o.Tempo, o.Settings.Vault.Places = 1000, []string{point}
			c, _ := serve(t, o)
			mustNot[control.Activation](t)(c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}))
			if task := backUp(t, c); task.State != control.Completed {
				t.Fatalf("got %+v", task)
			}
			held := mustNot[*os.File](t)(os.Open(point)) // so that its device stays taken
			defer held.Close()
			image := point + ".image"
			if out, err := exec.Command("cp", "--sparse=always", image, image+".copy").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			messages := func() []control.Message {
				all, _ := c.Messages(t.Context(), control.MessagesRequest{}) // it may be beginning anew
				return slices.DeleteFunc(all, func(m control.Message) bool { return m.Kind != control.MessagePlace })
			}
			if !atOnce {
				until(t, "the message", func() bool { all := messages(); return len(all) == 1 && strings.Contains(all[0].Text, point) })
			}
			back := time.Now()
			if out, err := exec.Command("mount", "-o", "loop", image+".copy", point).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			until(t, "a backup to work", func() bool {
				task, err := c.Backup(t.Context(), control.BackupRequest{})
				if err == nil {
					err = c.WatchTask(t.Context(), task.ID, func(now control.Task) error { task = now; return nil })
				}
				return err == nil && task.State == control.Completed
			})
			until(t, "the messages to be over", func() bool {
				return !slices.ContainsFunc(messages(), func(m control.Message) bool { return m.Resolved == nil })
			})
			for _, m := range messages() {
				if m.Resolved.Before(back) {
					t.Errorf("told to be over before it was back: %+v", m)
				}
			}
			if names := entries(held.Name()); len(names) == 0 {
				t.Error("the disk is not mounted")
			}
		})
	}
}

// only has nothing be mounted but at some points.
func (s *still) only(points ...string) {
	s.o.Discover = func() ([]capture.Mount, error) {
		mounts, err := capture.Discover()
		return slices.DeleteFunc(mounts, func(m capture.Mount) bool { return !slices.Contains(points, m.MountPoint) }), err
	}
}

func TestDiskThatIsAPlaceOfTheVaultIsLeftOut(t *testing.T) {
	place, data := loopDisk(t), loopDisk(t)
	s := newStill(t, func(o *Options) { o.Settings.Vault.Places = []string{place} })
	s.only(place, data)
	s.limit(nil, nil)
	s.days("2026-11-24")
	s.want("24 03:17 completed")
	if vs := s.vault.Versions(s.instance.ID); len(vs) != 1 {
		t.Errorf("versions: %+v", vs)
	}
	if got := s.late("2026-11-24 04:00"); len(got) != 0 {
		t.Errorf("late at once: %q", got)
	}
	if got := s.late("2026-11-25 12:00"); len(got) != 1 || !strings.Contains(got[0], "version of "+strings.ReplaceAll(data[1:], "/", "-")) {
		t.Errorf("late: %q", got)
	}
	status := mustNot[control.Status](t)(s.status(t.Context(), control.None{}))
	is := func(point, excluded string) func(control.Partition) bool {
		return func(p control.Partition) bool {
			return p.MountPoint == point && p.Excluded == excluded && p.Selected == (excluded == "")
		}
	}
	if !slices.ContainsFunc(status.Partitions, is(place, "it holds the vault or what belongs to it")) || !slices.ContainsFunc(status.Partitions, is(data, "")) {
		t.Errorf("status: %+v", status.Partitions)
	}
	mounts, err := s.mounts()
	if told := s.beside(s.policy, mounts); err != nil || len(told) != 0 {
		t.Errorf("told: %q, %v", told, err)
	}
	p := *s.policy
	p.Partitions = []string{strings.ReplaceAll(place[1:], "/", "-")}
	if ts := plan(&p, mounts, exists); len(ts) != 1 || ts[0].err == nil || !strings.Contains(ts[0].err.Error(), "cannot be backed up: it holds the vault") {
		t.Errorf("asked for by name: %+v", ts)
	}
}

// What is mounted beside the vault's own folders in a place is somebody's disk.
func TestDiskBelowAPlaceIsBackedUp(t *testing.T) {
	second := t.TempDir()
	s := newStill(t, func(o *Options) { o.Settings.Vault.Places = []string{second} })
	first, state := s.o.Home.Vault, s.o.Home.State // the home's own is one, used or not
	s.o.Discover = func() (mounts []capture.Mount, err error) {
		for _, point := range []string{first + "/photos", second + "/photos", second + "/keys2", first, second, second + "/instances", first + "/instances/a", state + "/photos"} {
			mounts = append(mounts, mountAt(strings.ReplaceAll(point[1:], "/", "-"), point))
		}
		return mounts, nil
	}
	mounts, err := s.mounts()
	for i, m := range mounts {
		if isOut := m.Excluded != ""; isOut != (i > 2) {
			t.Errorf("%s: %q", m.MountPoint, m.Excluded)
		}
	}
	if err != nil || len(mounts) != 8 {
		t.Error(len(mounts), err)
	}
}

// What is mounted over a disk is not backed up, and the disk neither. Nobody has left it out for that.
func TestDiskThatSomethingIsMountedOverIsLate(t *testing.T) {
	disk := loopDisk(t)
	s := newStill(t)
	s.only(disk)
	s.limit(nil, nil)
	s.days("2026-11-24")
	if got := s.late("2026-11-24 04:00"); len(got) != 0 {
		t.Errorf("late at once: %q", got)
	}
	name := strings.ReplaceAll(disk[1:], "/", "-")
	for point, why := range map[string]string{disk: "hidden by another mount", filepath.Dir(disk): "cannot be reached: no such file or directory"} {
		t.Run(why, func(t *testing.T) {
			if err := syscall.Mount("tmpfs", point, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := syscall.Unmount(point, 0); err != nil {
					t.Error(err)
				}
			}()
			got := s.late("2026-11-25 12:00")
			if len(got) != 1 || !strings.Contains(got[0], "version of "+name) || !strings.Contains(got[0], "; it cannot be backed up: "+why+"; see what is mounted") {
				t.Errorf("late: %q", got)
			}
			s.resolve(lateCause + name) // the next one is to be told anew
		})
	}
}

// A path that is the folder of a disk which is away would be backed up empty.
func TestPathWhoseDiskIsNotMountedIsWarnedOf(t *testing.T) {
	disk := loopDisk(t)
	s := newStill(t)
	if err := os.WriteFile(filepath.Join(disk, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.change(control.ActivateRequest{Paths: []string{disk}})
	s.days("2026-11-24")
	warned := func() string { return list(s.change(control.ActivateRequest{Paths: []string{s.dir, disk}}).Warnings) }
	if got := warned(); strings.Contains(got, disk) {
		t.Errorf("it is mounted: %s", got)
	}
	image := disk + ".image"
	if err := syscall.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	got := warned()
	if out, err := exec.Command("mount", "-o", "loop", image, disk).CombinedOutput(); err != nil { // its end is awaited
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(got, "nothing is mounted on "+disk+", which is empty, and there are versions of the partition ") {
		t.Errorf("got %s", got)
	}
}

// Of two disks with one name, each has versions under its own, whichever is plugged in.
func TestDisksOfOneNameKeepTheirVersionsApart(t *testing.T) {
	dir := t.TempDir()
	always := loopDiskAt(t, filepath.Join(dir, "data-backup"))
	s := newStill(t)
	s.limit(nil, nil)
	of := func() map[string][]string {
		all := map[string][]string{}
		for _, k := range s.vault.Versions(s.instance.ID) {
			point := s.completed(t.Context(), s.vault, k).MountPoint
			if all[point] = append(all[point], k.Partition); len(slices.Compact(slices.Clone(all[point]))) > 1 {
				t.Errorf("versions of %s are under %q", point, all[point])
			}
		}
		return all
	}
	name := strings.ReplaceAll(always[1:], "/", "-")
	s.only(always)
	s.days("2026-11-24")
	sometimes := loopDiskAt(t, filepath.Join(dir, "data/backup"))
	s.only(always, sometimes)
	s.days("2026-11-25")
	all := of()
	if len(all[always]) != 2 || len(all[sometimes]) != 1 || all[always][0] != name || all[sometimes][0] == name {
		t.Errorf("got %v", all)
	}
}

// A name is made of the bytes of a mount point, which a record has to give back as they were.
func TestPartitionWhoseMountPointIsNotUTF8KeepsItsName(t *testing.T) {
	point := loopDiskAt(t, filepath.Join(t.TempDir(), "a\xff\xfedisk"))
	file := filepath.Join(point, "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStill(t)
	s.only(point)
	s.limit(nil, nil)
	s.days("2026-11-24", "2026-11-25")
	s.again()
	s.only(point)
	s.limit(nil, nil)
	s.days("2026-11-26")
	s.want("24 03:17 completed", "25 03:17 completed", "26 03:17 completed")
	keys := s.vault.Versions(s.instance.ID)
	if len(keys) != 3 || keys[0].Partition != keys[2].Partition || !strings.HasSuffix(keys[0].Partition, "-a%ff%fedisk") {
		t.Errorf("versions: %v", keys)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	task, err := s.restore(t.Context(), control.RestoreRequest{Version: "latest", Partition: keys[0].Partition})
	if err == nil {
		task = wait(t, s.tasks, task.ID)
	}
	if got, readErr := os.ReadFile(file); err != nil || readErr != nil || string(got) != "content" {
		t.Errorf("restored where it was: %q, %v; %+v, %v", got, readErr, task, err)
	}
}

// Whatever a disk is mounted at beside, it stays the partition that has versions, while it is mounted where that was.
func TestPartitionThatIsMountedAgainElsewhereStaysTheSame(t *testing.T) {
	for name, again := range map[string][]string{"bind mount": {"mount", "--bind"}, "its device": {"mount"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			point, short := loopDiskAt(t, filepath.Join(dir, "data")), filepath.Join(dir, "d")
			device := point
			s := newStill(t)
			s.only(point, short)
			s.limit(nil, nil)
			s.days("2026-11-24")
			partitions := func() (all []string) {
				for _, p := range mustNot[control.Status](t)(s.status(t.Context(), control.None{})).Partitions {
					if all = append(all, filepath.Base(p.MountPoint)+" "+p.Excluded); p.Excluded == "" {
						device = p.Device
					}
				}
				return all
			}
			if got := partitions(); !slices.Equal(got, []string{"data "}) {
				t.Fatalf("got %q", got)
			}
			from := point
			if len(again) == 1 {
				from = device
			}
			if err := os.Mkdir(short, 0o755); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(again[0], append(again[1:], from, short)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			unmount := sync.OnceFunc(func() {
				if err := syscall.Unmount(short, 0); err != nil {
					t.Error(err)
				}
			})
			t.Cleanup(unmount)
			if got := partitions(); !slices.Equal(got, []string{"d backed up as " + point, "data "}) {
				t.Errorf("got %q", got)
			}
			s.days("2026-11-25")
			keys := s.vault.Versions(s.instance.ID)
			if len(keys) != 2 || keys[0].Partition != keys[1].Partition {
				t.Errorf("versions: %v", keys)
			}
			if got := s.late("2026-11-26 02:00"); len(got) != 0 {
				t.Errorf("late: %q", got)
			}
			if r, err := record(t.Context(), s.vault, keys[1]); err != nil || r.Parent != keys[0].Version {
				t.Errorf("the second was made from %q, %v", r.Parent, err)
			}
		})
	}
}

// newSmall is a still daemon whose vault is alone on a disk of which room leaves it so many bytes; file writes one that is backed up.
func newSmall(t *testing.T) (s *still, file func(name string, content []byte), room func(bytes int64)) {
	t.Helper()
	disk := loopDisk(t)
	s = newStill(t, func(o *Options) {
		o.Settings.Vault.Places = []string{filepath.Join(disk, "vault")}
		o.Settings.ScrubDays, o.Settings.DrillDays = new(int), new(int)
	})
	file = func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	room = func(bytes int64) {
		t.Helper()
		var fs syscall.Statfs_t
		ballast, err := os.CreateTemp(disk, "")
		if err = errors.Join(err, syscall.Statfs(disk, &fs)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(syscall.Fallocate(int(ballast.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-256e6-bytes), ballast.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return s, file, room
}

// What backups stored that found the vault full, and made no version, takes no room from one that would have enough.
func TestWhatFilledTheVaultWithoutAVersionIsGivenBack(t *testing.T) {
	s, file, room := newSmall(t)
	content := random(128 << 20)
	file("big", content[:96<<20])
	room(80 << 20)
	s.days("2026-11-24")
	s.wantDue(false) // the next one uses what it stored
	s.change(control.ActivateRequest{Excludes: []string{"big"}})
	file("small", content[98<<20:])
	room(8 << 20)
	s.days("2026-11-25")
	s.wantDue(true)
	s.wantChores("g-20261125-0001 completed")
	s.days("2026-11-26")
	s.want("24 03:17 failed", "25 03:17 failed", "26 03:17 completed")
}

// A gc gives no room back on the disk of the index, and what a cut-off backup stored is of use to the next one.
func TestFullDiskOfTheIndexBeginsNoGC(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	var index string
	s := newStill(t, func(o *Options) {
		index = o.Home.Index
		if err := os.MkdirAll(index, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("yester-test", index, "tmpfs", 0, "size=200m,mode=0700"); err != nil {
			t.Skipf("no tmpfs can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(index, 0); err != nil {
				t.Error(err)
			}
		})
	})
	file := func(name string, size int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), random(size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file("big", 16<<20)
	s.days("2026-11-24")
	if err := syscall.Mount("", index, "", syscall.MS_REMOUNT, "size=60m"); err != nil {
		t.Fatal(err)
	}
	file("small", 10<<10)
	s.days("2026-11-25")
	s.want("24 03:17 completed", "25 03:17 failed")
	s.wantDue(false)
}

// It would be stored and deleted in turn for ever.
func TestWhatIsLargerThanTheVaultIsGivenBackOnceUntilThereWasRoom(t *testing.T) {
	s, file, room := newSmall(t)
	content := random(64 << 20)
	file("big", content)
	room(40 << 20)
	s.days("2026-11-24", "2026-11-25")
	s.wantChores("g-20261125-0001 completed")
	s.days("2026-11-26", "2026-11-27")
	s.wantDue(false)
	s.wantChores()
	if gc := wait(t, s.tasks, mustNot[control.Task](t)(s.vaultGC(t.Context(), control.None{})).ID); gc.State != control.Completed {
		t.Errorf("got %+v", gc)
	}
	file("big", content[:1<<20])
	s.days("2026-11-28")
	file("big", random(64<<20))
	s.days("2026-11-29", "2026-11-30", "2026-12-01")
	s.wantChores("g-20261201-0001 completed")
	s.want("24 03:17 failed", "25 03:17 failed", "26 03:17 failed", "27 03:17 failed", "28 03:17 completed", "29 03:17 failed", "30 03:17 failed", "01 03:17 failed")
}

func TestWhatABackupStoresIsOfNoAccountInBytesAndBesideTheVault(t *testing.T) {
	for _, tt := range []struct {
		stored, all uint64
		want        bool
	}{{0, 0, true}, {1, 99, false}, {1, 100, true}, {64 << 20, 1 << 50, true}, {64<<20 + 1, 1 << 50, false}} {
		if got := nextToNothing(tt.stored, tt.all); got != tt.want {
			t.Errorf("%d of %d: %v", tt.stored, tt.all, got)
		}
	}
}

// The first backup of a large disk lets none wait that has a version already, or has one sooner.
func TestLargeDiskIsBackedUpForTheFirstTimeAfterTheOthers(t *testing.T) {
	dir := t.TempDir()
	var points []string
	for i, size := range []int{8 << 20, 4 << 20, 0} {
		point := loopDiskAt(t, filepath.Join(dir, string(rune('a'+i))))
		if err := os.WriteFile(filepath.Join(point, "file"), random(size), 0o644); err != nil {
			t.Fatal(err)
		}
		points = append(points, point)
	}
	s := newStill(t)
	s.limit(nil, nil)
	order := func(want string, points ...string) {
		t.Helper()
		s.only(points...)
		s.days(s.o.Now().AddDate(0, 0, 1).Format(time.DateOnly))
		all := mustNot[[]control.Task](t)(s.tasks.list())
		got := ""
		for _, r := range all[len(all)-1].Results {
			got += r.Partition[len(r.Partition)-1:]
		}
		if got != want {
			t.Errorf("the order was %q, want %q", got, want)
		}
	}
	order("b", points[1])
	order("bca", points...)
	order("abc", points...)
}

// A version of another disk that was there is no parent.
func TestDiskThatWasMadeAnewIsBackedUpAfterTheOthersToo(t *testing.T) {
	of := func(name, uuid string, parent *snapshot.Version) target {
		return target{partition: snapshot.Partition{Name: name, FSType: "ext4", UUID: uuid, Used: 1}, parent: parent}
	}
	old := &snapshot.Version{Partition: snapshot.Partition{FSType: "ext4", UUID: "1"}}
	targets := []target{of("anew", "2", old), of("first", "3", nil), of("other", "1", old)}
	slices.SortStableFunc(targets, sooner)
	if got := targets[0].partition.Name + " " + targets[1].partition.Name; got != "other anew" {
		t.Errorf("first come %s", got)
	}
}
