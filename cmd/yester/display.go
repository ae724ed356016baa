package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"yester/control"
)

// A display shows a task's progress.
type display interface {
	show(t *control.Task) // has progress
	end()                 // takes away what is in the way of the result
}

// newDisplay returns a bar on a terminal, and lines elsewhere.
func (p *program) newDisplay() display {
	if f, ok := p.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &bar{to: f}
	}
	return &lines{to: p.err, next: time.Now().Add(lineInterval)}
}

// lineInterval is how often lines are printed.
const lineInterval = 10 * time.Second

// lines is a display for logs: a line now and then.
type lines struct {
	to   io.Writer
	next time.Time
}

func (l *lines) show(t *control.Task) {
	if now := time.Now(); now.After(l.next) {
		l.next = now.Add(lineInterval)
		fmt.Fprintf(l.to, "%s: %s\n", progressName(t.Progress), progressText(t.Progress))
	}
}

func (l *lines) end() {}

// progressName is what is being worked on.
func progressName(g *control.Progress) string {
	if g.Step != "" {
		return g.Step
	}
	return g.Partition
}

// progressText says how far a task is. It counts entries, folders too.
func progressText(g *control.Progress) string {
	if g.Step != "" {
		s := fmt.Sprintf("%s of %s", number(uint64(g.StepDone)), number(uint64(g.StepTotal)))
		if g.Bytes > 0 {
			s += fmt.Sprintf(", %s, %s/s", size(g.Bytes), size(uint64(g.BytesPerSecond)))
		}
		return s
	}
	s := number(g.Files) + " entries, " + size(g.Bytes)
	if g.BytesTotal > 0 {
		s = fmt.Sprintf("%d %% of %s, %s entries", min(100, g.Bytes*100/g.BytesTotal), size(g.BytesTotal), number(g.Files))
	}
	s += fmt.Sprintf(", %s/s", size(uint64(g.BytesPerSecond)))
	if g.SecondsLeft >= 1 {
		s += ", " + span(time.Duration(g.SecondsLeft)*time.Second) + " left"
	}
	return s
}
