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
		Name: name, Usage: does, Flags: []cli.Flag{p.jsonFlag()}, Description: text + "\n\nExample:\n  yester " + name,
		Before: noArgs,
		Action: p.asking(func(c *cli.Context, d *control.Client) error {
			l, err := call(d, c.Context)
			return p.answer(l, err, func() { p.showLifecycle(&l, time.Now()) })
		}),
	}
}

func (p *program) showLifecycle(l *control.Lifecycle, now time.Time) {
	p.printf("%s is %s.\n", l.Instance.Name, l.State)
	if l.Next != nil {
		p.printf("Next backup %s, in %s.\n", clock(*l.Next, now), span(l.Next.Sub(now)))
	}
	p.warn(l.Warnings)
}

func (p *program) cancelCommand() *cli.Command {
	return &cli.Command{
		Name: "cancel", Usage: "end the service of this machine and delete all its versions for good",
		Description: "A running backup is stopped; versions, their space and the settings go. Other machines' versions in the vault stay as they are.\n" +
			"To stop only the scheduled backups, use `yester pause`.\n\nExamples:\n  yester cancel\n  yester cancel --yes --wait",
		Flags: []cli.Flag{
			yesFlag, &cli.BoolFlag{Name: "wait", Usage: "wait until all is deleted"}, p.jsonFlag(),
		},
		Before: noArgs,
		Action: p.asking(p.runCancel),
	}
}

func (p *program) runCancel(c *cli.Context, d *control.Client) error {
	s, err := d.Status(c.Context)
	if err != nil {
		return err
	}
	if s.State != control.StateNew { // else the daemon says so
		if err := p.confirm(c.Context, cancelQuestion(&s), c.Bool("yes")); err != nil {
			return err
		}
	}
	t, err := d.Cancel(c.Context)
	return p.begun(c, d, &t, err)
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
