package integration

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A running backup of 2 GiB ends within five seconds of being cancelled, and what it stored is not new to the next. Behind 200 MB that are like no others
// come zeros, which are read all the same; in a torture all of it is like no others.
func TestCancelledBackupEndsWithinFiveSecondsAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	const total, stop = 2 * gib, 120 * mib
	home := newHome(t)
	p := newPartition(t, "ext4", 4*gib)
	unlike := int64(largeFiles * largeFile)
	large(t, p, "a", 17)
	for tortureTime(t) > 0 && unlike+largeFiles*largeFile <= total {
		large(t, p, fmt.Sprintf("a-%d", unlike/mib), byte(20+unlike/(largeFiles*largeFile)))
		unlike += largeFiles * largeFile
	}
	zeros, err := os.Create(p.path("b"))
	must(t, err)
	must(t, unix.Fallocate(int(zeros.Fd()), 0, 0, total-unlike))
	must(t, zeros.Close())

	d := start(t, home)
	d.activate("high", p)
	d.run(done, "backup")
	d.reach(stop)
	id := d.status().Running.ID
	began := time.Now()
	d.run(done, "tasks", "cancel", id)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to cancel a backup", took)
	} else {
		t.Logf("cancelled in %v", took.Round(time.Millisecond))
	}
	var ended task
	d.json(&ended, "tasks", "show", id)
	if ended.State != "cancelled" {
		t.Errorf("the cancelled task is %q", ended.State)
	}
	if v := d.versions(p); len(v) != 0 {
		t.Errorf("a cancelled backup left versions: %+v", v)
	}
	d.activate("max", p)
	v := d.backup(p)
	if v.NewBytes > uint64(unlike-stop+16*mib) {
		t.Errorf("cancelled after %d bytes, and yet %d of %d were new to the next", int64(stop), v.NewBytes, unlike)
	}
}
