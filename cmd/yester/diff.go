package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

type diffOptions struct {
	from, to, path, partition string
	json                      bool
}

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "show what differs between two versions", ArgsUsage: "V1 V2 [PATH]",
		Description: "A line for each path: + it came, - it went, M it is not what it was, ! it cannot be read. V1 and V2 are versions of one partition,\n" +
			"or \"latest\". With a PATH only what is at and below it is told.\n\n" +
			"Examples:\n  yester diff 2026-11-22T031705Z latest\n  yester diff 2026-11-22T031705Z latest /etc",
		Flags: []cli.Flag{&cli.StringFlag{Name: "partition", Usage: "versions of partition `NAME`"}, jsonFlag},
		Action: func(c *cli.Context) error {
			a := c.Args()
			if a.Len() < 2 || a.Len() > 3 {
				return usage("give two versions, and a PATH if you like").WithHint("`yester versions` lists versions")
			}
			o := diffOptions{a.Get(0), a.Get(1), a.Get(2), c.String("partition"), c.Bool("json")}
			if a.Len() == 3 && o.path == "" {
				return usage("the path is empty")
			}
			return runDiff(c.Context, p, o)
		},
	}
}

func runDiff(ctx context.Context, p *program, o diffOptions) error {
	r := control.DiffRequest{From: o.from, To: o.to, Partition: o.partition}
	if o.path != "" {
		path, err := seenPath(o.path)
		if err != nil {
			return err
		}
		r.Path = control.PathText(path)
	}
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		unread, list := 0, jsonList{program: p}
		err := c.Diff(ctx, r, func(d control.Difference) error {
			if d.Kind == control.DiffUnread {
				unread++
			}
			if o.json {
				return list.add(d)
			}
			p.printf("%s\n", differenceText(&d))
			return nil
		})
		if o.json {
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
