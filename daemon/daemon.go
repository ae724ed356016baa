// Package daemon joins the parts to the program that runs on a machine: it opens the vault, mounts it, keeps the daily start time, runs
// backup tasks, remembers them in its state, and serves the control API.
//
// One process serves a home. It must not touch what lies below its own mount.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"yester/control"
	"yester/daemon/alert"
	"yester/daemon/meter"
	"yester/daemon/state"
	"yester/fs"
	"yester/sched"
	"yester/snapshot/capture"
	"yester/store"
)

// cacheBytes is how much of the memory of the gentlest priority decoded chunks may take.
const cacheBytes = 32 << 20

// Options of a daemon. Zero fields get working defaults, but Home has none.
type Options struct {
	Home     Home
	Settings Settings // as Home.Load gave them
	Version  string   // of the program

	Log       *slog.Logger
	Now       func() time.Time
	Tempo     float64                         // how many times as fast as time Now goes, for tests with short days; default 1
	Zone      *time.Location                  // the start time is in; default: the machine's, as it is at the time
	Boot      func() (string, time.Duration)  // names the start of the machine, and how long ago it was; default: as the kernel says
	MachineID string                          // file with the machine's id; default /etc/machine-id
	Discover  func() ([]capture.Mount, error) // default capture.Discover
	Sys       string                          // where sysfs is mounted; default /sys
	Ready     func()                          // called when the socket answers; default: tell the service manager
	Retry     time.Duration                   // of an alert after the first failure; default: that of daemon/alert

	passphrases []string  // of the vault, see site
	mended      time.Time // when the daemon began anew as the index was broken; zero: it did not
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tempo == 0 {
		o.Tempo = 1
	}
	if o.Boot == nil {
		o.Boot = bootTime()
	}
	if o.MachineID == "" {
		o.MachineID = "/etc/machine-id"
	}
	if o.Discover == nil {
		o.Discover = capture.Discover
	}
	if o.Sys == "" {
		o.Sys = "/sys"
	}
	if o.Ready == nil {
		o.Ready = notifyReady
	}
	return o
}

// timer fires after a time by Now.
func (o *Options) timer(after time.Duration) *time.Timer {
	if o.Tempo != 1 {
		after = max(time.Duration(float64(after)/o.Tempo), 10*time.Millisecond) // there is other work
	}
	return time.NewTimer(after)
}

// A Daemon serves a home.
type Daemon struct {
	o        Options
	log      *slog.Logger
	db       *state.DB
	site     *site
	tasks    *tasks
	alerts   *alert.Book
	metrics  *metrics
	outbox   *alert.Outbox // of what is entered there
	local    *zone         // the machine's
	meter    *meter.Meter
	troubles chan store.Trouble // of the vault, to become messages
	instance control.Instance
	owned    owned
	anew     context.CancelCauseFunc // ends the daemon for another one in this process
	changed  chan struct{}           // has a value when the policy changed
	sweeping chan struct{}           // has a value when versions may have expired
	due      chan struct{}           // has a value when there is something to do for the vault

	initializing atomic.Bool // it is being activated

	admin sync.Mutex // one change of vault or policy at a time; taken before mu
	waits time.Time  // the turn that waits for the vault or a disk, or did last
	why   string     // it does
	full  string     // why no turn can be decided, since one that was to run; "": it can

	hooksDone chan struct{} // closed when the hook that a killed daemon owed has run
	owing     sync.Mutex    // held while what is kept of the hook that is owed is changed
	unpaid    bool          // it has run, and that could not be kept

	spreadEnded atomic.Bool   // a task that spreads packs failed or was cancelled; the next daemon goes on
	spreadWaits atomic.Bool   // it failed; so does this one when a place is back
	backs       atomic.Uint64 // places that were back so far
	keeping     sync.Mutex    // held while it is decided which versions stay, and while the policy in the vault is changed; taken after admin
	records     sync.Map      // store.VersionKey → control.Version, as its record has it

	memory memoryLimit
	crew   sched.Crew    // of the threads of backups and maintenance
	served atomic.Uint64 // requests of the mount when it was looked last whether somebody waits

	registering sync.Mutex // held while this machine's description in the vault, and its owner, are looked at and written; taken last

	upkeeping sync.Mutex           // held while what is kept of the upkeep is changed
	resting   map[string]time.Time // by kinds of tasks, since when these rest
	mayHeal   bool                 // a place is back since a repair began

	deleting  sync.Mutex                    // held while a version is deleted, and while parents are chosen
	deletions int                           // since the start
	parents   map[store.VersionKey]struct{} // of the running backup; none of them may go
	restoring map[store.VersionKey]int      // versions that are being restored; none of them may go

	dues atomic.Pointer[map[string]time.Time] // when each partition is late unless it has a newer version, as lookAtVersions found; nil: it did not look, or the service is not on

	listeners listeners // to what changes in the partitions between backups

	mounting sync.Mutex // held while a mount is made, and when the last one ends; taken before mu

	mu         sync.Mutex
	policy     *control.Policy // nil: not activated; never changed in place
	service    string          // state of the instance; "" while it is new
	history    sched.History   // of the scheduled backup
	vault      *store.Vault    // nil: there is none yet, or
	unopened   *control.Error  // the one that there was is not opened for this
	mount      *fs.Mount       // nil: not mounted
	mountErr   error           // why not
	mountCut   bool            // and nobody wanted that: it is tried again
	mountAlone bool            // it was made for root alone, as another daemon had the instance
	ended      []*fs.Mount     // those before, of which some may still read the vault
}

