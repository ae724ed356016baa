package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) pauseCommand() *cli.Command {
	return p.lifecycleCommand("pause", "stop scheduled backups until `yester resume`",
		"What runs goes on, `yester backup` still works, and versions expire as always.", (*control.Client).Pause)
}

func (p *program) resumeCommand() *cli.Command {
	return p.lifecycleCommand("resume", "go on with scheduled backups after a pause",
		"What was missed meanwhile is not made up for.", (*control.Client).Resume)
}

func (p *program) lifecycleCommand(name, does, text string, call func(*control.Client, context.Context) (control.Lifecycle, error)) *cli.Command {
	return &cli.Command{
		Name: name, Usage: does, Flags: []cli.Flag{jsonFlag}, Description: text + "\n\nExample:\n  yester " + name,
		Before: noArgs,
		Action: func(c *cli.Context) error {
			return p.ask(c.Context, func(ctx context.Context, client *control.Client) error {
				l, err := call(client, ctx)
				switch {
				case err != nil:
					return err
				case c.Bool("json"):
					return p.printJSON(l)
				}
				p.showLifecycle(&l, time.Now())
				return nil
			})
		},
	}
}

func (p *program) showLifecycle(l *control.Lifecycle, now time.Time) {
	p.printf("%s is %s.\n", l.Instance.Name, l.State)
	if l.Next != nil {
		p.printf("Next backup %s, in %s.\n", clock(*l.Next, now), span(l.Next.Sub(now)))
	}
	p.warn(l.Warnings)
}

type cancelOptions struct{ yes, wait, json bool }

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name: "cancel", Usage: "end the service of this machine and delete all its versions for good",
		Description: "A running backup is stopped; versions, their space and the settings go. Other machines' versions in the vault stay as they are.\n" +
			"To stop only the scheduled backups, use `yester pause`.\n\nExamples:\n  yester cancel\n  yester cancel --yes --wait",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			&cli.BoolFlag{Name: "wait", Usage: "wait until all is deleted"}, jsonFlag,
		},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			return runCancel(c.Context, p, cancelOptions{c.Bool("yes"), c.Bool("wait"), c.Bool("json")})
		},
	}
}

func runCancel(ctx context.Context, p *program, o cancelOptions) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if s.State != control.StateNew { // else the daemon says so
			if err := p.confirm(ctx, cancelQuestion(&s), o.yes); err != nil {
				return err
			}
		}
		t, err := c.Cancel(ctx)
		if err != nil {
			return err
		}
		return p.begun(ctx, c, &t, o.wait, o.json)
	})
}

// cancelQuestion says what is lost.
func cancelQuestion(s *control.Status) string {
	var of []string
	total := 0
	for _, q := range s.Partitions {
		if q.Versions > 0 {
			total += q.Versions
			of = append(of, fmt.Sprintf("%s %d", q.Name, q.Versions))
		}
	}
	what := "there are no versions yet"
	if total > 0 {
		what = fmt.Sprintf("all its versions are deleted for good (%s); nothing can be restored from them any more", strings.Join(of, ", "))
	}
	return "The service of " + s.Instance.Name + " ends: no more backups, and " + what + ". Go on?"
}
