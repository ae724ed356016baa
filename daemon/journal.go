package daemon

import (
	"errors"
	"fmt"
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
	if l != nil && (l.journal == nil || l.partition.Device != p.Device || l.partition.FSType != p.FSType || l.partition.UUID != p.UUID) {
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
	since := now.Sub(l.walked)
	o.Audit = audit > 0 && (since >= audit || since < 0)
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
	return v, nil
}

// later is what changed since the last cut, nil if that is not known.
func (l *listener) later() capture.Changes {
	s := l.journal.Peek()
	if s.Unknown() != "" {
		return nil
	}
	return s
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

// report is what the API says of the journal of what is mounted at a point; nil if it has none.
func (ls *listeners) report(point string) *control.Journal {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.all[point]; l != nil {
		return l.report()
	}
	return nil
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
