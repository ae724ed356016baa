package capture

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestParseMounts(t *testing.T) {
	for line, want := range map[string]mountLine{
		`27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard`:                                                {27, 1, 254, 0, "/", "/", "ext4", "/dev/vda", "rw,discard"},
		`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`:                       {36, 35, 98, 0, "/mnt1", "/mnt2", "ext3", "/dev/root", "rw,errors=continue"},
		`40 27 0:35 /@home /home rw shared:5 master:2 propagate_from:7 unbindable - btrfs /dev/sda2 rw`:        {40, 27, 0, 35, "/@home", "/home", "btrfs", "/dev/sda2", "rw"},
		`41 27 8:1 / /mnt/a\040b\011c\012d\134e\043f rw - vfat /dev/sda1 rw`:                                   {41, 27, 8, 1, "/", "/mnt/a b\tc\nd\\e#f", "vfat", "/dev/sda1", "rw"},
		`42 27 0:44 / /mnt/nfs rw - nfs4 server:/export/a\040b rw,vers=4.2`:                                    {42, 27, 0, 44, "/", "/mnt/nfs", "nfs4", "server:/export/a b", "rw,vers=4.2"},
		`43 27 0:45 / /mnt/empty rw - tmpfs  rw`:                                                               {43, 27, 0, 45, "/", "/mnt/empty", "tmpfs", "", "rw"},
		`44 27 0:4 mnt:[4026532281] /run/docker/netns/default rw shared:9 - nsfs nsfs rw`:                      {44, 27, 0, 4, "mnt:[4026532281]", "/run/docker/netns/default", "nsfs", "nsfs", "rw"},
		`45 27 8:3 /var/lib/docker/containers/a/hostname /etc/hostname rw,relatime - xfs /dev/mapper/vg-lv rw`: {45, 27, 8, 3, "/var/lib/docker/containers/a/hostname", "/etc/hostname", "xfs", "/dev/mapper/vg-lv", "rw"},
		`46 27 8:17 / /media/disk rw,nosuid - fuseblk /dev/sdb1 rw,user_id=0`:                                  {46, 27, 8, 17, "/", "/media/disk", "fuseblk", "/dev/sdb1", "rw,user_id=0"},
		`47 27 0:50 / /merged rw - overlay overlay rw,lowerdir=/a\040-\040b,upperdir=/c`:                       {47, 27, 0, 50, "/", "/merged", "overlay", "overlay", `rw,lowerdir=/a\040-\040b,upperdir=/c`},
		"48 27 8:18 / /mnt/\xff\xfe rw - ext2 /dev/sdb2 rw":                                                    {48, 27, 8, 18, "/", "/mnt/\xff\xfe", "ext2", "/dev/sdb2", "rw"},
		`49 27 259:3 / /boot/efi rw - vfat /dev/nvme0n1p1 rw,fmask=0077`:                                       {49, 27, 259, 3, "/", "/boot/efi", "vfat", "/dev/nvme0n1p1", "rw,fmask=0077"},
		`50 27 8:19 /x//deleted /mnt/gone//deleted rw - ext4 /dev/sdb3 rw`:                                     {50, 27, 8, 19, "/x//deleted", "/mnt/gone//deleted", "ext4", "/dev/sdb3", "rw"},
		`51 27 0:60 / /yester rw,nosuid,nodev - fuse.yester yester rw,user_id=0,allow_other`:                   {51, 27, 0, 60, "/", "/yester", "fuse.yester", "yester", "rw,user_id=0,allow_other"},
		`52 27 8:20 / /mnt/back\9slash\0 rw - ext4 /dev/sdb4 rw`:                                               {52, 27, 8, 20, "/", `/mnt/back\9slash\0`, "ext4", "/dev/sdb4", "rw"},
	} {
		got, err := parseMounts([]byte(line + "\n"))
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s\n got %+v, %v\nwant %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"x", "1 2 3 4 5 6", "1 2 8:0 / / rw ext4 /dev/sda rw", "a 2 8:0 / / rw - ext4 /dev/sda rw", "1 2 80 / / rw - ext4 /dev/sda rw", "1 b 8:0 / / rw - ext4 /dev/sda rw"} {
		if got, err := parseMounts([]byte(line)); err == nil {
			t.Errorf("%q gave %+v", line, got)
		}
	}
}

