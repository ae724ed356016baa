package integration

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is metered is what the system's own tool says of disks, and it outlives daemon and service.
func TestUsageIsTheDisksOfTheMachine(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	must(t, os.WriteFile(filepath.Join(home, "yester.toml"), []byte("[metering]\nprice = 0.02\ncurrency = \"EUR\"\nfree_gib = 1\n"), 0o600))
	d := start(t, home)
	if s := d.run(done, "usage").stdout; !strings.Contains(s, "Nothing was metered") {
		t.Errorf("a new instance: %s", s)
	}
	d.activate("max", p)
	want := disksOf(t)
	if want == 0 {
		t.Skip("lsblk shows no disks on this machine, so there is nothing to compare with")
	}
	usage := func() (u struct {
		Days []struct {
			Day      string  `json:"day"`
			Capacity uint64  `json:"capacity_bytes"`
			Counted  uint64  `json:"counted_bytes"`
			Cost     float64 `json:"cost"`
		} `json:"days"`
	},
	) {
		t.Helper()
		d.json(&u, "usage")
		return u
	}
	u := usage()
	if len(u.Days) == 0 || u.Days[0].Capacity != want || u.Days[0].Counted != want-gib {
		t.Fatalf("got %+v, lsblk says %d", u, want)
	}
	days, cost := len(u.Days), fmt.Sprintf("%.2f", float64(want-gib)/gib*0.02)
	if s := d.run(done, "usage").stdout; !strings.Contains(s, u.Days[0].Day) || !strings.Contains(s, cost) || !strings.Contains(s, "total of ") {
		t.Errorf("no %s EUR in:\n%s", cost, s)
	}
	rows, err := csv.NewReader(strings.NewReader(d.run(done, "usage", "--all", "--csv").stdout)).ReadAll()
	if err != nil || len(rows) < 2 || rows[1][0] != u.Days[0].Day || rows[1][2] != fmt.Sprint(float64(want)/gib) {
		t.Errorf("got %q, %v", rows, err)
	}
	explained(t, at(t, home, "usage", "--from", "today"), wrongUse, "is no day")
	explained(t, at(t, home, "usage", "--csv", "--json"), wrongUse, "exclude each other")

	d.kill()
	_ = os.Remove(filepath.Join(home, "yester.toml")) // the price of a day stays what it was, once the day is over
	d = start(t, home)
	d.run(done, "cancel", "--yes", "--wait")
	if u := usage(); len(u.Days) < days || u.Days[0].Capacity != want {
		t.Errorf("after a kill and the end of the service: %+v", u)
	}
}

// disksOf adds up the disks of the machine.
func disksOf(t *testing.T) (sum uint64) {
	t.Helper()
	var list struct {
		Devices []struct {
			Name string `json:"name"`
			Type string `json:"type"`
			Size uint64 `json:"size"`
		} `json:"blockdevices"`
	}
	must(t, json.Unmarshal([]byte(command(t, "lsblk", "--json", "--bytes", "--nodeps", "--output", "NAME,TYPE,SIZE")), &list))
	for _, d := range list.Devices {
		if d.Type == "disk" && !strings.HasPrefix(d.Name, "zram") {
			sum += d.Size
		}
	}
	return sum
}