// newDaemon returns a daemon that knows what its state knows.
func newDaemon(o Options, db *state.DB) (*Daemon, error) {
	d := &Daemon{
		o: o, log: o.Log, db: db,
		site:      &site{home: o.Home, settings: o.Settings, db: db, log: o.Log, now: o.Now},
		tasks:     &tasks{db: db, log: o.Log, now: o.Now},
		local:     machineZone(),
		troubles:  make(chan store.Trouble, maxTroubles),
		hooksDone: make(chan struct{}),
		resting:   map[string]time.Time{},
		changed:   make(chan struct{}, 1), due: make(chan struct{}, 1), sweeping: make(chan struct{}, 1),
	}
	d.lookAtZone()
	d.metrics = newMetrics(d)
	d.crew.Awaited = d.awaited
	d.site.trouble, d.site.leave, d.site.another, d.tasks.ended, d.tasks.believed = d.troubled, d.leave, d.anotherVault, d.taskEnded, d.believed
	d.meter = meter.New(db, d.blockDevices, o.Settings.Metering.tariff)
	d.site.give(o.passphrases...)
	var err error
	var changed string
	if d.instance, changed, err = identify(db, &o); err != nil {
		return nil, err
	}
	if err := d.openAlerts(); err != nil {
		return nil, err
	}
	if changed != "" {
		d.kept(d.alerts.Note(control.MessageInstance, "instance", changed))
	}
	d.owned.run = randomID()
	if d.owned.holder, err = holder(db, o.Home.State, o.MachineID); err != nil {
		return nil, err
	}
	if err := errors.Join(d.tasks.recover(d.keepKilled), d.tellLastSkip()); err != nil {
		return nil, err
	}
	policy, err := db.Policy()
	switch {
	case err == nil:
		complete(&policy)
		d.policy = &policy
		if d.service, err = readService(db); err != nil {
			return nil, err
		}
	case !errors.Is(err, state.ErrNotFound):
		return nil, err
	}
	if d.history, err = readSchedule(db, o.Now()); err != nil {
		return nil, err
	}
	if _, err := d.lookAtClock(); err != nil {
		d.log.Error("keep what is known of the time", "err", err) // the next sweep tries again
	}
	d.memory.idle(d.priority())
	return d, nil
}

// openVault opens the vault if there is one, and mounts it. One that there was and that does not open is no error: the daemon has to tell of it.
func (d *Daemon) openVault(ctx context.Context) error {
	v, err := d.site.open(ctx, cacheBytes)
	if u, is := errors.AsType[*unopened](err); is {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.unopened == nil || !isSameReason(d.unopened.Error(), u.err.Error()) {
			d.log.Error("the vault is not opened, it is looked for again every minute", "err", u)
		}
		d.unopened = u.err
		return nil
	}
	if err != nil {
		return err
	}
	if v == nil {
		d.log.Info("there is no vault yet, waiting for activate or vault init")
		return nil
	}
	d.useVault(v)
	return nil
}

// unopenedCause is the cause of the message that the vault is away, or another one lies where it was.
const unopenedCause = "vault/strange"

