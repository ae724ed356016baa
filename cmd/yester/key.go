package main

import (
	"context"
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
				Name: "list", Usage: "list the keys", Description: "Example:\n  yester vault key list", Flags: []cli.Flag{jsonFlag},
				Before: noArgs,
				Action: func(c *cli.Context) error {
					return runVaultKeys(c.Context, p, c.Bool("json"))
				},
			},
			p.keyAddCommand(), p.keyRemoveCommand(), p.keyChangeCommand(),
		},
	}
}

func runVaultKeys(ctx context.Context, p *program, json bool) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		keys, err := c.VaultKeys(ctx)
		switch {
		case err != nil:
			return err
		case json:
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
	})
}

type keyAddOptions struct {
	kind, file string
	json       bool
}

func (p *program) keyAddCommand() *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "add another key",
		Description: "passphrase: asked for, or read from a file. recovery: made and shown once, to be kept on paper. open: who can read\n" +
			"the vault's files can read the vault.\n\n" +
			"Examples:\n  yester vault key add --kind passphrase\n  yester vault key add --kind passphrase --passphrase-file /root/passphrase\n" +
			"  yester vault key add --kind recovery",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kind", Usage: "`KIND` passphrase, recovery or open"}, passphraseFileFlag, jsonFlag,
		},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			return runKeyAdd(c.Context, p, keyAddOptions{c.String("kind"), c.String("passphrase-file"), c.Bool("json")})
		},
	}
}

func runKeyAdd(ctx context.Context, p *program, o keyAddOptions) error {
	passphrase, err := p.newSecret(ctx, o.kind, o.file, control.KeyPassphrase, control.KeyRecovery, control.KeyOpen)
	if err != nil {
		return err
	}
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		k, err := c.KeyAdd(ctx, control.KeyAddRequest{Kind: o.kind, Passphrase: passphrase})
		switch {
		case err != nil:
			return err
		case o.json:
			return p.printJSON(k)
		case k.Recovery != "":
			p.printf("%s\n", k.Recovery)
			p.note("Write this down and keep it away from this machine. It is not shown again.\n")
		default:
			p.printf("Added key %s (%s).\n", k.ID, k.Kind)
		}
		return nil
	})
}

func (p *program) keyRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "remove a key", ArgsUsage: "ID",
		Description: "Whoever has a copy of the vault's files from before can still open that with the key.\n\n" +
			"Example:\n  yester vault key remove 0123456789abcdef",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "yes", Usage: "do not ask"}},
		Before: oneArg("give the ID of one key", "`yester vault key list` lists them"),
		Action: func(c *cli.Context) error {
			return runKeyRemove(c.Context, p, c.Args().First(), c.Bool("yes"))
		},
	}
}

func runKeyRemove(ctx context.Context, p *program, id string, yes bool) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		keys, err := c.VaultKeys(ctx)
		if err != nil {
			return err
		}
		if lastOpen(keys, id) {
			if err := p.confirm(ctx, "From now on the vault opens with a passphrase or recovery key only. Go on?", yes); err != nil {
				return err
			}
		}
		k, err := c.KeyRemove(ctx, id)
		if err != nil {
			return err
		}
		p.printf("Removed key %s.\n", id)
		p.warn(k.Warnings)
		return nil
	})
}

// lastOpen tells whether a key is the last open one, and others are there that make removing it possible.
func lastOpen(keys []control.Key, id string) bool {
	open := func(k control.Key) bool { return k.Kind == control.KeyOpen && k.Fault == "" }
	is := slices.ContainsFunc(keys, func(k control.Key) bool { return k.ID == id && open(k) })
	others := slices.ContainsFunc(keys, func(k control.Key) bool { return k.ID != id && open(k) })
	may := slices.ContainsFunc(keys, func(k control.Key) bool { return k.Kind == control.KeyPassphrase && k.Fault == "" })
	return is && !others && may
}

type keyChangeOptions struct {
	id            string
	file, oldFile string
	forgotten     bool
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
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usage("%q is too much", c.Args().Get(1)).WithHint("see `yester vault key change --help`")
			}
			if c.NArg() == 1 && c.Args().First() == "" {
				return usage("the ID is empty").WithHint("`yester vault key list` lists them")
			}
			o := keyChangeOptions{c.Args().First(), c.String("passphrase-file"), c.String("old-passphrase-file"), c.Bool("forgotten")}
			if o.file == "-" && o.oldFile == "-" {
				return usage("only one of the two can come from standard input")
			}
			return runKeyChange(c.Context, p, o)
		},
	}
}

func runKeyChange(ctx context.Context, p *program, o keyChangeOptions) (err error) {
	r := control.KeyChangeRequest{ID: o.id, Forgotten: o.forgotten}
	if !o.forgotten {
		if r.Old, err = p.secret(ctx, o.oldFile, "Old passphrase: "); err != nil {
			return err
		}
	}
	if r.New, err = p.newPassphrase(ctx, o.file); err != nil {
		return err
	}
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		k, err := c.KeyChange(ctx, r)
		if err != nil {
			return err
		}
		p.printf("The passphrase is changed; its key is now %s.\n", k.ID)
		p.warn(k.Warnings)
		return nil
	})
}
