package meter

import (
	"os"
	"path/filepath"
	"testing"
)

// sysfs makes the files of a sysfs.
func sysfs(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, "block", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDisksAreCountedOnceAndNothingThatIsMadeOfThem(t *testing.T) {
	dir := sysfs(t, map[string]string{
		"vda/size": "2097152", "vda/vda1/size": "2000000",
		"nvme0n1/size": "4194304", "nvme0n1/queue/logical_block_size": "4096",
		"nvme0c0n1/size": "4194304", "nvme0c0n1/hidden": "1",
		"cciss!c0d0/size": "2097152",
		"nbd0/size":       "0", // not connected
		"nbd1/size":       "2097152",
		"sr0/size":        "1400000", "sr0/device/type": "5",
		"loop0/size": "2097152", "loop0/loop/backing_file": "/image",
		"zram0/size": "2097152", "ram0/size": "8192", "fd0/size": "8", "zd16/size": "8192",
		"md0/size": "4194304", "md0/md/level": "raid1", "md0/slaves/sda/size": "2097152",
		"dm-0/size": "2000000", "dm-0/dm/uuid": "LVM-x",
		"bcache0/size": "2000000", "bcache0/bcache/state": "clean",
		"drbd0/size": "2000000", "drbd0/slaves/vda/size": "2097152",
		"sda/size": "2097152", "sda/device/type": "0", "sda/holders/md0/md/level": "raid1",
		"sdb/size": "2097152", "sdb/holders/dm-1/dm/uuid": "mpath-3600",
		"sdc/size": "2097152", "sdc/holders/dm-1/dm/uuid": "mpath-3600",
		"dm-1/size": "2097152", "dm-1/dm/uuid": "mpath-3600",
	})
	got, err := Devices(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cciss/c0d0", "nbd1", "nvme0n1", "sda", "sdb", "vda"}
	var sum uint64
	for i, d := range got {
		if i >= len(want) || d.Name != want[i] {
			t.Fatalf("got %+v, want %v", got, want)
		}
		sum += d.Capacity
	}
	if len(got) != len(want) || sum != 7*GiB {
		t.Errorf("got %+v, %d bytes, want %v", got, sum, want)
	}
}

func TestMachineWithoutSysfsShowsNoDisks(t *testing.T) {
	if got, err := Devices(filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
