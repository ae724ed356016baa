package daemon

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"yester/control"
	"yester/daemon/state"
	"yester/sched"
)

// clockCause is the cause of the message that the clock is not believed.
const clockCause = "clock"

// bootTime names the start of the machine, and tells how long ago that was, sleep included. Where the kernel does not say, it is that of the process.
func bootTime() func() (boot string, up time.Duration) {
	began, name := time.Now(), strconv.FormatUint(rand.Uint64(), 16)
	return func() (string, time.Duration) {
		boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		uptime, err2 := os.ReadFile("/proc/uptime")
		first, _, _ := strings.Cut(string(uptime), " ")
		seconds, err3 := strconv.ParseFloat(first, 64)
		if errors.Join(err, err2, err3) != nil {
			return name, time.Since(began)
		}
		return strings.TrimSpace(string(boot)), time.Duration(seconds * float64(time.Second))
	}
}

// slack is how far the clock may leap ahead and be believed at once, when versions are kept for some days: that many fewer days' versions may
// be left by a clock that is wrong.
func slack(days int) time.Duration {
	const day = 24 * time.Hour
	return min(max(time.Duration(days)*day/4, day), 8*day)
}

// lookAtClock returns what is known of the time; nothing if that cannot be read, and with an error if it cannot be kept. d.keeping is held, or nothing else
// runs yet.
func (d *Daemon) lookAtClock() (sched.Watch, error) {
	w, err := d.watch()
	if err != nil {
		return w, err
	}
	return w, d.db.PutWatch(state.Watch(w))
}

// keepClock has what passed since the clock was looked at last count when the daemon begins again.
func (d *Daemon) keepClock() {
	if !d.keeping.TryLock() { // a sweep has just looked, and may wait for a disk
		return
	}
	defer d.keeping.Unlock()
	if _, err := d.lookAtClock(); err != nil {
		d.log.Error("keep what is known of the time", "err", err)
	}
}

// believed is the time that what is old is told by: not that of a clock which is far ahead. If nothing is known of it, it is long ago.
func (d *Daemon) believed() time.Time {
	w, err := d.watch()
	if err != nil {
		d.log.Error("read what is known of the time", "err", err)
	}
	return w.Wall.Add(-w.Ahead())
}

// isBehind tells whether nothing is to be decided by the clock, nor kept: it leapt back within the last hour, to where it is not believed. On a machine that has none of its own it does so at each start, until
// the network was asked for the time.
func (d *Daemon) isBehind() bool {
	w, err := d.watch()
	if err != nil {
		d.log.Error("read what is known of the time", "err", err)
	}
	return w.Behind()
}

// watch is what is known of the time now. It keeps nothing.
func (d *Daemon) watch() (sched.Watch, error) {
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	return d.watchBy(policy)
}

// watchBy is watch by a policy; nil is none.
func (d *Daemon) watchBy(p *control.Policy) (sched.Watch, error) {
	kept, err := d.db.Watch()
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return sched.Watch{}, err
	}
	days := retentionDays
	if p != nil {
		days = p.RetentionDays
		if kept.Passed == 0 && kept.Known.Sub(p.ActivatedAt) > firstSweep {
			kept.Passed = firstSweep // what passed was not kept by a version before
		}
	}
	boot, up := d.o.Boot()
	return sched.Watch(kept).Look(d.o.Now(), boot, up, slack(days)), nil
}

// doubtClock says that versions stay though they have expired by the clock, or that none does so any more.
func (d *Daemon) doubtClock(w sched.Watch, stay int) {
	if stay == 0 {
		d.resolve(clockCause)
		return
	}
	d.kept(d.alerts.Hold(control.MessageClock, clockCause, fmt.Sprintf(
		"the clock went ahead by %d days while the daemon did not see them pass; %s by it and stay until %s, in case it is wrong: then set it right",
		w.Ahead()/(24*time.Hour), expired(stay), w.Believed().In(d.zone()).Format("2006-01-02 15:04"))))
}

func expired(n int) string {
	if n == 1 {
		return "1 version has expired"
	}
	return fmt.Sprintf("%d versions have expired", n)
}
