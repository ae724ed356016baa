package daemon

import (
	"testing"
	"time"
)

func TestProgressLooksBackTenSeconds(t *testing.T) {
	var p progress
	at := time.Date(2026, 11, 23, 3, 17, 0, 0, time.UTC)
	p.rate(sample{at: at})
	p.expect(100, 100e6)
	p.begin("root")
	for range 20 { // one megabyte a second, then two
		at = at.Add(time.Second)
		p.Add(1, 1e6)
		p.report(at)
	}
	for range 20 {
		at = at.Add(time.Second)
		p.Add(1, 2e6)
		p.report(at)
	}
	r := p.report(at)
	if r.Partition != "root" || r.Files != 40 || r.FilesTotal != 100 || r.Bytes != 60e6 || r.BytesTotal != 100e6 {
		t.Errorf("got %+v", r)
	}
	if r.BytesPerSecond != 2e6 || r.SecondsLeft != 20 {
		t.Errorf("%.0f bytes/s, %.0f s left", r.BytesPerSecond, r.SecondsLeft)
	}
	if len(p.samples) > 30 {
		t.Errorf("%d samples are kept", len(p.samples))
	}
}

func TestProgressWithoutTotalHasNoEnd(t *testing.T) {
	var p progress
	at := time.Unix(1e9, 0)
	p.rate(sample{at: at})
	p.Add(1, 1e6)
	if r := p.report(at); r.BytesPerSecond != 0 || r.SecondsLeft != 0 {
		t.Errorf("at once: %+v", r)
	}
	if r := p.report(at.Add(time.Second)); r.BytesPerSecond != 1e6 || r.SecondsLeft != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestProgressPastItsTotalHasNoEnd(t *testing.T) {
	var p progress
	at := time.Unix(1e9, 0)
	p.rate(sample{at: at})
	p.expect(10, 1e6)
	p.Add(1, 1e6)
	if r := p.report(at.Add(time.Second)); r.BytesTotal != 1e6 || r.FilesTotal != 10 {
		t.Errorf("at its total: %+v", r)
	}
	p.Add(1, 1)
	if r := p.report(at.Add(time.Second)); r.BytesTotal != 0 || r.FilesTotal != 0 || r.SecondsLeft != 0 {
		t.Errorf("past it: %+v", r)
	}
}
