package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
	"yester/snapshot/track"
)

// auditDays is after how many days at the latest a partition is walked though its journal knows what changed, unless the settings say otherwise.
const auditDays = 7

// A listener is the journal of a partition, and what its captures left for the next one.
type listener struct {
	partition snapshot.Partition
	journal   *track.Journal // nil: changes cannot be listened to
	why       string         // why not
	memory    capture.Memory // of the backup at work
	walked    time.Time      // when all of the partition was looked at

	mu   sync.Mutex
	last lastCapture
}

// A lastCapture is what the last one that made a version left, and tells what the next one will go by.
type lastCapture struct {
	memory capture.Memory
	walked time.Time
	scope  string // of what was asked for
}

// listeners are those of the partitions that are backed up.
type listeners struct {
	mu  sync.Mutex
	all map[string]*listener // by mount point

	unheard *track.Unheard

	audits, missed atomic.Uint64 // since the daemon was started: audits, and changes that they found and journals had not told
}

// of returns the listener of a partition. It listens when of returns, if that can be.
func (ls *listeners) of(p snapshot.Partition) *listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[p.MountPoint]
	if l != nil && (l.journal == nil || l.isOther(&p)) {
		l.close()
		l = nil
	}
	if l == nil {
		l = &listener{partition: p}
		if err := ls.open(l); err != nil {
			l.why = sentence(err)
		}
		if ls.all == nil {
			ls.all = map[string]*listener{}
		}
		ls.all[p.MountPoint] = l
		ls.share()
	}
	return l
}

// journalBytes is what all journals together may take.
const journalBytes = 24 << 20

// share gives each journal its part of that.
func (ls *listeners) share() {
	for _, l := range ls.all {
		if l.journal != nil {
			l.journal.Limit(journalBytes / len(ls.all))
		}
	}
}

// open begins to listen.
func (ls *listeners) open(l *listener) (err error) {
	if ls.unheard == nil {
		if ls.unheard, err = track.WatchUnheard(); err != nil {
			return err
		}
	}
	l.journal, err = track.Open(l.partition.MountPoint, ls.unheard)
	return err
}

// keepOnly ends listening to all but some partitions.
func (ls *listeners) keepOnly(targets []target) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	keep := map[string]bool{}
	for _, t := range targets {
		keep[t.partition.MountPoint] = true
	}
	for point, l := range ls.all {
		if !keep[point] {
			l.close()
			delete(ls.all, point)
		}
	}
}

func (l *listener) close() error {
	if l.journal == nil {
		return nil
	}
	err := l.journal.Close()
	l.journal = nil
	return err
}

// close ends all listening.
func (ls *listeners) close() (err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.all {
		err = errors.Join(err, l.close())
	}
	ls.all = nil
	err = errors.Join(err, ls.unheard.Close())
	ls.unheard = nil
	return err
}

