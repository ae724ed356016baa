package main

import (
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
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "also what is over"}, p.jsonFlag()},
		Before: noArgs,
		Action: p.asking(p.runMessages),
	}
}

func (p *program) runMessages(c *cli.Context, d *control.Client) error {
	r := control.MessagesRequest{}
	if !c.Bool("all") {
		r.Open = "true"
	}
	list, err := d.Messages(c.Context, r)
	return p.answer(list, err, func() {
		if len(list) == 0 && !c.Bool("all") {
			p.printf("Nothing needs a look; `%s` lists what is over.\n", p.command("messages --all"))
		}
		for i := range list {
			p.showMessage(&list[i], time.Now())
		}
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