func TestWhichTypesAreBackedUp(t *testing.T) {
	for _, c := range []struct{ fstype, source, want string }{
		{"ext4", "/dev/sda1", ""},
		{"ext2", "/dev/sda1", ""},
		{"xfs", "/dev/mapper/a", ""},
		{"vfat", "/dev/sda1", ""},
		{"exfat", "/dev/sda1", ""},
		{"ntfs3", "/dev/sda1", ""},
		{"fuseblk", "/dev/sda1", ""},
		{"f2fs", "/dev/sda1", ""},
		{"squashfs", "/dev/loop0", "read-only image"},
		{"iso9660", "/dev/sr0", "read-only image"},
		{"udf", "/dev/sr0", "read-only image"},
		{"ocfs2", "/dev/sdc", "network"},
		{"bcachefs", "/dev/sdc", "not supported (bcachefs)"},
	} {
		if got := excludedType(&mountLine{major: 8, fstype: c.fstype, source: c.source}); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s on a block device: %q, want %q", c.fstype, got, c.want)
		}
	}
	for _, c := range []struct{ fstype, source, want string }{
		{"btrfs", "/dev/sda1", ""},
		{"btrfs", "none", "no block device"},
		{"nfs4", "server:/x", "network file system (nfs4)"},
		{"cifs", "//server/x", "network"},
		{"ceph", "mon:/", "network"},
		{"9p", "share", "network"},
		{"fuse.sshfs", "me@host:", "fuse.sshfs"},
		{"fuse.glusterfs", "host:/v", "fuse.glusterfs"},
		{"fuse.yester", "yester", "yester's own mount"},
		{"fuse", "x", "user-space"},
		{"tmpfs", "tmpfs", "memory"},
		{"proc", "proc", "pseudo"},
		{"overlay", "overlay", "overlay"},
		{"zfs", "tank/data", "not supported (zfs)"},
		{"bcachefs", "/dev/sda1:/dev/sdb1", "not supported (bcachefs)"},
	} {
		if got := excludedType(&mountLine{fstype: c.fstype, source: c.source}); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.fstype, got, c.want)
		}
	}
}

func TestPartitionNames(t *testing.T) {
	for point, want := range map[string]string{
		"/": "root", "/var/lib": "var-lib", "/mnt/my-disk": "mnt-my-disk", "/mnt/a b": "mnt-a%20b", "/mnt/\xff\n": "mnt-%ff%0a",
		"/.hidden": "%2ehidden", "/mnt/50%": "mnt-50%25",
	} {
		if got := partitionNames([]string{point})[point]; got != want {
			t.Errorf("%q: got %q, want %q", point, got, want)
		}
	}
}

func TestPartitionNamesAreUnique(t *testing.T) {
	long := "/" + strings.Repeat("x", 200)
	names := partitionNames([]string{"/a-b/c", "/a/b-c", "/a/b/c", "/a-b-c", "/root", long})
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	if len(seen) != 6 || names["/a/b/c"] != "a-b-c" || len(names[long]) > maxName+9 {
		t.Errorf("%v", names)
	}
	// A name does not depend on what else is mounted, but for the one without a suffix.
	if names["/root"] != partitionNames([]string{"/root", "/"})["/root"] || names["/a-b/c"] != partitionNames([]string{"/a-b/c", "/a/b/c"})["/a-b/c"] {
		t.Errorf("%v", names)
	}
}

// Whoever is mounted, and whatever comes or goes beside it, a name that has versions stays with their mount point.
func TestNameOfAPartitionStaysWithItsMountPoint(t *testing.T) {
	suffixed := suffixedName("/data-backup")
	for _, tt := range []struct {
		of     map[string]string
		points []string
		want   []string
	}{
		{nil, []string{"/data-backup", "/data/backup"}, []string{suffixed, "data-backup"}},
		{nil, []string{"/data-backup"}, []string{"data-backup"}},
		{map[string]string{"data-backup": "/data/backup"}, []string{"/data-backup"}, []string{suffixed}}, // the disk is not plugged in
		{map[string]string{"data-backup": "/data/backup"}, []string{"/data-backup", "/data/backup"}, []string{suffixed, "data-backup"}},
		{map[string]string{"data-backup": "/data-backup"}, []string{"/data-backup", "/data/backup"}, []string{"data-backup", suffixedName("/data/backup")}}, // it was just plugged in
		{map[string]string{suffixed: "/data-backup"}, []string{"/data-backup"}, []string{suffixed}},
		{map[string]string{suffixed: "/data-backup", "data-backup": "/data-backup"}, []string{"/data-backup", "/data/backup"}, []string{"data-backup", suffixedName("/data/backup")}},
		{map[string]string{"root": "/", "home": "/home"}, []string{"/", "/home", "/root", "/srv"}, []string{"root", "home", suffixedName("/root"), "srv"}},
	} {
		names := partitionNames(tt.points)
		var mounts []Mount
		for _, p := range tt.points {
			mounts = append(mounts, Mount{Partition: snapshot.Partition{Name: names[p], MountPoint: p}})
		}
		KeepNames(mounts, tt.of)
		for i, m := range mounts {
			if m.Name != tt.want[i] {
				t.Errorf("%v: of %v, %s is %s, want %s", tt.of, tt.points, m.MountPoint, m.Name, tt.want[i])
			}
		}
	}
}

