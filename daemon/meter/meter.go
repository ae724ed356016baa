// Package meter counts what a day of service costs: the capacity of all block devices of an instance, whatever of it is backed up.
//
// A day is one of the calendar, in the daemon's time zone. It counts in full if the service was on at any moment of it, with the most capacity that there
// was while it was on; what is plugged in during a pause only does not count. Of a day that was paused throughout there is nothing. A day
// on which no daemon ran, with the service on before and after, counts with what there was last. Each day keeps the tariff that it was metered by.
//
// What a day comes to is a matter of the vault: its instances have the free quota and the plans in common, and what is above is counted.
package meter

import (
	"fmt"
	"sync"
	"time"

	"yester/control"
)

// maxGap is how many days without a daemon are counted at most: what looks like more is a clock that was wrong.
const maxGap = 90

// A Keeper keeps what was metered, over restarts and for good.
type Keeper interface {
	// Metering is the day that was metered last while the service has been on ever since, else "".
	Metering() (day string, err error)
	// PutMetering keeps it with the days that were metered, also in the place of what was kept of them: all or nothing.
	PutMetering(day string, days ...control.Metered) error
	Metered(day, instance string) (m control.Metered, ok bool, err error)
	AllMetered() ([]control.Metered, error) // by day and then instance
}

// A Meter meters one instance. Its methods may be called from many goroutines.
type Meter struct {
	keep    Keeper
	devices func() ([]control.BlockDevice, error)
	tariff  func(day string) control.Tariff

	mu sync.Mutex
}

// New returns a meter of what devices finds, by a tariff that may be another on each day.
func New(k Keeper, devices func() ([]control.BlockDevice, error), tariff func(day string) control.Tariff) *Meter {
	return &Meter{keep: k, devices: devices, tariff: tariff}
}

// Look meters the instance as it is at a moment; the location of now is the zone of days. It is to be called often, and when the service goes on or off, before
// and after. It writes only what is new. began is when the service was activated: a clock that says less is wrong, and nothing is metered by it, nor by one that
// is not believed: days that pass meanwhile are metered afterwards, if the service is still on. What was metered is never taken back: a clock that says that it is yet
// to come may be the one that is wrong.
func (m *Meter) Look(i control.Instance, on, believed bool, began, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, err := m.keep.Metering()
	if err != nil {
		return err
	}
	today := now.Format(time.DateOnly)
	switch {
	case !on && last == "":
		return nil
	case !on:
		return m.keep.PutMetering("")
	case !believed || today < began.In(now.Location()).Format(time.DateOnly):
		return nil
	}
	days, err := m.gap(i, last, today)
	if err != nil {
		return err
	}
	d, changed, err := m.measure(i, today)
	if err != nil {
		return err
	}
	if changed {
		days = append(days, d)
	}
	if last == today && len(days) == 0 {
		return nil
	}
	return m.keep.PutMetering(today, days...)
}

// measure is the day with the capacity there is now, and whether that changes anything.
func (m *Meter) measure(i control.Instance, day string) (d control.Metered, changed bool, err error) {
	old, ok, err := m.keep.Metered(day, i.ID)
	if err != nil {
		return d, false, err
	}
	devices, err := m.devices()
	if err != nil {
		return d, false, fmt.Errorf("measure block devices: %w", err)
	}
	d = control.Metered{Day: day, Instance: i.ID, Name: i.Name, Devices: devices, Measured: true, Tariff: m.tariff(day)}
	for _, b := range devices {
		d.Capacity += b.Capacity
	}
	if ok && old.Measured && old.Capacity >= d.Capacity {
		d.Capacity, d.Devices = old.Capacity, old.Devices
		changed = old.Name != d.Name || old.Tariff != d.Tariff
		return d, changed, nil
	}
	return d, true, nil
}

// gap lists the days between the last one and today that nothing was metered on, with what there was last.
func (m *Meter) gap(i control.Instance, last, today string) (days []control.Metered, err error) {
	if last == "" || last >= today {
		return nil, nil
	}
	like, ok, err := m.keep.Metered(last, i.ID)
	if err != nil || !ok {
		return nil, err
	}
	end, err := time.Parse(time.DateOnly, today)
	if err != nil {
		return nil, err
	}
	for n := maxGap; n > 0; n-- {
		day := end.AddDate(0, 0, -n).Format(time.DateOnly)
		if day <= last {
			continue
		}
		_, ok, err := m.keep.Metered(day, i.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			d := like
			d.Day, d.Measured, d.Tariff = day, false, m.tariff(day)
			days = append(days, d)
		}
	}
	return days, nil
}

// Usage tells what the days from first to last came to, both included; "" for no limit.
func (m *Meter) Usage(first, last string) (control.Usage, error) {
	all, err := m.keep.AllMetered()
	if err != nil {
		return control.Usage{}, err
	}
	var of []control.Metered
	for _, d := range all {
		if d.Day >= first && (last == "" || d.Day <= last) {
			of = append(of, d)
		}
	}
	return bill(of), nil
}
