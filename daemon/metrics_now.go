package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"yester/control"
	"yester/store"
)

// now tells how things are when Prometheus asks.
type now struct {
	d *Daemon

	state, paused, next, running                         *prometheus.Desc
	versions, newest, age, due                           *prometheus.Desc
	open, stored, data, dead, packs, placeUp, free, size *prometheus.Desc
	blocks, messages, waiting, failures                  *prometheus.Desc
	mount, hits, misses, cached                          *prometheus.Desc
	names, heard, audits, missed                         *prometheus.Desc
}

func newNow(d *Daemon) *now {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("yester_"+name, help, labels, nil)
	}
	return &now{
		d:        d,
		state:    desc("service_state", "1 for the state that the instance is in.", "state"),
		paused:   desc("paused_timestamp_seconds", "When the service was paused; missing if it is not."),
		next:     desc("next_backup_timestamp_seconds", "When the next scheduled backup begins; missing if there is none."),
		running:  desc("tasks_running", "Tasks at work.", "kind"),
		versions: desc("versions", "Versions there are.", "partition"),
		newest:   desc("last_version_timestamp_seconds", "When the newest version was completed.", "partition"),
		age:      desc("last_version_age_seconds", "How long ago that was.", "partition"),
		due:      desc("version_due_timestamp_seconds", "When a partition is late unless it has a newer version by then; missing for what is not to be backed up now.", "partition"),
		open:     desc("vault_open", "1 if the vault is open."),
		stored:   desc("vault_stored_bytes", "Bytes of the vault's packs, parity included."),
		data:     desc("vault_data_bytes", "Of these, chunks as they are stored."),
		dead:     desc("vault_dead_bytes", "Of these, what no version needs, as the last collection found."),
		packs:    desc("vault_packs", "Packs of the vault."),
		placeUp:  desc("place_up", "1 if the place of the vault is used.", "place"),
		free:     desc("place_free_bytes", "Free bytes of the file system that the place lies on.", "place"),
		size:     desc("place_size_bytes", "Size of that file system.", "place"),
		blocks:   desc("healed_blocks_total", "Blocks that were read around damage."),
		messages: desc("messages_open", "Messages that are not over.", "kind"),
		waiting:  desc("alerts_waiting", "Alerts that a channel did not take yet.", "channel"),
		failures: desc("alerts_failures", "Tries in a row that a channel failed.", "channel"),
		mount:    desc("mount_up", "1 if the versions can be browsed."),
		hits:     desc("cache_hits_total", "Chunks that the mount and other readers found in the cache."),
		misses:   desc("cache_misses_total", "Chunks, or groups of small ones, that were read from their packs."),
		cached:   desc("cache_bytes", "Bytes in the cache."),
		names:    desc("journal_names", "Names that changed since the last backup, as far as was heard.", "partition"),
		heard:    desc("journal_known", "1 if all that changed since then was heard, so that the next backup needs not look at everything.", "partition"),
		audits:   desc("journal_audits_total", "Walks that looked whether the journals told everything."),
		missed:   desc("journal_missed_total", "Changes that these found and the journals had not told."),
	}
}

// Describe implements prometheus.Collector. It names nothing, for what there is to tell changes.
func (n *now) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (n *now) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	n.service(gauge)
	n.alerts(gauge)
	n.journals(gauge, to)
	gauge(n.mount, bit(n.d.mountStatus().Mounted))
	v, err := n.d.openedVault()
	gauge(n.open, bit(err == nil))
	if err != nil {
		return
	}
	n.partitions(v, gauge)
	n.vault(v, gauge, to)
}

type gauge = func(d *prometheus.Desc, v float64, labels ...string)

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (n *now) service(gauge gauge) {
	is := n.d.serviceState()
	for _, s := range []string{control.StateNew, control.StateInitializing, control.StateReady, control.StatePaused, control.StateCancelling} {
		gauge(n.state, bit(s == is), s)
	}
	if since, ok := n.d.pausedSince(); ok {
		gauge(n.paused, float64(since.Unix()))
	}
	if next, ok := n.d.next(); ok {
		gauge(n.next, float64(next.Unix()))
	}
	at := n.d.tasks.kindsAtWork()
	for _, kind := range taskKinds {
		gauge(n.running, bit(at[kind]), kind)
	}
}

func (n *now) journals(gauge gauge, to chan<- prometheus.Metric) {
	ls := &n.d.listeners
	for name, j := range ls.reports() {
		gauge(n.names, float64(j.Names), name)
		gauge(n.heard, bit(j.Because == ""), name)
	}
	to <- prometheus.MustNewConstMetric(n.audits, prometheus.CounterValue, float64(ls.audits.Load()))
	to <- prometheus.MustNewConstMetric(n.missed, prometheus.CounterValue, float64(ls.missed.Load()))
}

func (n *now) alerts(gauge gauge) {
	count := map[string]int{}
	for _, m := range n.d.alerts.List(true) {
		count[m.Kind]++
	}
	for _, kind := range control.MessageKinds {
		gauge(n.messages, float64(count[kind]), kind)
	}
	for _, c := range n.d.outbox.Channels() {
		gauge(n.waiting, float64(c.Waiting), c.Name)
		gauge(n.failures, float64(c.Failures), c.Name)
	}
}

func (n *now) partitions(v *store.Vault, gauge gauge) {
	ctx, cancel := scrape()
	defer cancel()
	for _, of := range byPartition(v.Versions(n.d.instance.ID)) {
		name := of[0].Partition
		gauge(n.versions, float64(len(of)), name)
		if end := n.d.completed(ctx, v, of[len(of)-1]).End; !end.IsZero() {
			gauge(n.newest, float64(end.UnixMilli())/1000, name)
			gauge(n.age, n.d.o.Now().Sub(end).Seconds(), name)
		}
	}
	if dues := n.d.dues.Load(); dues != nil && n.d.serviceState() == control.StateReady {
		for name, at := range *dues {
			gauge(n.due, float64(at.Unix()), name)
		}
	}
}

func (n *now) vault(v *store.Vault, gauge gauge, to chan<- prometheus.Metric) {
	ctx, cancel := scrape()
	defer cancel()
	counter := func(d *prometheus.Desc, v uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	info, err := v.Info(ctx)
	for _, p := range info.Places { // which are known also where something else is not
		gauge(n.placeUp, bit(p.Err == nil), p.Name)
		gauge(n.free, float64(p.Free), p.Name)
		gauge(n.size, float64(p.Total), p.Name)
	}
	if err == nil {
		gauge(n.stored, float64(info.Stored))
		gauge(n.data, float64(info.Data))
		gauge(n.dead, float64(info.Dead))
		gauge(n.packs, float64(info.Packs))
		counter(n.blocks, info.Healed)
	} else {
		n.d.log.Debug("describe the vault for a scrape", "err", err)
	}
	c := v.CacheStats()
	counter(n.hits, c.Hits)
	counter(n.misses, c.Misses)
	gauge(n.cached, float64(c.Bytes))
}
