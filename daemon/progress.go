package daemon

import (
	"sync"
	"sync/atomic"
	"time"

	"yester/control"
)

// rateSpan is how far back the rate looks.
const rateSpan = 10 * time.Second

// A progress counts what a task has done. It is a capture.Progress.
type progress struct {
	files, bytes atomic.Uint64

	mu         sync.Mutex
	partition  string
	filesTotal uint64 // 0: not known
	bytesTotal uint64
	step       string
	done, of   int      // of the step
	samples    []sample // of the last rateSpan, at least one older if there is any
}

// A sample is how much was done at a time.
type sample struct {
	at    time.Time
	bytes uint64
}

// Add counts.
func (p *progress) Add(files, bytes uint64) {
	p.files.Add(files)
	p.bytes.Add(bytes)
}

// expect sets the totals. Either both are known or none.
func (p *progress) expect(files, bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.filesTotal, p.bytesTotal = files, bytes
}

// begin says which partition is next.
func (p *progress) begin(partition string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partition = partition
}

// at says how far a step of what is no backup is. It is a store.Progress.
func (p *progress) at(step string, done, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.done, p.of = step, done, of
}

// report tells how far the task is.
func (p *progress) report(now time.Time) *control.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &control.Progress{
		Partition: p.partition,
		Files:     p.files.Load(), FilesTotal: p.filesTotal,
		Bytes: p.bytes.Load(), BytesTotal: p.bytesTotal,
		Step: p.step, StepDone: p.done, StepTotal: p.of,
	}
	if r.Bytes > r.BytesTotal { // more than expected, so that the end is not known: a parent of other paths, say
		r.FilesTotal, r.BytesTotal = 0, 0
	}
	r.BytesPerSecond = p.rate(sample{now, r.Bytes})
	if r.BytesPerSecond > 0 && r.BytesTotal > r.Bytes {
		r.SecondsLeft = float64(r.BytesTotal-r.Bytes) / r.BytesPerSecond
	}
	return r
}

// rate keeps a sample and returns the bytes per second since the oldest one.
func (p *progress) rate(now sample) float64 {
	p.samples = append(p.samples, now)
	for len(p.samples) > 2 && now.at.Sub(p.samples[1].at) >= rateSpan {
		p.samples = p.samples[1:]
	}
	old := p.samples[0]
	span := now.at.Sub(old.at).Seconds()
	if span <= 0 {
		return 0
	}
	return float64(now.bytes-old.bytes) / span
}
