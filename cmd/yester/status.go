package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "show on one screen how things are",
		Description: "Examples:\n  yester status\n  yester status --json | jq .next",
		Flags:       []cli.Flag{p.jsonFlag()},
		Before:      noArgs,
		Action:      p.asking(p.runStatus),
	}
}

func (p *program) runStatus(c *cli.Context, d *control.Client) error {
	s, err := d.Status(c.Context)
	return p.answer(s, err, func() {
		if s.Policy != nil && untold(c.Context, d) {
			s.Attention = append(s.Attention, "nobody is told of what goes wrong: `"+p.command("alerts add")+"`")
		}
		p.showStatus(&s)
	})
}

func (p *program) showStatus(s *control.Status) {
	if s.Policy == nil {
		p.printf("%s is not activated: `%s` begins daily backups.\n", s.Instance.Name, p.command("activate"))
		if s.Vault == "" && len(s.Attention) == 0 {
			p.printf("It has no vault yet: `%s` goes on with one that is there already, as after the loss of a machine.\n", p.command("vault adopt --place DIR"))
		}
		p.printf("\n")
	} else {
		p.printf("%s is %s%s\n\n", s.Instance.Name, s.State, stateText(s))
	}
	p.showRows("", statusRows(s, time.Now()))
	p.showPartitions(s)
	if len(s.Attention) > 0 {
		p.printf("\nAttention\n")
		for _, line := range s.Attention {
			p.printf("  %s\n", line)
		}
	}
}

// stateText says what the state means.
func stateText(s *control.Status) string {
	switch s.State {
	case control.StatePaused:
		return ": no scheduled backups before `yester resume`."
	case control.StateCancelling:
		return ": all its versions are being deleted."
	}
	return fmt.Sprintf(": backups every day at %s, priority %s.", s.Policy.Start, s.Policy.Priority)
}

// statusRows are the names and values of the first block.
func statusRows(s *control.Status, now time.Time) (rows [][2]string) {
	row := func(name, format string, args ...any) {
		rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
	}
	if s.Next != nil {
		row("Next backup", "%s, in %s", clock(*s.Next, now), span(s.Next.Sub(now)))
	}
	if t := s.Running; t != nil && t.Progress != nil {
		row("Running", "%s: %s", t.ID, progressText(t.Progress))
	}
	for i := range s.Others {
		if t := &s.Others[i]; t.Progress != nil {
			row("Running", "%s: %s %s", t.ID, progressName(t.Progress), progressText(t.Progress))
		}
	}
	if t := s.Last; t != nil {
		row("Last backup", "%s, %s (%s)", clock(t.Start, now), taskText(t), t.ID)
	}
	if text := drillText(s.Drills, now); text != "" {
		row("Last proven restore", "%s", text)
	}
	if s.Policy != nil {
		row("Keeps", "%s", retentionText(s.Policy))
		rows = append(rows, scopeRows(s.Policy, s.Partitions)...)
	}
	if s.Vault != "" {
		row("Stored", "%s in the vault", size(s.Stored))
	}
	for _, q := range s.Partitions {
		if q.Journal != nil && q.Selected {
			row("Journal", "%s", journalText(&q, now))
		}
	}
	for _, place := range s.Places {
		row("Vault", "%s", placeText(&place))
	}
	if s.Mount.Mounted {
		row("Browse in", "%s", s.Mount.Dir)
	} else {
		row("Not mounted", "because %s", s.Mount.Because)
	}
	row("Daemon", "yester %s, pid %d", s.Version, s.PID)
	return rows
}

// journalText says what the next backup of a partition will go by.
func journalText(q *control.Partition, now time.Time) string {
	if j := q.Journal; j.Because == "" {
		return fmt.Sprintf("%s: listening since %s, %s changed", q.Name, clock(j.Since, now), count(uint64(j.Names), "name"))
	}
	return fmt.Sprintf("%s: all will be looked at, because %s", q.Name, q.Journal.Because)
}

// showPartitions lists the partitions that are backed up, could be, or have versions, and those that could be if they were not the vault's.
func (p *program) showPartitions(s *control.Status) {
	p.printf("\n")
	t := p.table()
	fmt.Fprintln(t, "PARTITION\tMOUNTED AT\tTYPE\tUSED\tVERSIONS\tOLDEST\tNEWEST")
	for _, q := range s.Partitions {
		if q.Excluded == "" || q.Size > 0 { // of others nobody asked how large they are
			fill(t, "%s\t%s\t%s\t%s\t%d\t%.10s\t%s\n", q.Name, dash(q.MountPoint), dash(q.FSType), size(q.Used), q.Versions, dash(q.Oldest), newest(s, q))
		}
	}
	t.Flush()
}

// newest is a partition's newest version, and whether there will be others.
func newest(s *control.Status, q control.Partition) string {
	switch {
	case q.Excluded != "":
		return "(" + q.Excluded + ")"
	case q.MountPoint == "":
		return q.Newest + " (not mounted)"
	case s.Policy != nil && !q.Selected && q.Newest == "":
		return "(not selected)"
	case s.Policy != nil && !q.Selected:
		return q.Newest + " (not selected)"
	}
	return dash(q.Newest)
}

// dash stands for nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
