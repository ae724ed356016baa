package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) messagesCommand() *cli.Command {
	return &cli.Command{
		Name: "messages", Usage: "list what needs a look",
		Description: "Damage, places of the vault that are missing, backups that did not run or not well: each cause once a day. With --all also what is over,\n" +
			"such as damage that was healed; it is kept for 90 days.\n\n" +
			"Examples:\n  yester messages\n  yester messages --all --json",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "also what is over"}, jsonFlag},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			return runMessages(c.Context, p, c.Bool("all"), c.Bool("json"))
		},
	}
}

func runMessages(ctx context.Context, p *program, all, json bool) error {
	r := control.MessagesRequest{}
	if !all {
		r.Open = "true"
	}
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		list, err := c.Messages(ctx, r)
		switch {
		case err != nil:
			return err
		case json:
			return p.printJSON(list)
		case len(list) == 0 && !all:
			p.printf("Nothing needs a look; `%s` lists what is over.\n", p.command("messages --all"))
			return nil
		}
		for i := range list {
			p.showMessage(&list[i], time.Now())
		}
		return nil
	})
}

func (p *program) showMessage(m *control.Message, now time.Time) {
	p.printf("%s  %s  %s", m.ID, clock(m.Time, now), m.Kind)
	if m.Count > 1 {
		p.printf(", %d times, the last %s", m.Count, clock(m.Last, now))
	}
	if m.Resolved != nil {
		p.printf(", over since %s", clock(*m.Resolved, now))
	}
	p.printf("\n  %s\n", m.Text)
}
