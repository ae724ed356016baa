package daemon

import (
	"context"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// The service manager is told what it wants to know, if there is one; that it can't be told is no trouble of ours.

func notifyReady()    { _, _ = sd.SdNotify(false, sd.SdNotifyReady) }
func notifyStopping() { _, _ = sd.SdNotify(false, sd.SdNotifyStopping) }

// watchdog tells the service manager that the daemon is alive as long as it is: as long as its locks are given back.
func (d *Daemon) watchdog(ctx context.Context) {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.mu.Lock()
			d.mu.Unlock() //nolint:staticcheck // that it could be taken is what counts
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog)
		}
	}
}
