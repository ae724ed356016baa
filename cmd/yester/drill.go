package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) drillCommand() *cli.Command {
	return &cli.Command{
		Name: "drill", Usage: "prove that versions can be restored: restore a sample, compare it, delete it",
		Description: "Files are drawn from the newest version of each partition, restored to a scratch folder beside the daemon's state, compared with the\n" +
			"version, and deleted. The daemon does so once a week by itself; `yester status` says when it last went well.\n" +
			"With --wait it ends as the task does: 0 proven, 1 not. Ctrl-C ends the waiting, not the task.\n\n" +
			"Examples:\n  yester drill --wait\n  yester drill --files 1000 --size 10G",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "files", Value: 100, Usage: "restore at most `N` files"},
			&cli.StringFlag{Name: "size", Value: "1Gi", Usage: "and at most `SIZE` of them, unless all are larger: 500M, 10G, 1Gi"},
			waitFlag, p.jsonFlag(),
		},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			r := control.DrillRequest{Files: c.Int("files")}
			if r.Files < 1 {
				return usage("a drill takes at least 1 file, not %d", r.Files)
			}
			n, ok := amount(c.String("size"))
			if !ok || n < 1 {
				return usage("%q is no size like 500M, 10G or 1Gi", c.String("size"))
			}
			r.Bytes = uint64(n)
			return p.ask(func(d *control.Client) error {
				t, err := d.Drill(c.Context, r)
				return p.begun(c, d, &t, err)
			})
		},
	}
}

// drilledText says in a few words what a drill found.
func drilledText(r *control.Drilled) string {
	s := fmt.Sprintf("%s, %s", count(r.Files, "file"), size(r.Bytes))
	if r.FailedCount > 0 {
		return s + ", " + number(r.FailedCount) + " did not come back as they were"
	}
	return s + " came back as they were"
}

// showDrilled prints what a drill did, and the first of what failed.
func (p *program) showDrilled(t *control.Task, most int) {
	r := t.Drilled
	if r == nil {
		return
	}
	for _, v := range r.Versions {
		p.printf("%s  %s  %s tried\n", v.Version, v.Partition, count(v.Files, "file"))
	}
	shown := first(r.Failed, most)
	for _, f := range shown {
		p.note("failed: %s %s: %s: %s\n", f.Partition, f.Version, pathText(f.Path), f.What)
	}
	if more := r.FailedCount - uint64(len(shown)); more > 0 {
		p.note("and %s more failed\n", number(more))
	}
	if t.State == control.Completed || t.State == control.Partial {
		p.printf("%s\n", drilledText(r))
	}
}

// drillText says when a restore was last proven, and when that is tried again.
func drillText(d *control.Drills, now time.Time) string {
	if d == nil {
		return ""
	}
	s := "none yet"
	if r := d.Proven; r != nil {
		s = fmt.Sprintf("%s, %s, %s (%s)", clock(r.Time, now), count(r.Files, "file"), size(r.Bytes), r.Task)
	} else if d.Next == nil && d.Failed == "" {
		return ""
	}
	if d.Failed != "" {
		s += "; the last drill failed (" + d.Failed + ")"
	}
	switch {
	case d.Next == nil:
		return s + "; none by itself"
	case d.Next.Before(now):
		return s + "; next one when nothing else runs"
	}
	return s + "; next one " + clock(*d.Next, now)
}
