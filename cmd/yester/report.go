package main

import (
	"fmt"
	"strings"

	"yester/control"
)

// shownFound is how many problems, and how many lost paths, are printed unasked.
const shownFound = 20

// found counts what a report found.
func found(r *control.Report) string {
	s := count(r.ProblemCount, "problem")
	if r.LostCount > 0 {
		s += ", " + count(r.LostCount, "path") + " with lost data"
	}
	return s
}

// showReport prints what a task other than a backup did and found, the first lines of each list.
func (p *program) showReport(t *control.Task, most int) {
	r := t.Report
	if r == nil {
		return
	}
	if t.Error == "" {
		p.printf("%s\n", reportText(t.Kind, r))
	}
	if t.Kind == control.KindPlace && t.Error == "" && t.Hint != "" {
		p.note("yester: %s\n", t.Hint)
	}
	for _, problem := range first(r.Problems, most) {
		p.printf("problem: %s\n", problemText(&problem))
	}
	for _, l := range first(r.Lost, most) {
		p.printf("lost: %s\n", lostText(&l))
	}
	p.showMore(t, r, most)
	if !r.Clean() {
		p.showAdvice(t.Kind, r)
	}
}

// showMore says what was not printed.
func (p *program) showMore(t *control.Task, r *control.Report, most int) {
	more := func(all uint64, listed int, what string) {
		shown := uint64(min(most, listed))
		switch {
		case all == shown:
		case listed > most:
			p.printf("and %s more; `%s` lists them\n", count(all-shown, what), p.command("tasks show "+t.ID))
		default:
			p.printf("and %s more\n", count(all-shown, what))
		}
	}
	more(r.ProblemCount, len(r.Problems), "problem")
	more(r.LostCount, len(r.Lost), "path")
}

// showAdvice says what to do about what was found.
func (p *program) showAdvice(kind string, r *control.Report) {
	if kind == control.KindCheck {
		p.printf("Nothing was changed; `%s` heals what can be healed.\n", p.command("vault repair"))
	}
	if r.LostCount > 0 {
		p.printf("All else can be read. A later backup that meets the same content heals what is lost.\n")
	}
}

// reportText says in a sentence what a task did.
func reportText(kind string, r *control.Report) string {
	switch kind {
	case control.KindCheck:
		return checkedText(r)
	case control.KindRepair:
		return repairedText(r)
	case control.KindGC:
		return collectedText(r)
	case control.KindPlace:
		return "The vault lies in " + strings.Join(r.Places, ", ") + "."
	case control.KindCancel:
		return "All versions of this machine are deleted. " + collectedText(r)
	}
	return "Made the index anew from " + counted(r.Packs, "pack") + "."
}

func counted(n int, what string) string { return count(uint64(n), what) }

func checkedText(r *control.Report) string {
	s := "Checked " + counted(r.Versions, "version") + " and " + counted(r.Packs, "pack")
	if r.ReadPacks > 0 {
		s += fmt.Sprintf(", every byte of %s (%s)", number(uint64(r.ReadPacks)), size(r.ReadBytes))
	}
	if r.Clean() {
		return s + ": all is well."
	}
	return s + ": " + found(r) + "."
}

func repairedText(r *control.Report) string {
	var did []string
	add := func(n int, format, what string) {
		if n > 0 {
			did = append(did, fmt.Sprintf(format, counted(n, what)))
		}
	}
	add(r.HealedPacks, "healed %s", "pack")
	add(r.HealedRecords, "healed %s", "version record")
	add(r.HealedBlocks, "computed %s from parity", "block")
	add(r.SalvagedPacks, "moved what can be read of %s", "damaged pack")
	add(r.FoundChunks, "found %s again", "piece")
	s := "Looked at " + counted(r.Packs, "pack") + ": "
	switch {
	case len(did) == 0 && r.Clean():
		return s + "all is well."
	case len(did) == 0:
		return s + found(r) + "."
	case r.Clean():
		return s + strings.Join(did, ", ") + "; nothing is lost."
	}
	return s + strings.Join(did, ", ") + "; " + found(r) + "."
}

func collectedText(r *control.Report) string {
	s := "Freed " + size(uint64(max(r.Freed, 0))) + ": dropped " + counted(r.DroppedPacks, "pack")
	if r.RepackedPacks > 0 {
		s += fmt.Sprintf(", repacked %d into %d", r.RepackedPacks, r.WrittenPacks)
	}
	s += "; versions need " + size(r.Live)
	if r.Dead > 0 {
		s += ", " + size(r.Dead) + " nobody needs stay for now"
	}
	if r.KeptPacks > 0 {
		s += ", " + counted(r.KeptPacks, "pack") + " could not go yet"
	}
	return s + "."
}

// problemText says what is wrong where.
func problemText(q *control.Problem) string {
	var where []string
	if q.Version != "" {
		where = append(where, q.Instance+" "+q.Partition+" "+q.Version)
	}
	if q.Pack != "" {
		where = append(where, "pack "+q.Pack)
	}
	if q.Offset != nil {
		where = append(where, fmt.Sprintf("at byte %d", *q.Offset))
	}
	if q.Place != "" {
		where = append(where, "in "+q.Place)
	}
	s := q.What
	if len(where) > 0 {
		s = strings.Join(where, " ") + ": " + s
	}
	if q.Heals {
		s += " (a repair heals it)"
	}
	return s
}

// lostText says what cannot be read.
func lostText(l *control.Lost) string {
	s := fmt.Sprintf("%s %s %s  %s", l.Instance, l.Partition, l.Version, pathText(l.Path))
	if l.Bytes > 0 {
		return s + "  " + size(l.Bytes)
	}
	return s + "  (attributes of it, or names in it with all below them)"
}