// openAgain opens the vault that could not be opened before, and says so if it still cannot.
func (d *Daemon) openAgain(ctx context.Context) error {
	isUnopened := func() bool { return len(d.unopenedVault()) > 0 }
	if !isUnopened() || !d.admin.TryLock() {
		return nil
	}
	defer d.admin.Unlock()
	if !isUnopened() {
		return nil
	}
	before := d.unopenedVault()
	err := d.openVault(ctx)
	if err != nil && ctx.Err() == nil {
		d.mu.Lock()
		d.unopened = explain(err)
		d.mu.Unlock()
	}
	for _, s := range d.unopenedVault() {
		enter := d.alerts.Hold
		if !isSameReason(s.text, before[0].text) {
			enter = d.alerts.Raise // it is another reason
		}
		d.kept(enter(control.MessagePlace, s.cause, s.text))
	}
	return err
}

// isSameReason tells whether what is said differs in numbers at most: the room on a disk is another one every minute.
func isSameReason(a, b string) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r >= '0' && r <= '9' })
	}
	return slices.Equal(words(a), words(b))
}

// isElsewhere tells whether another folder lies where the vault was opened in its only place: the disk was unmounted, or is mounted anew. Where there are several, the vault itself looks
// for what is back.
func isElsewhere(ctx context.Context, v *store.Vault) bool {
	places := v.Places(ctx)
	return len(places) == 1 && errors.Is(places[0].Err, syscall.ESTALE)
}

// useVault takes v for the daemon's vault and mounts it.
func (d *Daemon) useVault(v *store.Vault) {
	d.mu.Lock()
	d.vault, d.unopened = v, nil
	d.mu.Unlock()
	d.memory.follow(v)
	d.resolve(unopenedCause)
	d.goOnOwning(context.Background(), v)
	d.wakeUpkeep()
	d.wake() // a backup may wait for it
	d.tryMount()
}

// close gives everything back. The tasks must have stopped.
func (d *Daemon) close() error {
	d.mounting.Lock()
	defer d.mounting.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	unmounted := d.unmount()
	err := errors.Join(unmounted, d.listeners.close())
	if d.vault != nil && unmounted == nil && !d.isRead() { // else it is still read; the process ends, and what it has stored is whole
		err = errors.Join(err, d.vault.Close())
	}
	return err
}

// never lists the folders that neither a backup nor a restore enters. A backup leaves out what is left in former places too, see site.left.
func (d *Daemon) never() []string { return d.o.Home.own(d.vaultPlaces()) }

// vaultPlaces lists the folders that may be places of the vault.
func (d *Daemon) vaultPlaces() []string {
	dirs, err := d.site.held()
	if err != nil {
		d.log.Error("find the vault's places", "err", err)
	}
	return dirs
}

// mounts are the mounted file systems; one that is a place of the vault, or lies in what is the vault's there, or the like, is not eligible. A name that has versions stays with the mount
// point that they are of, and a partition with the one where it was when it has versions of it.
func (d *Daemon) mounts() ([]capture.Mount, error) {
	mounts, err := d.o.Discover()
	places, folders := d.o.Home.places(d.vaultPlaces()), d.o.Home.folders()
	for _, dir := range places {
		for _, name := range store.Folders() {
			folders = append(folders, filepath.Join(dir, name))
		}
	}
	of, newest := d.named()
	capture.KeepPoints(mounts, newest)
	capture.LeaveOut(mounts, places, folders)
	capture.KeepNames(mounts, of)
	return mounts, err
}

// named has the mount points of the newest versions, by the names of their partitions, and those of the newest first. Nothing while the vault is not open.
func (d *Daemon) named() (of map[string]string, newest []string) {
	v, err := d.openedVault()
	if err != nil {
		return nil, nil
	}
	of = map[string]string{}
	var last []store.VersionKey
	for _, keys := range d.expiring(v) {
		for i := len(keys) - 1; i >= 0 && of[keys[i].Partition] == ""; i-- {
			if point := d.completed(context.Background(), v, keys[i]).MountPoint; point != "" {
				of[keys[i].Partition], last = point, append(last, keys[i])
			}
		}
	}
	slices.SortStableFunc(last, func(a, b store.VersionKey) int { return strings.Compare(b.Version, a.Version) })
	for _, k := range last {
		newest = append(newest, of[k.Partition])
	}
	return of, newest
}

// noVault is the error of who needs the vault, when there is none. d.mu is held.
func (d *Daemon) noVault() error {
	if d.unopened != nil {
		return d.unopened
	}
	return control.Errorf(control.NoVault, "there is no vault yet").WithHint("`yester activate` or `yester vault init` makes one; `yester vault adopt --place DIR` goes on with one that is there already")
}

// randomStart draws a start time.
func randomStart() string { return sched.Random(rand.IntN).String() }
