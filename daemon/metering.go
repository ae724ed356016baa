package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"yester/control"
	"yester/daemon/meter"
)

// freeGiB is how much costs nothing unless the settings say otherwise.
const freeGiB = 100

// Metering says in the settings what a day costs.
type Metering struct {
	FreeGiB  *uint64 `toml:"free_gib"` // across all instances; 100 if missing
	Price    float64 `toml:"price"`    // of a GiB and day above that and the plans
	Currency string  `toml:"currency"`
	Plans    []Plan  `toml:"plans"`
}

// A Plan is capacity that was paid for in advance. Plans of one day add up.
type Plan struct {
	GiB  uint64    `toml:"gib"`
	From time.Time `toml:"from"` // a day, which is included; zero: ever
	To   time.Time `toml:"to"`   // the same
}

// maxGiB is more than a plan can need.
const maxGiB = 1 << 33

func (m *Metering) check() error {
	if _, err := m.price(); err != nil {
		return fmt.Errorf("the price under [metering]: %w", err)
	}
	if m.FreeGiB != nil && *m.FreeGiB > maxGiB {
		return fmt.Errorf("free_gib under [metering] is more than %d", maxGiB)
	}
	for _, p := range m.Plans {
		if p.GiB == 0 || p.GiB > maxGiB {
			return fmt.Errorf("a plan under [[metering.plans]] has %d gib", p.GiB)
		}
		if !p.From.IsZero() && !p.To.IsZero() && p.To.Before(p.From) {
			return fmt.Errorf("a plan under [[metering.plans]] ends on %s, before it begins", p.To.Format(time.DateOnly))
		}
	}
	return nil
}

func (m *Metering) price() (control.Amount, error) {
	return control.ParseAmount(strconv.FormatFloat(m.Price, 'f', -1, 64))
}

// tariff is what holds on a day.
func (m *Metering) tariff(day string) control.Tariff {
	t := control.Tariff{Free: freeGiB * meter.GiB, Currency: m.Currency}
	t.Price, _ = m.price() // was checked
	if m.FreeGiB != nil {
		t.Free = *m.FreeGiB * meter.GiB
	}
	for _, p := range m.Plans {
		if (p.From.IsZero() || day >= p.From.Format(time.DateOnly)) && (p.To.IsZero() || day <= p.To.Format(time.DateOnly)) {
			t.Plan += p.GiB * meter.GiB
		}
	}
	return t
}

// metering looks every nap at what is to be metered, until ctx ends: so the day is metered once it has begun, and a disk that comes is seen.
func (d *Daemon) metering(ctx context.Context) {
	tick := time.NewTicker(nap)
	defer tick.Stop()
	for ctx.Err() == nil {
		d.look()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// look meters what there is now.
func (d *Daemon) look() {
	d.mu.Lock()
	policy, on := d.policy, d.service == control.StateReady
	d.mu.Unlock()
	var began time.Time
	if policy != nil {
		began = policy.ActivatedAt
	}
	w, err := d.watch()
	if err != nil {
		d.log.Error("read what is known of the time", "err", err)
	}
	if err := d.meter.Look(d.instance, on && policy != nil, err == nil && !w.Doubt && w.Settles == 0, began, d.o.Now().In(d.zone())); err != nil {
		d.log.Error("meter the day", "err", err)
	}
}

// blockDevices lists the machine's disks. Where the kernel shows none, as in some containers, what is mounted and can be backed up tells of them.
func (d *Daemon) blockDevices() ([]control.BlockDevice, error) {
	all, err := meter.Devices(d.o.Sys)
	if err != nil || len(all) > 0 {
		return all, err
	}
	mounts, err := d.o.Discover()
	for _, m := range mounts {
		b := control.BlockDevice{Name: filepath.Base(m.Device), Capacity: m.Size}
		if m.Excluded == "" && !slices.ContainsFunc(all, func(o control.BlockDevice) bool { return o.Name == b.Name }) {
			all = append(all, b)
		}
	}
	return all, err
}

// usage tells what was metered.
func (d *Daemon) usage(_ context.Context, r control.UsageRequest) (control.Usage, error) {
	for _, day := range []string{r.From, r.To} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return control.Usage{}, control.Errorf(control.BadRequest, "%q is no day", day).WithHint("write it like 2026-11-25")
		}
	}
	d.look()
	today := d.o.Now().In(d.zone()).Format(time.DateOnly) // what is later was metered by a clock that was wrong
	if r.To == "" || r.To > today {
		r.To = today
	}
	return d.meter.Usage(r.From, r.To)
}
