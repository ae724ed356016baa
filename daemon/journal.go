package daemon

import (
	"errors"
	"fmt"
	"sync"
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
	}
	return l
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
	o.Changes, o.Because, o.Memory = set, set.Unknown(), &l.memory
	o.Certificate = (*snapshot.Certificate)(&set.Certificate)
	now := o.Now()
	if since := now.Sub(l.walked); o.Because == "" && !l.walked.IsZero() && audit > 0 && (since >= audit || since < 0) {
		o.Because = fmt.Sprintf("every %d days all is looked at", int(audit/(24*time.Hour)))
	}
	v, err := work(o)
	if err != nil {
		l.journal.Return(set)
		return v, err
	}
	if v.Method == "walk" {
		l.walked = now
	}
	return v, nil
}

// report is what the API says of the journal of a partition; nil if it has none.
func (ls *listeners) report(p *control.Partition) *control.Journal {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[p.MountPoint]
	switch {
	case l == nil:
		return nil
	case l.journal == nil:
		return &control.Journal{Because: l.why}
	}
	r := l.journal.Report()
	return &control.Journal{Since: r.Since, Names: r.Names, Events: r.Events, Bytes: r.Bytes, Because: r.Unknown}
}
