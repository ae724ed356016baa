package daemon

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"yester/control"
	"yester/sched"
	"yester/store"
)

// metrics are what Prometheus is told. What happens is counted here, since the daemon began; how things are is looked up when it is asked for
// (metrics_now.go). docs/METRICS.md lists all of it.
type metrics struct {
	registry  *prometheus.Registry
	tasks     *prometheus.CounterVec   // by kind and state
	durations *prometheus.HistogramVec // by kind
	bytes     *prometheus.CounterVec   // of backups, by what
	found     *prometheus.CounterVec   // damage, by who found it
	healed    *prometheus.CounterVec   // of it
	waited    atomic.Int64             // nanoseconds for rate limits
}

// By whom damage is found: a check, a repair, or somebody who reads.
const reading = "reading"

// taskKinds are those that are told from the begin, so that a first failure is an increase.
var taskKinds = []string{
	control.KindBackup, control.KindRestore, control.KindDrill, control.KindCheck, control.KindRepair, control.KindGC, control.KindRebuild, control.KindPlace, control.KindCancel,
}

// newMetrics returns the metrics of d.
func newMetrics(d *Daemon) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		tasks:    counter("yester_tasks_total", "Tasks that ended.", "kind", "state"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yester_task_duration_seconds", Help: "How long tasks took that ran.",
			Buckets: []float64{1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600},
		}, []string{"kind"}),
		bytes:  counter("yester_backup_bytes_total", "Bytes that backups read, that were new to the vault, and that it grew by.", "what"),
		found:  counter("yester_damage_found_total", "Damage of the vault that was met in reading, or found by a check or repair.", "by"),
		healed: counter("yester_damage_healed_total", "Damage that was made good.", "by"),
	}
	for _, kind := range taskKinds {
		for _, state := range []string{control.Completed, control.Partial, control.Failed, control.Cancelled, control.Skipped} {
			m.tasks.WithLabelValues(kind, state)
		}
	}
	for _, what := range []string{"read", "new", "stored"} {
		m.bytes.WithLabelValues(what)
	}
	for _, by := range []string{reading, control.KindCheck, control.KindRepair} {
		m.found.WithLabelValues(by)
		m.healed.WithLabelValues(by)
	}
	m.registry.MustRegister(
		m.tasks, m.durations, m.bytes, m.found, m.healed,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "yester_limiter_wait_seconds_total", Help: "Time that tasks waited for their rate limits."},
			func() float64 { return time.Duration(m.waited.Load()).Seconds() }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newNow(d),
	)
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "yester_build_info", Help: "1.", ConstLabels: prometheus.Labels{"version": d.o.Version, "goversion": runtime.Version()},
	}, func() float64 { return 1 }))
	return m
}

// limiter returns a limiter whose waiting is counted; without metrics, as nobody has who works without a daemon, it is not.
func (m *metrics) limiter(bytesPerSecond float64) *sched.Limiter {
	l := sched.NewLimiter(bytesPerSecond)
	if m != nil {
		l.Count(&m.waited)
	}
	return l
}

// taskEnded counts a task.
func (m *metrics) taskEnded(t *control.Task) {
	m.tasks.WithLabelValues(t.Kind, t.State).Inc()
	if t.End != nil && t.State != control.Skipped {
		m.durations.WithLabelValues(t.Kind).Observe(max(0, t.End.Sub(t.Start).Seconds()))
	}
	for _, r := range t.Results {
		m.bytes.WithLabelValues("read").Add(float64(r.ReadBytes))
		m.bytes.WithLabelValues("new").Add(float64(r.NewBytes))
		m.bytes.WithLabelValues("stored").Add(float64(r.Stored))
	}
	if r := t.Report; r != nil && (t.Kind == control.KindCheck || t.Kind == control.KindRepair) {
		m.found.WithLabelValues(t.Kind).Add(float64(r.Damage()))
		m.healed.WithLabelValues(t.Kind).Add(float64(r.HealedPacks + r.HealedRecords))
	}
}

// troubled counts damage that was met.
func (m *metrics) troubled(t store.Trouble) {
	if t.Kind != store.Damaged {
		return
	}
	m.found.WithLabelValues(reading).Inc()
	if t.Healed {
		m.healed.WithLabelValues(reading).Inc()
	}
}

// handler answers with the metrics.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// scrapeTimeout is how long looking things up for Prometheus may take.
const scrapeTimeout = 10 * time.Second

func scrape() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), scrapeTimeout)
}
