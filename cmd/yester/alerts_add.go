package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) alertsAddCommand() *cli.Command {
	name := &cli.StringFlag{Name: "name", Usage: "call the channel `NAME` (default: what it is)"}
	kinds := &cli.StringSliceFlag{Name: "kind", Usage: "only messages of `KIND` " + strings.Join(control.MessageKinds, ", ") + " (may be repeated)"}
	authority := &cli.StringFlag{Name: "ca-file", Usage: "trust the certificates in `FILE` (PEM) instead of the system's"}
	return &cli.Command{
		Name: "add", Usage: "add a channel", Action: group("yester alerts add"),
		Description: "Examples:\n  yester alerts add smtp --server mail.example.org --from yester@example.org --to ops@example.org\n" +
			"  yester alerts add webhook --url https://hooks.example.org/yester\n  yester alerts add command -- /usr/local/bin/page-me --urgent",
		Subcommands: []*cli.Command{
			{
				Name: "smtp", Usage: "mail, by a mail server",
				Description: "The password is asked for, or read from a file. The port is 587 for starttls, 465 for tls and 25 for none unless it is given.\n\n" +
					"Examples:\n  yester alerts add smtp --server mail.example.org --username yester --from yester@example.org --to ops@example.org\n" +
					"  yester alerts add smtp --server localhost --security none --from root@web1 --to root@web1 --kind damage --kind late",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "server", Usage: "`HOST[:PORT]` of the mail server"},
					&cli.StringFlag{Name: "security", Value: control.SecurityStartTLS, Usage: "`HOW` to encrypt: starttls, tls, or none without login"},
					&cli.StringFlag{Name: "username", Usage: "log in as `NAME`"},
					&cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`, - for standard input"},
					&cli.StringFlag{Name: "from", Usage: "sender's `ADDRESS`"},
					&cli.StringSliceFlag{Name: "to", Usage: "`ADDRESS` that it goes to (may be repeated)"},
					name, kinds, authority, p.jsonFlag(),
				},
				Before: noArgs,
				Action: func(c *cli.Context) error {
					ca, err := authorityFile(c)
					if err != nil {
						return err
					}
					s := &control.SMTP{
						Server: c.String("server"), Security: c.String("security"), Username: c.String("username"),
						From: c.String("from"), To: c.StringSlice("to"), CA: ca,
					}
					r := control.ChannelAddRequest{Channel: channel(c, control.Channel{SMTP: s})}
					if file := c.String("password-file"); s.Username != "" || file != "" {
						if r.Secret, err = p.secretOf(c.Context, file, "Password of "+s.Username+": ", passwordText); err != nil {
							return err
						}
					}
					return p.runAlertsAdd(c, r)
				},
			},
			{
				Name: "webhook", Usage: "JSON, posted to an address",
				Description: "Each request is signed; docs/ALERTS.md says how that is verified. The key is read from a file, or made and shown once.\n\n" +
					"Examples:\n  yester alerts add webhook --url https://hooks.example.org/yester\n" +
					"  yester alerts add webhook --name pager --url https://pager.example.org/in --key-file /root/pager-key --kind damage",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "url", Usage: "post to `URL`"},
					&cli.StringFlag{Name: "key-file", Usage: "read the key to sign with from `FILE`, - for standard input"},
					name, kinds, authority, p.jsonFlag(),
				},
				Before: noArgs,
				Action: func(c *cli.Context) error {
					ca, err := authorityFile(c)
					if err != nil {
						return err
					}
					r := control.ChannelAddRequest{Channel: channel(c, control.Channel{Webhook: &control.Webhook{URL: c.String("url"), CA: ca}})}
					if file := c.String("key-file"); file != "" {
						if r.Secret, err = p.secretOf(c.Context, file, "", keyText); err != nil {
							return err
						}
					}
					return p.runAlertsAdd(c, r)
				},
			},
			{
				Name: "command", Usage: "a command, run as root", ArgsUsage: "-- PROGRAM [ARGUMENT...]",
				Description: "It gets the alert as JSON on its standard input, and in YESTER_EVENT (raised, recovered, test), YESTER_KIND, YESTER_TEXT and others. It must end\n" +
					"with 0 within a minute.\n\nExample:\n  yester alerts add command --name pager -- /usr/local/bin/page-me --urgent",
				Flags: []cli.Flag{name, kinds, p.jsonFlag()},
				Action: func(c *cli.Context) error {
					words := c.Args().Slice()
					if len(words) == 0 || !filepath.IsAbs(words[0]) {
						return usage("give the absolute path of a PROGRAM").WithHint("see `yester alerts add command --help`")
					}
					return p.runAlertsAdd(c, control.ChannelAddRequest{Channel: channel(c, control.Channel{Command: words})})
				},
			},
		},
	}
}

// channel gives a new channel what all have.
func channel(c *cli.Context, q control.Channel) control.Channel {
	q.Name, q.Kinds = c.String("name"), c.StringSlice("kind")
	if !c.IsSet("name") {
		q.Name = c.Command.Name
	}
	return q
}

// authorityFile reads the certificates that --ca-file names.
func authorityFile(c *cli.Context) (string, error) {
	file := c.String("ca-file")
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", usage("the certificates cannot be read: %v", err)
	}
	return string(b), nil
}

func (p *program) runAlertsAdd(c *cli.Context, r control.ChannelAddRequest) error {
	return p.ask(func(d *control.Client) error {
		a, err := d.AlertsAdd(c.Context, r)
		return p.answer(a, err, func() {
			p.printf("Added the channel %s: %s\n", a.Name, channelText(&a.Channel))
			if a.Key != "" {
				p.printf("Key to verify signatures with: %s\n", a.Key)
				p.note("Give it to whoever receives the alerts. It is not shown again.\n")
			}
			p.note("To try it: %s\n", p.command("alerts test "+a.Name))
		})
	})
}
