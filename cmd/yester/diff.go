package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "show what differs between two versions", ArgsUsage: "V1 V2 [PATH]",
		Description: "A line for each path: + it came, - it went, M it is not what it was, ! it cannot be read. V1 and V2 are versions of one partition,\n" +
			"or \"latest\". With a PATH only what is at and below it is told.\n\n" +
			"Examples:\n  yester diff 2026-11-22T031705Z latest\n  yester diff 2026-11-22T031705Z latest /etc",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "partition", Usage: "versions of partition `NAME`"}, p.jsonFlag()},
		Action: p.runDiff,
	}
}

func (p *program) runDiff(c *cli.Context) error {
	a := c.Args()
	if a.Len() < 2 || a.Len() > 3 {
		return usage("give two versions, and a PATH if you like").WithHint("`yester versions` lists versions")
	}
	r := control.DiffRequest{From: a.Get(0), To: a.Get(1), Partition: c.String("partition")}
	if a.Len() == 3 {
		path, err := seenPath(a.Get(2))
		if err != nil {
			return err
		}
		r.Path = control.PathText(path)
	}
	return p.ask(func(d *control.Client) error {
		unread, list := 0, jsonList{program: p}
		err := d.Diff(c.Context, r, func(q control.Difference) error {
			if q.Kind == control.DiffUnread {
				unread++
			}
			if p.json {
				return list.add(q)
			}
			p.printf("%s\n", differenceText(&q))
			return nil
		})
		if p.json {
			list.end(err)
		}
		return readVerdict(unread, err)
	})
}

var diffSigns = map[string]string{control.DiffCreated: "+", control.DiffDeleted: "-", control.DiffChanged: "M", control.DiffUnread: "!"}

// differenceText is a line about a path.
func differenceText(d *control.Difference) string {
	s := diffSigns[d.Kind] + " " + pathText(d.Path)
	switch {
	case d.Error != "":
		s += " (" + d.Error + ")"
	case len(d.Changed) > 0:
		s += " (" + strings.Join(d.Changed, ", ") + ")"
	}
	return s
}
