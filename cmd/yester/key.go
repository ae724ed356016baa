package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) keyCommand() *cli.Command {
	return &cli.Command{
		Name: "key", Usage: "list, add, remove and change what opens the vault", Action: group("yester vault key"),
		Description: "Examples:\n  yester vault key list\n  yester vault key add --kind recovery\n  yester vault key change",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the keys", Description: "Example:\n  yester vault key list", Flags: []cli.Flag{p.jsonFlag()},
				Before: noArgs, Action: p.asking(p.runVaultKeys),
			},
			p.keyAddCommand(), p.keyRemoveCommand(), p.keyChangeCommand(),
		},
	}
}

func (p *program) runVaultKeys(c *cli.Context, d *control.Client) error {
	keys, err := d.VaultKeys(c.Context)
	switch {
	case err != nil:
		return err
	case p.json:
		return p.printJSON(keys)
	}
	t := p.table()
	fmt.Fprintln(t, "KEY\tKIND\tCREATED\tSTATE")
	for _, k := range keys {
		state, created := "ok", k.Created.Local().Format(time.DateTime)
		if k.Fault != "" {
			state = k.Fault
		}
		if k.Created.IsZero() {
			created = ""
		}
		fill(t, "%s\t%s\t%s\t%s\n", k.ID, dash(k.Kind), dash(created), state)
	}
	return t.Flush()
}

func (p *program) keyAddCommand() *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "add another key",
		Description: "passphrase: asked for, or read from a file. recovery: made and shown once, to be kept on paper. open: who can read\n" +
			"the vault's files can read the vault.\n\n" +
			"Examples:\n  yester vault key add --kind passphrase\n  yester vault key add --kind passphrase --passphrase-file /root/passphrase\n" +
			"  yester vault key add --kind recovery",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kind", Usage: "`KIND` passphrase, recovery or open"}, passphraseFileFlag, p.jsonFlag(),
		},
		Before: noArgs,
		Action: p.runKeyAdd,
	}
}

func (p *program) runKeyAdd(c *cli.Context) error {
	kind := c.String("kind")
	passphrase, err := p.newSecret(c.Context, kind, c.String("passphrase-file"), control.KeyPassphrase, control.KeyRecovery, control.KeyOpen)
	if err != nil {
		return err
	}
	return p.ask(func(d *control.Client) error {
		k, err := d.KeyAdd(c.Context, control.KeyAddRequest{Kind: kind, Passphrase: passphrase})
		return p.answer(k, err, func() {
			if k.Recovery == "" {
				p.printf("Added key %s (%s).\n", k.ID, k.Kind)
				return
			}
			p.printf("%s\n", k.Recovery)
			p.note("Write this down and keep it away from this machine. It is not shown again.\n")
		})
	})
}

func (p *program) keyRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "remove a key", ArgsUsage: "ID",
		Description: "Whoever has a copy of the vault's files from before can still open that with the key.\n\n" +
			"Example:\n  yester vault key remove 0123456789abcdef",
		Flags:  []cli.Flag{yesFlag},
		Before: oneArg("give the ID of one key", "`yester vault key list` lists them"),
		Action: p.asking(p.runKeyRemove),
	}
}

func (p *program) runKeyRemove(c *cli.Context, d *control.Client) error {
	id := c.Args().First()
	keys, err := d.VaultKeys(c.Context)
	if err != nil {
		return err
	}
	if lastOpen(keys, id) {
		if err := p.confirm(c.Context, "From now on the vault opens with a passphrase or recovery key only. Go on?", c.Bool("yes")); err != nil {
			return err
		}
	}
	k, err := d.KeyRemove(c.Context, id)
	if err != nil {
		return err
	}
	p.printf("Removed key %s.\n", id)
	p.warn(k.Warnings)
	return nil
}

// lastOpen tells whether a key is the last open one, and others are there that make removing it possible.
func lastOpen(keys []control.Key, id string) bool {
	open := func(k control.Key) bool { return k.Kind == control.KeyOpen && k.Fault == "" }
	is := slices.ContainsFunc(keys, func(k control.Key) bool { return k.ID == id && open(k) })
	others := slices.ContainsFunc(keys, func(k control.Key) bool { return k.ID != id && open(k) })
	may := slices.ContainsFunc(keys, func(k control.Key) bool { return k.Kind == control.KeyPassphrase && k.Fault == "" })
	return is && !others && may
}

func (p *program) keyChangeCommand() *cli.Command {
	return &cli.Command{
		Name: "change", Usage: "put a new passphrase in place of an old one", ArgsUsage: "[ID]",
		Description: "Nothing else changes, and nothing is stored anew. The ID is needed if there are several passphrases.\n\n" +
			"Examples:\n  yester vault key change\n  yester vault key change --forgotten\n" +
			"  yester vault key change --old-passphrase-file /root/old --passphrase-file /root/new",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "forgotten", Usage: "do not ask for the old one: the vault is open"},
			&cli.StringFlag{Name: "old-passphrase-file", Usage: "read the old passphrase from `FILE`, - for standard input"}, passphraseFileFlag,
		},
		Before: maybeOneArg("ID", "`yester vault key list` lists them"),
		Action: p.runKeyChange,
	}
}

func (p *program) runKeyChange(c *cli.Context) (err error) {
	r := control.KeyChangeRequest{ID: c.Args().First(), Forgotten: c.Bool("forgotten")}
	old, file := c.String("old-passphrase-file"), c.String("passphrase-file")
	if file == "-" && old == "-" {
		return usage("only one of the two can come from standard input")
	}
	if !r.Forgotten {
		if r.Old, err = p.secret(c.Context, old, "Old passphrase: "); err != nil {
			return err
		}
	}
	if r.New, err = p.newPassphrase(c.Context, file); err != nil {
		return err
	}
	return p.ask(func(d *control.Client) error {
		k, err := d.KeyChange(c.Context, r)
		if err != nil {
			return err
		}
		p.printf("The passphrase is changed; its key is now %s.\n", k.ID)
		p.warn(k.Warnings)
		return nil
	})
}
