package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) alertsCommand() *cli.Command {
	return &cli.Command{
		Name: "alerts", Usage: "list, add, remove and test ways by which messages leave this machine", Action: group("yester alerts"),
		Description: "What `yester messages` lists is also told by mail, to a webhook and by a command, as far as these are added here: once when it comes up, and\n" +
			"once when it is over. A channel that is down is tried again for a week.\n\n" +
			"Examples:\n  yester alerts add smtp --server mail.example.org --username yester --from yester@example.org --to ops@example.org\n" +
			"  yester alerts test\n  yester alerts list",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the channels and how they do", Description: "Example:\n  yester alerts list", Flags: []cli.Flag{p.jsonFlag()},
				Before: noArgs, Action: p.asking(p.runAlerts),
			},
			p.alertsAddCommand(),
			{
				Name: "remove", Usage: "remove a channel, with its secret and what waits for it", ArgsUsage: "NAME",
				Description: "Example:\n  yester alerts remove smtp",
				Before:      oneArg("give the NAME of one channel", "`yester alerts list` lists them"),
				Action:      p.asking(p.runAlertsRemove),
			},
			{
				Name: "test", Usage: "send a test alert", ArgsUsage: "[NAME]",
				Description: "By one channel, or by all of them. It says what became of it, and fails if one does not take it. A channel that is well again gets at once\n" +
					"what waits for it.\n\nExamples:\n  yester alerts test\n  yester alerts test smtp",
				Flags:  []cli.Flag{p.jsonFlag()},
				Before: maybeOneArg("NAME", "`yester alerts list` lists them"), Action: p.asking(p.runAlertsTest),
			},
		},
	}
}

// untold tells whether nobody is told of what goes wrong here, as alerts have no channel.
func untold(ctx context.Context, c *control.Client) bool {
	channels, err := c.Alerts(ctx)
	return err == nil && len(channels) == 0
}

func (p *program) runAlerts(c *cli.Context, d *control.Client) error {
	list, err := d.Alerts(c.Context)
	switch {
	case err != nil:
		return err
	case p.json:
		return p.printJSON(list)
	case len(list) == 0:
		p.printf("Messages do not leave this machine yet; `%s` says how they can.\n", p.command("alerts add --help"))
		return nil
	}
	t, now := p.table(), time.Now()
	fmt.Fprintln(t, "CHANNEL\tKINDS\tSENT\tWAITING\tGOES TO")
	for i := range list {
		q, sent, kinds := &list[i], "never", "all"
		if !q.Sent.IsZero() {
			sent = clock(q.Sent, now)
		}
		if len(q.Kinds) > 0 {
			kinds = strings.Join(q.Kinds, ",")
		}
		fill(t, "%s\t%s\t%s\t%d\t%s\n", q.Name, kinds, sent, q.Waiting, channelText(q))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, q := range list {
		switch {
		case q.Failures > 0:
			p.printf("%s fails since %s, %s, next %s: %s\n", q.Name, clock(q.Failing, now), count(uint64(q.Failures), "try"), clock(q.Next, now), q.Error)
		case q.Error != "":
			p.printf("%s does not reach all: %s\n", q.Name, q.Error)
		}
	}
	return nil
}

// channelText says where a channel leads.
func channelText(q *control.Channel) string {
	switch {
	case q.SMTP != nil:
		return fmt.Sprintf("%s by %s (%s)", strings.Join(q.SMTP.To, ", "), q.SMTP.Server, q.SMTP.Security)
	case q.Webhook != nil:
		return q.Webhook.URL
	}
	words := make([]string, len(q.Command))
	for i, w := range q.Command {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

func (p *program) runAlertsRemove(c *cli.Context, d *control.Client) error {
	name := c.Args().First()
	if err := d.AlertsRemove(c.Context, name); err != nil {
		return err
	}
	p.printf("Removed the channel %s.\n", name)
	return nil
}

func (p *program) runAlertsTest(c *cli.Context, d *control.Client) error {
	tests, err := d.AlertsTest(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	if p.json {
		err = p.printJSON(tests)
	}
	failed := false
	for _, t := range tests {
		switch {
		case t.Error != "":
			failed = true
			p.note("yester: %s does not take alerts: %s\n", t.Channel, t.Error)
		case !p.json:
			p.printf("A test alert went by %s.\n", t.Channel)
		}
	}
	if err == nil && failed {
		return errSaid
	}
	return err
}
