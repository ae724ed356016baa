package daemon

import (
	"context"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// The service manager is told what it wants to know, if there is one; that it can't be told is no trouble of ours.

func notifyReady()    { _, _ = sd.SdNotify(false, sd.SdNotifyReady) }
func notifyStopping() { _, _ = sd.SdNotify(false, sd.SdNotifyStopping) }

// watchdog tells the service manager that the process is alive as long as it is: as long as the daemon at work, if there is one, gives back its locks. One that begins anew may open the
// vault for hours.
func watchdog(ctx context.Context, at *atomic.Pointer[Daemon]) {
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
			if d := at.Load(); d != nil {
				d.serviceState() // which it says as soon as it has the lock
			}
			_, _ = sd.SdNotify(false, sd.SdNotifyWatchdog)
		}
	}
}