// capture has work capture the partition by what changed since the version before, or by a walk if that is not known.
func (l *listener) capture(o capture.Options, audit time.Duration, work func(capture.Options) (*snapshot.Version, error)) (*snapshot.Version, error) {
	if l.journal == nil {
		o.Because = l.why
		return work(o)
	}
	set, err := l.journal.Cut()
	if err != nil {
		o.Because = sentence(err)
		return work(o)
	}
	o.Changes, o.Memory = set, &l.memory
	if o.Because == "" {
		o.Because = set.Unknown()
	}
	o.Certificate = (*snapshot.Certificate)(&set.Certificate)
	o.Later = l.later
	o.Until = func() capture.Changes {
		s := l.journal.Peek()
		if s.Extend(set); s.Unknown() != "" {
			return nil
		}
		return s
	}
	now := o.Now()
	o.Audit = isDue(l.walked, now, audit)
	made := false
	defer func() {
		if !made { // a panic must not lose it either
			l.journal.Return(set)
		}
	}()
	v, err := work(o)
	if err != nil {
		return v, err
	}
	made = true
	if v.Method == control.ByWalk {
		l.walked = now.Round(0) // the monotonic clock stands still while the machine sleeps
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = lastCapture{l.memory, l.walked, scopeOf(&o)}
	return v, nil
}

// scopeOf says what is asked for of a partition.
func scopeOf(o *capture.Options) string {
	return fmt.Sprintf("%q %q %t %t %t", o.Includes, o.Excludes, o.System, o.ExcludeCaches, o.ExcludeNodump)
}

// later is what changed since the last cut, nil if that is not known.
func (l *listener) later() capture.Changes {
	s := l.journal.Peek()
	if s.Unknown() != "" {
		return nil
	}
	return s
}

// damagedVault is why a backup looks at everything while the vault is damaged.
const damagedVault = "the vault is damaged, and looking at everything may make good what is lost"

// journals sets what the API says of the journals of partitions that are mounted, each beside its mount; none that is not listened to has one.
func (d *Daemon) journals(ps []control.Partition, mounts []capture.Mount, policy *control.Policy, targets []target) {
	at, damaged := d.o.Now(), d.vaultDamaged()
	if next, ok := d.next(); ok {
		at = next
	}
	isMade := d.tasks.atWork(control.KindBackup) == "" // else it is not known yet what this one leaves
	ls := &d.listeners
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for i := range mounts {
		l := ls.all[mounts[i].MountPoint]
		if l == nil || mounts[i].Excluded != "" {
			continue
		}
		r, newest := l.report(), ps[i].Newest
		t := slices.IndexFunc(targets, func(t target) bool { return t.partition.Name == ps[i].Name })
		switch {
		case isMade && newest == "":
			r.Because = capture.FirstVersion
		case l.isOther(&mounts[i].Partition):
			r.Because = "it was mounted anew since the last backup"
		case damaged:
			r.Because = damagedVault
		case r.Because == "" && isMade && t >= 0:
			r.Because = l.foretell(newest, policyOptions(policy, &targets[t]), at, d.o.Settings.audit())
		}
		ps[i].Journal = r
	}
}

// foretell tells why a backup that begins at a time will look at everything though all changes were heard, as far as that is known before; "" if it will not.
func (l *listener) foretell(newest string, o capture.Options, at time.Time, audit time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch why := l.last.memory.Unfit(newest); {
	case why != "":
		return why
	case l.last.scope != scopeOf(&o):
		return capture.OtherFolders
	case isDue(l.last.walked, at, audit):
		return capture.ForAudit
	}
	return ""
}

// isOther tells whether a partition is not the one that is listened to.
func (l *listener) isOther(p *snapshot.Partition) bool {
	return l.partition.Device != p.Device || l.partition.FSType != p.FSType || l.partition.UUID != p.UUID
}

// isDue tells whether all of a partition is to be looked at that was so last at a time.
func isDue(walked, now time.Time, audit time.Duration) bool {
	since := now.Sub(walked)
	return audit > 0 && (since >= audit || since < 0)
}

// vaultDamaged tells whether a part of the vault is lost that nothing has brought back yet. A version by journal would take it over unseen.
func (d *Daemon) vaultDamaged() bool {
	for _, m := range d.alerts.List(true) {
		if m.Kind == control.MessageDamage && strings.HasPrefix(m.Cause, damageCause) {
			return true
		}
	}
	return false
}

// audited tells of what an audit found.
func (b *backup) audited(v *snapshot.Version) {
	a := v.Audit
	if a == nil {
		return
	}
	ls := &b.d.listeners
	ls.audits.Add(1)
	ls.missed.Add(a.Missed)
	cause := "missed/" + v.Partition.Name
	if a.Missed == 0 {
		b.d.resolve(cause)
		return
	}
	for _, path := range a.Paths {
		b.log.log.Error("the journal did not tell of a change", "task", b.log.task, "partition", v.Partition.Name, "version", v.Name, "path", path)
	}
	b.d.raise(control.MessageMissed, cause, fmt.Sprintf("the journal of %s did not tell of %d changes, which version %s has and earlier ones may lack (%s); please report it, and set audit_days = 1 until then",
		v.Partition.Name, a.Missed, v.Name, list(a.Paths)))
}

// reports are those of all, by the names of their partitions.
func (ls *listeners) reports() map[string]*control.Journal {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	all := map[string]*control.Journal{}
	for _, l := range ls.all {
		all[l.partition.Name] = l.report()
	}
	return all
}

func (l *listener) report() *control.Journal {
	if l.journal == nil {
		return &control.Journal{Because: l.why}
	}
	r := l.journal.Report()
	return &control.Journal{Since: r.Since, Names: r.Names, Events: r.Events, Bytes: r.Bytes, Because: r.Unknown}
}
