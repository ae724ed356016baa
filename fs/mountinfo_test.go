package fs

import (
	"strings"
	"testing"
)

func TestMountinfoIsParsed(t *testing.T) {
	const info = `22 27 0:20 / /sys rw,nosuid - sysfs sysfs rw
46 27 0:39 / /mnt/with\040space\134 ro,nosuid,nodev shared:1 master:2 - fuse.yester yester ro,user_id=0
not a mount
47 46 0:40 / /mnt/with\040space\134 rw - tmpfs none rw
`
	mounts, err := parseMounts(strings.NewReader(info))
	if err != nil || len(mounts) != 3 {
		t.Fatalf("%v, %v", mounts, err)
	}
	want := mountPoint{id: 46, device: "0:39", dir: `/mnt/with space\`, fsType: "fuse.yester"}
	if mounts[1] != want {
		t.Errorf("%+v, not %+v", mounts[1], want)
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(`46 27 0:39 / /mnt/a\040b ro - fuse.yester yester ro`)
	f.Add(`\0 - `)
	f.Fuzz(func(t *testing.T, line string) { parseMount(line) })
}
