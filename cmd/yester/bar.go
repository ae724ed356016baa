package main

import (
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"yester/control"
)

// barWidth leaves room for the text in 80 columns.
const barWidth = 20

// A bar is a display for a terminal: one line that is drawn over and over and goes at the end. While the total is not known it only counts.
type bar struct {
	to   io.Writer
	all  *mpb.Progress
	one  *mpb.Bar
	last atomic.Pointer[control.Progress]
}

func (b *bar) show(t *control.Task) {
	b.last.Store(t.Progress)
	if b.one == nil {
		b.begin()
	}
	switch {
	case t.Progress.StepTotal > 0:
		b.one.SetTotal(int64(t.Progress.StepTotal+1), false)
		b.one.SetCurrent(int64(t.Progress.StepDone))
	case t.Progress.BytesTotal > 0:
		b.one.SetTotal(int64(max(t.Progress.BytesTotal, t.Progress.Bytes)+1), false) // it never completes by itself
		b.one.SetCurrent(int64(t.Progress.Bytes))
	}
}

func (b *bar) begin() {
	b.all = mpb.New(mpb.WithOutput(b.to), mpb.WithWidth(barWidth))
	b.one, _ = b.all.Add(0, b.filler(), // fails only after Wait
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return progressName(b.last.Load()) + " " })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + progressText(b.last.Load()) })),
	)
}

// filler draws a bar once the total is known, and before that something that turns.
func (b *bar) filler() mpb.BarFiller {
	turning := mpb.SpinnerStyle("⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏").PositionLeft().Build()
	filling := mpb.BarStyle().Lbound("").Filler("█").Tip("█").Padding("░").Rbound("").Build()
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		if g := b.last.Load(); g.BytesTotal == 0 && g.StepTotal == 0 {
			return turning.Fill(w, s)
		}
		return filling.Fill(w, s)
	})
}

func (b *bar) end() {
	if b.one != nil {
		b.one.Abort(true)
		b.all.Wait()
	}
}