func TestBindMountsAreOnePartition(t *testing.T) {
	found := []candidate{
		{mountLine: mountLine{point: "/srv/bind", root: "/data"}, device: 1},
		{mountLine: mountLine{point: "/mnt/long", root: "/"}, device: 1},
		{mountLine: mountLine{point: "/m", root: "/"}, device: 1},
		{mountLine: mountLine{point: "/x", root: "/one"}, device: 2},
		{mountLine: mountLine{point: "/y", root: "/one2"}, device: 2},
		{mountLine: mountLine{point: "/z", root: "/one/deep"}, device: 2},
		{mountLine: mountLine{point: "/n", root: "/"}, device: 1, excluded: "hidden"},
	}
	markDuplicates(found)
	for i, want := range []string{"backed up as /m", "backed up as /m", "", "", "", "backed up as /x", "hidden"} {
		if found[i].excluded != want {
			t.Errorf("%s: %q, want %q", found[i].point, found[i].excluded, want)
		}
	}
}

// The mount point that is known stays, of several the one with the newest version; what is below it is left out for it.
func TestPartitionStaysAtTheMountPointThatIsKnown(t *testing.T) {
	for _, tt := range []struct {
		newest []string
		want   string
	}{
		{nil, "/d"},
		{[]string{"/other"}, "/d"},
		{[]string{"/data"}, "/data"},
		{[]string{"/data", "/d"}, "/data"},
		{[]string{"/other", "/d", "/data"}, "/d"},
		{[]string{"/again/data", "/data"}, "/again/data"},
		{[]string{"/part"}, "/d"},   // it shows less
		{[]string{"/hidden"}, "/d"}, // it is not seen
	} {
		found := []candidate{
			{mountLine: mountLine{point: "/data", root: "/", source: "1"}, device: 1},
			{mountLine: mountLine{point: "/part", root: "/part", source: "2"}, device: 1},
			{mountLine: mountLine{point: "/d", root: "/", source: "3"}, device: 1},
			{mountLine: mountLine{point: "/again/data", root: "/", source: "4"}, device: 1},
			{mountLine: mountLine{point: "/hidden", root: "/", source: "5"}, device: 1, excluded: "hidden"},
		}
		sources := map[string]string{}
		for _, c := range found {
			sources[c.point] = c.source
		}
		markDuplicates(found)
		mounts := describe(found)
		KeepPoints(mounts, tt.newest)
		for _, m := range mounts {
			why := backedUpAs + tt.want
			switch m.MountPoint {
			case tt.want:
				why = ""
			case "/hidden":
				why = "hidden"
			}
			if m.Excluded != why || m.Device != sources[m.MountPoint] || m.Name != partitionName(m.MountPoint) {
				t.Errorf("%q: got %+v", tt.newest, m)
			}
		}
	}
}

