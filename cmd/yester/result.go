package main

import (
	"fmt"
	"time"

	"yester/control"
)

// shownWarnings is how many warnings are printed unasked.
const shownWarnings = 5

// showResult prints what a task made: a line per version, and what went wrong.
func (p *program) showResult(t *control.Task) {
	for _, r := range t.Results {
		if r.Error != "" {
			if len(t.Results) > 1 {
				p.note("yester: %s: %s\n", r.Partition, r.Error)
			}
			continue
		}
		p.printf("%s  %s  %s, %s; %s new, %s stored in %s\n", r.Version, r.Partition,
			count(r.Files, "file"), size(r.Bytes), size(r.NewBytes), size(r.Stored), took(time.Duration(r.Seconds*float64(time.Second))))
	}
	p.showRestored(t, shownLeft)
	p.showDrilled(t, shownLeft)
	p.showReport(t, shownFound)
	p.showWarnings(t, shownWarnings)
	if t.Error != "" {
		name := t.ID
		if name == "" { // no daemon keeps it
			name = "the " + t.Kind
		}
		p.note("yester: %s %s: %s\n", name, t.State, sentence(t))
	}
}

// showLive says which partitions could not be frozen, though their file systems can.
func (p *program) showLive(t *control.Task) {
	for _, r := range t.Results {
		if r.LiveBecause != "" {
			p.printf("%s: read as it was, without a snapshot: %s\n", r.Partition, r.LiveBecause)
		}
	}
}

// methodText says how the changed files of a version were found.
func methodText(method, because string) string {
	switch {
	case method == "":
		return ""
	case because != "":
		return "by " + method + ", because " + because
	}
	return "by " + method
}

// sentence is a task's error and what to do about it.
func sentence(t *control.Task) string {
	if t.Hint == "" {
		return t.Error
	}
	return t.Error + "; " + t.Hint
}

// showWarnings prints the first warnings and says how many there are.
func (p *program) showWarnings(t *control.Task, most int) {
	shown := first(t.Warnings, most)
	for _, w := range shown {
		p.note("warning: %s\n", warningText(&w))
	}
	if t.WarningCount > uint64(len(shown)) && t.ID != "" {
		p.note("%s; `%s` lists them\n", count(t.WarningCount, "warning"), p.command("tasks show "+t.ID))
	}
}

// warningText is a warning in a line.
func warningText(w *control.Warning) string {
	if w.Partition == "" {
		return w.What
	}
	return w.Partition + ": " + pathText(w.Path) + ": " + w.What
}

// taskText says in a few words what became of a task.
func taskText(t *control.Task) string {
	if t.End == nil {
		return t.State
	}
	s := fmt.Sprintf("%s in %s", t.State, took(t.End.Sub(t.Start)))
	var versions, files, stored uint64
	for _, r := range t.Results {
		if r.Version != "" {
			versions, files, stored = versions+1, files+r.Files, stored+r.Stored
		}
	}
	if versions > 0 {
		s += fmt.Sprintf(": %s, %s, %s stored", count(versions, "version"), count(files, "file"), size(stored))
	}
	if t.WarningCount > 0 {
		s += ", " + count(t.WarningCount, "warning")
	}
	if r := t.Restored; r != nil {
		s += ": " + restoredText(r)
	}
	if r := t.Drilled; r != nil {
		s += ": " + drilledText(r)
	}
	if r := t.Report; !r.Clean() {
		s += ", " + found(r)
	}
	return s
}
