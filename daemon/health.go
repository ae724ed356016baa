package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"yester/control"
)

// health is what /health answers: 200 and "ok", or 503 and "attention" with what needs it, in words without names or paths.
type health struct {
	Status string   `json:"status"`
	Needs  []string `json:"needs,omitempty"` // kinds of messages that are not over, "vault" that is not open, "mount" that is not there
}

// health tells whether yester does what it is for. Warnings of a backup or a drill, and tasks that were asked for by hand, are no matter of that.
func (d *Daemon) health() health {
	var needs []string
	for _, m := range d.alerts.List(true) {
		if m.Kind != control.MessageTask && m.Cause != partialBackup && m.Cause != partialDrill {
			needs = append(needs, m.Kind)
		}
	}
	_, err := d.openedVault()
	switch {
	case err != nil && d.serviceState() != control.StateNew:
		needs = append(needs, "vault")
	case err == nil && d.o.Home.Mount != "" && !d.mountStatus().Mounted:
		needs = append(needs, "mount")
	}
	slices.Sort(needs)
	h := health{Status: "ok", Needs: slices.Compact(needs)}
	if len(needs) > 0 {
		h.Status = "attention"
	}
	return h
}

func (d *Daemon) serveHealth(w http.ResponseWriter, _ *http.Request) {
	h := d.health()
	w.Header().Set("Content-Type", "application/json")
	if h.Status != "ok" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // who asked may be gone, which is no news
}

// monitor serves metrics and health, and nothing else, at the address of the settings until ctx ends. While it cannot be listened on, it is tried
// again every minute: backups go on.
func (d *Daemon) monitor(ctx context.Context) {
	address := d.o.Settings.Metrics
	for told := false; address != "" && ctx.Err() == nil; {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			d.serveMonitor(ctx, l)
			return
		}
		if !told && ctx.Err() == nil {
			told = true
			d.log.Error("metrics are not served, it is tried again", "address", address, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(nap):
		}
	}
}

// maxWatchers is how many connections to that address there are at a time. Anybody on the machine can make some, and those beyond it are closed.
const maxWatchers = 64

func (d *Daemon) serveMonitor(ctx context.Context, l net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.metrics.handler())
	mux.HandleFunc("GET /health", d.serveHealth)
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	var there atomic.Int32
	s.ConnState = func(c net.Conn, state http.ConnState) {
		switch {
		case state == http.StateNew && there.Add(1) > maxWatchers:
			_ = c.Close() // which is heard of as any other end
		case state == http.StateClosed:
			there.Add(-1)
		}
	}
	d.log.Info("metrics are served", "address", l.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		d.log.Error("serve metrics", "err", err)
	}
}
