package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"yester/control"
	"yester/daemon/state"
	"yester/fs"
)

// How long an end may take: ten seconds in all.
const (
	stopTask = 7 * time.Second
	stopAPI  = time.Second
)

// Run serves a home until ctx ends, and then ends cleanly: a running task is cancelled, the mount goes, and nil is returned. Errors are
// *control.Error: Busy if the home has a daemon, and whatever keeps it from starting.
func Run(ctx context.Context, o Options) error {
	err := run(ctx, o.withDefaults())
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it was to end while it began
	}
	return explained(err)
}

func run(ctx context.Context, o Options) error {
	if err := o.Home.make(); err != nil {
		return err
	}
	l, err := o.Home.lock()
	if err != nil {
		return err
	}
	defer l.free()
	o.Ready = sync.OnceFunc(o.Ready)
	watched, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var at atomic.Pointer[Daemon]
	go watchdog(watched, &at)
	for {
		again, err := once(ctx, o, &at)
		if again == nil || err != nil {
			return err
		}
		if o.passphrases = again.passphrases; !again.mended.IsZero() {
			o.mended = again.mended
		}
	}
}

// once runs a daemon, that at names from then on. again is not nil if another one is to go on, as another instance.
func once(ctx context.Context, o Options, at *atomic.Pointer[Daemon]) (again *anew, err error) {
	if o.Home.Mount != "" {
		if err := fs.Detach(o.Home.Mount); err != nil {
			o.Log.Warn("the mount folder cannot be used", "err", err) // mounting will say so again, to whoever asks
		}
	}
	db, err := o.openState()
	if err != nil {
		return nil, err
	}
	d, err := newDaemon(o, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	at.Store(d)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.anew = cancel
	err = d.serve(ctx)
	again, _ = errors.AsType[*anew](context.Cause(ctx))
	return again, err
}

// openState opens the state. One that is broken stays as it is: who begins a new one must know what it held.
func (o *Options) openState() (*state.DB, error) {
	db, err := state.Open(o.Home.State, o.Log)
	if _, system := errors.AsType[syscall.Errno](err); err == nil || system || errors.Is(err, state.ErrNoSpace) {
		return db, err
	}
	if errors.Is(err, state.ErrLocked) { // its socket and lock were removed under it
		return nil, control.Errorf(control.Busy, "another process has the state in %s open, as a daemon does that runs for %s", o.Home.State, o.Home.Name()).
			WithHint("end it first, `pgrep -a yester` shows it; nothing was changed")
	}
	return nil, control.Errorf(control.Damaged, "the state in %s cannot be opened (%s)", o.Home.State, sentence(err)).
		WithHint("move that folder away, name the vault under [vault] places in %s unless it is in %s, start again and run `yester activate`; the vault is not touched",
			o.Home.Settings, o.Home.Vault)
}

// serve opens the vault, serves until ctx ends, and closes everything.
func (d *Daemon) serve(ctx context.Context) error {
	listener, err := d.start(ctx)
	if err != nil {
		return errors.Join(err, d.close(), d.db.Close())
	}
	base, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	api := d.mux().Server(base)
	group, working := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := api.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", d.o.Home.Socket, err)
		}
		return nil
	})
	group.Go(func() error {
		(&clockwork{now: d.o.Now, timer: d.o.timer, turn: d.turn, changed: d.changed}).run(working)
		return nil
	})
	group.Go(func() error { d.upkeep(working); return nil })
	group.Go(func() error { d.sweeps(working); return nil })
	group.Go(func() error { d.metering(working); return nil })
	group.Go(func() error { d.runOwedHook(working); return nil })
	group.Go(func() error { d.listen(working); return nil })
	group.Go(func() error { d.monitor(working); return nil })
	group.Go(func() error { d.outbox.Run(working); return nil })
	d.log.Info("ready", "instance", d.instance.ID, "home", d.o.Home.Name(), "socket", d.o.Home.Socket)
	d.o.Ready()

	<-working.Done()
	if _, again := errors.AsType[*anew](context.Cause(ctx)); again {
		d.log.Info("beginning anew")
	} else {
		d.log.Info("stopping")
		notifyStopping()
	}
	return errors.Join(d.stop(api, drop), group.Wait(), d.db.Close())
}

// start opens what is served.
func (d *Daemon) start(ctx context.Context) (net.Listener, error) {
	d.tidy()
	d.tidyScratch()
	if err := d.openVault(ctx); err != nil {
		return nil, err
	}
	return control.Listen(d.o.Home.Socket)
}

// stop ends tasks, API and mount, in this order: who watches the task sees its end. A task that does not stop is left behind with the vault
// it works on; the process ends, and what it has stored is whole.
func (d *Daemon) stop(api *http.Server, drop func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTask)
	defer cancel()
	stuck := d.tasks.stop(ctx)
	d.keepClock()
	ctx, cancel = context.WithTimeout(context.Background(), stopAPI)
	defer cancel()
	if api.Shutdown(ctx) != nil {
		drop()
		api.Close()
	}
	if stuck != nil {
		d.log.Error("ending with a task at work", "err", stuck)
		d.mounting.Lock()
		defer d.mounting.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.unmount()
	}
	return d.close()
}