func TestMountOf(t *testing.T) {
	dir := t.TempDir()
	dir, _ = filepath.EvalSymlinks(dir)
	must(t, os.MkdirAll(dir+"/data/sub", 0o755))
	must(t, os.Mkdir(dir+"/nfs", 0o755))
	must(t, os.Symlink("data/sub", dir+"/link"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	write(t, dir+"/data/sub/file", "")
	mounts := []Mount{{Excluded: "hidden by another mount"}, {}, {}, {Excluded: "network file system (nfs4)"}}
	for i, p := range []string{"/", "/", dir + "/data", dir + "/nfs"} {
		mounts[i].MountPoint = p
	}
	for path, want := range map[string][2]string{
		dir:                {"/", dir},
		dir + "/data/sub/": {dir + "/data", dir + "/data/sub"},
		dir + "/link/file": {dir + "/data", dir + "/data/sub/file"},
		dir + "/link":      {"/", dir + "/link"},
		dir + "/dangling":  {"/", dir + "/dangling"},
		dir + "/nfs/file":  {dir + "/nfs", dir + "/nfs/file"},
		"/":                {"/", "/"},
	} {
		real, err := resolveParent(path)
		m, _ := MountOf(mounts, real)
		if err != nil || m.MountPoint != want[0] || real != want[1] {
			t.Errorf("%s: on %s as %s, %v; want %v", path, m.MountPoint, real, err, want)
		}
	}
}

func TestDiscoverRealMounts(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			bind, cover := t.TempDir(), filepath.Join(point, "cover")
			must(t, os.Mkdir(cover, 0o755))
			mount(t, bind, "mount", "--bind", cover, bind)
			mount(t, cover, "mount", "-t", "tmpfs", "none", cover)
			got := find(t, point)
			if got.Excluded != "" || got.FSType != fstype || !strings.HasPrefix(got.Device, "/dev/loop") || got.Size < 100<<20 || got.Used == 0 {
				t.Errorf("%+v", got)
			}
			if want := command(t, "blkid", "-p", "-s", "UUID", "-o", "value", got.Device); got.UUID != want {
				t.Errorf("UUID %q, want %q", got.UUID, want)
			}
			if (got.Inodes == 0) != (fstype == "btrfs") {
				t.Errorf("%d inodes", got.Inodes)
			}
			if got := find(t, bind); got.Excluded != "backed up as "+point {
				t.Errorf("bind mount: %+v", got)
			}
			if got := find(t, cover); !strings.Contains(got.Excluded, "memory file system") {
				t.Errorf("tmpfs: %+v", got)
			}
		})
	}
}

func TestDiscoverHiddenMount(t *testing.T) {
	point := partition(t, "ext4")
	mount(t, point, "mount", "-t", "tmpfs", "none", point)
	all, err := Discover()
	must(t, err)
	var why []string
	for _, m := range all {
		if m.MountPoint == point {
			why = append(why, m.Excluded)
		}
	}
	if len(why) != 2 || why[0] != "hidden by another mount" || !strings.Contains(why[1], "tmpfs") {
		t.Errorf("%q", why)
	}
}

func TestDiscoverBrokenMount(t *testing.T) {
	point := partition(t, "xfs")
	well, bind := find(t, point), t.TempDir()
	must(t, os.Mkdir(point+"/part", 0o755))
	mount(t, bind, "mount", "--bind", point+"/part", bind)
	f, err := os.Open(point)
	must(t, err)
	const goingDown, noFlush = 0x8004587d, 2 // XFS_IOC_GOINGDOWN, XFS_FSOP_GOING_FLAGS_NOLOGFLUSH
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), goingDown, noFlush))
	must(t, f.Close())
	got := find(t, point)
	if got.Excluded != "cannot be reached: input/output error" || !got.Broken || got.Name != well.Name {
		t.Errorf("got %+v", got)
	}
	if got := find(t, bind); got.Excluded != "backed up as "+point || got.Broken {
		t.Errorf("bind mount: %+v", got)
	}
	mounts := []Mount{got}
	if LeaveOut(mounts, []string{point}, nil); mounts[0].Excluded != isOurs || mounts[0].Broken {
		t.Errorf("it is a place of the vault: %+v", mounts[0])
	}
}

func TestMountBelowACoveredOneIsNotBroken(t *testing.T) {
	point := partition(t, "ext4")
	below := point + "/below"
	must(t, os.Mkdir(below, 0o755))
	mount(t, below, "mount", "--bind", below, below)
	mount(t, point, "mount", "-t", "tmpfs", "none", point)
	if got := find(t, below); !strings.HasPrefix(got.Excluded, "cannot be reached: ") || got.Broken {
		t.Errorf("got %+v", got)
	}
}

func TestDiscoverSubvolumes(t *testing.T) {
	point := partition(t, "btrfs")
	command(t, "btrfs", "subvolume", "create", point+"/@a")
	command(t, "btrfs", "subvolume", "create", point+"/@b")
	dev, a, b := find(t, point).Device, t.TempDir(), t.TempDir()
	mount(t, a, "mount", "-o", "subvol=@a", dev, a)
	mount(t, b, "mount", "-o", "subvol=@b", dev, b)
	for _, p := range []string{point, a, b} {
		if m := find(t, p); m.Excluded != "" {
			t.Errorf("%s: %s", p, m.Excluded)
		}
	}
}

func find(t *testing.T, point string) Mount {
	t.Helper()
	all, err := Discover()
	must(t, err)
	for _, m := range all {
		if m.MountPoint == point {
			return m
		}
	}
	t.Fatalf("%s is not listed", point)
	return Mount{}
}
