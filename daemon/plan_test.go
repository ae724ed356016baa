package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// mounts are those of a machine with two partitions.
func mounts() []capture.Mount {
	m := func(name, point, excluded string) capture.Mount {
		return capture.Mount{Partition: snapshot.Partition{Name: name, MountPoint: point}, Excluded: excluded}
	}
	return []capture.Mount{
		m("root", "/", ""), m("data", "/data", ""), m("data", "/data", "hidden by another mount"),
		m("mnt-nas", "/mnt/nas", "network file system (nfs4)"), m("proc", "/proc", "pseudo or memory file system (proc)"),
	}
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name   string
		policy control.Policy
		want   []string // partition: includes, or error
	}{
		{"everything", control.Policy{}, []string{"root:", "data:"}},
		{"one partition", control.Policy{Partitions: []string{"data"}}, []string{"data:"}},
		{"one that is not mounted", control.Policy{Partitions: []string{"data", "usb"}}, []string{"data:", "usb: partition usb is not mounted"}},
		{"paths choose their partitions", control.Policy{Paths: []string{"/etc", "/home"}}, []string{"root: /etc /home"}},
		{"paths on both", control.Policy{Paths: []string{"/data/a", "/etc"}}, []string{"root: /etc", "data: /data/a"}},
		{"a mount point", control.Policy{Paths: []string{"/data"}}, []string{"data: /data"}},
		{"its neighbour", control.Policy{Paths: []string{"/database"}}, []string{"root: /database"}},
		{"paths within partitions", control.Policy{Paths: []string{"/etc"}, Partitions: []string{"root"}}, []string{"root: /etc"}},
		{
			"a path that another file system covers",
			control.Policy{Paths: []string{"/etc", "/mnt/nas/x"}},
			[]string{"root: /etc", "mnt-nas: the path /mnt/nas/x cannot be backed up any more: what is mounted at /mnt/nas now is excluded (network file system (nfs4))"},
		},
		{
			"a path that another partition covers",
			control.Policy{Paths: []string{"/data/a", "/etc"}, Partitions: []string{"root"}},
			[]string{"root: /etc", "data: the path /data/a cannot be backed up any more: what is mounted at /data now is not among the partitions asked for"},
		},
		{"a path that is gone", control.Policy{Paths: []string{"/gone", "/data/a"}}, []string{"root: the path /gone is not there", "data: /data/a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := []string{}
			for _, p := range plan(&tt.policy, mounts(), func(path string) bool { return path != "/gone" }) {
				line := p.partition.Name + ": " + strings.Join(p.includes, " ")
				if p.err != nil {
					line = p.partition.Name + ": " + explain(p.err).Message
				}
				got = append(got, strings.TrimSuffix(line, " "))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEmptyPathsThatAreToBeMountPointsAreWarnedOf(t *testing.T) {
	fstab := "# /dev/sdz /mnt/none ext4\nUUID=1 / ext4\n\nLABEL=usb /mnt/my\\040disk ext4 noauto 0 0\nLABEL=data /data ext4\nLABEL=full /mnt/full ext4\n"
	names := func(dir string) []string {
		if dir == "/mnt/full" {
			return []string{"file"}
		}
		return nil
	}
	p := &control.Policy{Paths: []string{"/data", "/mnt/full", "/mnt/my disk", "/mnt/none", "/old"}}
	got := awaiting(p, mounts(), fstab, map[string]string{"old": "/old", "data": "/data"}, names)
	if len(got) != 2 || !strings.HasPrefix(got[0], "nothing is mounted on /mnt/my disk, which is empty, and /etc/fstab has LABEL=usb for it: ") || !strings.HasPrefix(got[1], "nothing is mounted on /old, ") {
		t.Errorf("got %q", got)
	}
}

func TestChooseRefusesWhatCannotBeBackedUp(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		policy control.Policy
		want   string
	}{
		{control.Policy{Partitions: []string{"nope"}}, `there is no partition "nope"; there are: root, data`},
		{control.Policy{Partitions: []string{"mnt-nas"}}, "mnt-nas cannot be backed up: network file system (nfs4); partitions that can: root, data"},
		{control.Policy{Partitions: []string{"/proc"}}, "/proc cannot be backed up: pseudo or memory file system (proc)"},
		{control.Policy{Paths: []string{"etc"}}, `the path "etc" is not absolute`},
		{control.Policy{Paths: []string{dir + "/nope"}}, "nope cannot be backed up (no such file or directory)"},
		{control.Policy{Paths: []string{"/proc/self/fd"}}, "what is mounted at /proc is excluded (pseudo or memory file system (proc))"},
		{control.Policy{Paths: []string{dir}, Partitions: []string{"data"}}, "lies on partition root, which is not among those asked for"},
	}
	for _, tt := range tests {
		err := choose(&tt.policy, true, true, mounts())
		if !errors.Is(err, control.BadRequest) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v", tt.policy, err)
		}
	}
	if err := choose(&control.Policy{}, true, true, mounts()[3:]); !errors.Is(err, control.BadRequest) {
		t.Errorf("a machine without partitions: %v", err)
	}
}

// A disk that is not plugged in is no reason to refuse another retention.
func TestChooseLeavesWhatWasChosenBefore(t *testing.T) {
	gone := t.TempDir() + "/usb/data"
	p := control.Policy{Paths: []string{gone}, Partitions: []string{"usb"}}
	want := p
	want.Paths, want.Partitions = slices.Clone(p.Paths), slices.Clone(p.Partitions)
	if err := choose(&p, false, false, mounts()); err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, %v", p, err)
	}
	if err := choose(&p, true, false, mounts()); !errors.Is(err, control.BadRequest) {
		t.Errorf("a partition that is not there was chosen: %v", err)
	}
	if lines := absent(&want, mounts()); len(lines) == 0 || !strings.Contains(strings.Join(lines, "; "), "usb") {
		t.Errorf("got %q", lines)
	}
}

func TestChooseKeepsRealNames(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	p := control.Policy{Paths: []string{link, real, dir}, Partitions: []string{"/", "/data/", "root"}}
	if err := choose(&p, true, true, mounts()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Paths, []string{dir, real}) || !reflect.DeepEqual(p.Partitions, []string{"data", "root"}) {
		t.Errorf("got %q, %q", p.Paths, p.Partitions)
	}
}

func TestFoldersOfTheSystemAreNamedWhereTheyAreLeftOut(t *testing.T) {
	all := strings.Join(capture.SystemFolders(), " ")
	for _, tt := range []struct {
		name   string
		policy control.Policy
		want   string
	}{
		{"everything", control.Policy{}, all},
		{"with the system", control.Policy{IncludeSystem: true}, ""},
		{"the root by name", control.Policy{Paths: []string{"/"}}, all},
		{"paths beside them", control.Policy{Paths: []string{"/etc", "/home"}}, ""},
		{"a folder that has some", control.Policy{Paths: []string{"/usr"}}, "/usr/bin /usr/sbin"},
		{"one of them", control.Policy{Paths: []string{"/srv"}}, ""},
		{"what lies in one", control.Policy{Paths: []string{"/srv/www"}}, ""},
		{"another partition", control.Policy{Partitions: []string{"data"}}, ""},
	} {
		ps := []control.Partition{{Name: "root", MountPoint: "/"}, {Name: "data", MountPoint: "/data"}}
		yes := func(string) bool { return true }
		markSelected(ps, &tt.policy, mounts(), plan(&tt.policy, mounts(), yes))
		if got := strings.Join(slices.Concat(ps[0].LeftOut, ps[1].LeftOut), " "); got != tt.want {
			t.Errorf("%s: %s", tt.name, got)
		}
		own := append(mounts(), capture.Mount{Partition: snapshot.Partition{Name: "srv", MountPoint: "/srv"}})
		markSelected(ps, &tt.policy, own, plan(&tt.policy, own, yes))
		if slices.Contains(ps[0].LeftOut, "/srv") {
			t.Errorf("%s: /srv is a partition, and left out: %q", tt.name, ps[0].LeftOut)
		}
	}
}

func TestFilesInSrvThatAreNotBackedUpAreTold(t *testing.T) {
	own := append(mounts(), capture.Mount{Partition: snapshot.Partition{Name: "srv", MountPoint: "/srv"}})
	shop := append(mounts(), capture.Mount{Partition: snapshot.Partition{Name: "srv-shop", MountPoint: "/srv/shop"}})
	for _, tt := range []struct {
		name   string
		policy control.Policy
		mounts []capture.Mount
		in     []string
		tells  bool
	}{
		{"something", control.Policy{}, mounts(), []string{"www"}, true},
		{"nothing", control.Policy{}, mounts(), nil, false},
		{"taken", control.Policy{IncludeSystem: true}, mounts(), []string{"www"}, false},
		{"not asked for", control.Policy{Partitions: []string{"data"}}, mounts(), []string{"www"}, false},
		{"a partition of its own", control.Policy{}, own, []string{"www"}, false},
		{"one below it", control.Policy{}, shop, []string{"shop"}, false},
		{"one beside files", control.Policy{}, shop, []string{"shop", "www"}, true},
	} {
		got := served(&tt.policy, tt.mounts, func(string) []string { return tt.in })
		if (len(got) == 1) != tt.tells {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestVaultOnThePartitionThatItKeepsIsTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy control.Policy
		places []string
		in     []string
		tells  string
	}{
		{"beside the system", control.Policy{}, []string{"/var/lib/yester/vault"}, []string{"etc", "var"}, "partition root"},
		{"beside a path", control.Policy{Paths: []string{"/etc"}}, []string{"/vault"}, nil, "partition root"},
		{"on a disk of its own", control.Policy{}, []string{"/data/vault"}, []string{"lost+found", "vault"}, ""},
		{"on a disk with other files", control.Policy{}, []string{"/data/vault"}, []string{"photos", "vault"}, "partition data"},
		{"on a disk that is not backed up", control.Policy{Partitions: []string{"data"}}, []string{"/vault"}, []string{"etc"}, ""},
		{"elsewhere too", control.Policy{}, []string{"/vault", "/mnt/nas/vault"}, []string{"etc"}, ""},
	} {
		got := strings.Join(together(&tt.policy, mounts(), tt.places, func(string) []string { return tt.in }), "\n")
		if (got == "") != (tt.tells == "") || !strings.Contains(got, tt.tells) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
