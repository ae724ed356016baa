package daemon

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

// A zone is the machine's time zone, which may be set while the daemon runs. Its methods may be called from many goroutines.
type zone struct {
	file string // says which it is; "": it stays

	mu   sync.Mutex
	data []byte // of the file, as it was when it was looked at last
	now  *time.Location
}

// machineZone is the zone as Go found it, once, when the process began.
func machineZone() *zone {
	z := &zone{file: "/etc/localtime", now: time.Local}
	if _, set := os.LookupEnv("TZ"); set {
		z.file = ""
	}
	return z
}

// look looks at the file again. If it is not there, or damaged, the zone stays; only that it has become so is an error.
func (z *zone) look() error {
	if z.file == "" {
		return nil
	}
	data, err := os.ReadFile(z.file)
	z.mu.Lock()
	defer z.mu.Unlock()
	if err != nil || bytes.Equal(data, z.data) {
		return nil
	}
	z.data = data
	now, err := time.LoadLocationFromTZData("Local", data)
	if err != nil {
		return fmt.Errorf("read the time zone in %s: %w", z.file, err)
	}
	z.now = now
	return nil
}

// location is the zone as it was when it was looked at last.
func (z *zone) location() *time.Location {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.now
}

// lookAtZone notices that the machine's zone was set.
func (d *Daemon) lookAtZone() {
	if err := d.local.look(); err != nil {
		d.log.Error("the time zone stays as it was", "err", err)
	}
}

// zone is the one that days and the start time are of.
func (d *Daemon) zone() *time.Location {
	if d.o.Zone != nil {
		return d.o.Zone
	}
	return d.local.location()
}
