package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

func (p *program) vaultCommand() *cli.Command {
	return &cli.Command{
		Name:        "vault",
		Usage:       "make, describe, check and heal the vault",
		Description: "Examples:\n  yester vault init --place /mnt/disk/vault\n  yester vault info\n  yester vault check --read-data --wait\n  yester vault place list\n  yester vault key list\n  yester vault adopt --place /mnt/disk/vault",
		Action:      group("yester vault"),
		Subcommands: []*cli.Command{
			p.vaultInitCommand(),
			{
				Name: "info", Usage: "describe the vault", Flags: []cli.Flag{jsonFlag},
				Before: noArgs,
				Action: func(c *cli.Context) error {
					return runVaultInfo(c.Context, p, c.Bool("json"))
				},
			},
			p.vaultTask("check", "look for damage", checkText, readDataFlag(), func(ctx context.Context, c *control.Client, o vaultTaskOptions) (control.Task, error) {
				return c.VaultCheck(ctx, control.CheckRequest{ReadData: o.readData})
			}),
			p.vaultTask("repair", "heal what is damaged", repairText, nil, func(ctx context.Context, c *control.Client, _ vaultTaskOptions) (control.Task, error) {
				return c.VaultRepair(ctx)
			}),
			p.vaultTask("gc", "give back the space of what no version needs", gcText, nil, func(ctx context.Context, c *control.Client, _ vaultTaskOptions) (control.Task, error) {
				return c.VaultGC(ctx)
			}),
			p.vaultTask("rebuild", "make the index anew from the packs", rebuildText, nil, func(ctx context.Context, c *control.Client, _ vaultTaskOptions) (control.Task, error) {
				return c.VaultRebuild(ctx)
			}),
			p.placeCommand(), p.adoptCommand(),
			p.keyCommand(),
		},
	}
}

// group is the action of a command that has only subcommands.
func group(name string) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return noCommand(c, name)
		}
		return cli.ShowSubcommandHelp(c)
	}
}

type vaultInitOptions struct {
	places     []string // absolute
	survive    int
	passphrase string // "": an open key
	json       bool
}

func (p *program) vaultInitCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "make a new vault",
		Description: "`yester activate` makes one too; this is to choose where it lies. It works with and without a running daemon.\n\n" +
			"Of several places, one may be lost, or as many as --survive says: the vault goes on without it.\n\n" +
			"Examples:\n  yester vault init\n  yester vault init --place /mnt/disk/vault\n" +
			"  yester vault init --place /mnt/a/vault --place /mnt/b/vault --place /mnt/c/vault --survive 1",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "place", Usage: "in the empty or new folder `DIR` (may be repeated)"},
			&cli.IntFlag{Name: "survive", Usage: "of several places `N` may be lost (default 1)"},
			&cli.StringFlag{Name: "key", Value: control.KeyOpen, Usage: "what opens it: `KIND` open or passphrase"},
			passphraseFileFlag, jsonFlag,
		},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			o := vaultInitOptions{json: c.Bool("json"), survive: c.Int("survive")}
			var err error
			if o.places, err = absolute(c.StringSlice("place")); err != nil {
				return err
			}
			if o.passphrase, err = p.newSecret(c.Context, c.String("key"), c.String("passphrase-file"), control.KeyOpen, control.KeyPassphrase); err != nil {
				return err
			}
			return runVaultInit(c.Context, p, o)
		},
	}
}

func runVaultInit(ctx context.Context, p *program, o vaultInitOptions) error {
	var info control.VaultInfo
	r := control.VaultInitRequest{Places: o.places, Survive: o.survive, Passphrase: o.passphrase}
	err := p.ask(ctx, func(ctx context.Context, c *control.Client) (err error) {
		info, err = c.VaultInit(ctx, r)
		return err
	})
	if errors.Is(err, control.NoDaemon) {
		info, err = p.initVault(ctx, r)
	}
	switch {
	case err != nil:
		return err
	case o.json:
		return p.printJSON(info)
	}
	p.warn(info.Warnings)
	for _, place := range info.Places {
		p.printf("Made vault %s in %s, %s free.\n", info.ID, place.Name, size(place.Free))
	}
	return nil
}

// initVault makes a vault without a daemon.
func (p *program) initVault(ctx context.Context, r control.VaultInitRequest) (control.VaultInfo, error) {
	h, s, err := p.load()
	if err != nil {
		return control.VaultInfo{}, err
	}
	quiet := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelError}))
	return daemon.InitVault(ctx, daemon.Options{Home: h, Settings: s, Version: version, Log: quiet}, r)
}

func runVaultInfo(ctx context.Context, p *program, json bool) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		info, err := c.VaultInfo(ctx)
		switch {
		case err != nil:
			return err
		case json:
			return p.printJSON(info)
		}
		p.showVault(&info)
		return nil
	})
}

func (p *program) showVault(in *control.VaultInfo) {
	t := p.table()
	fill(t, "Vault\t%s, format %d\n", in.ID, in.Format)
	for _, place := range in.Places {
		fill(t, "Place\t%s\n", placeText(&place))
	}
	fill(t, "Holds\t%s of %s\n", count(uint64(in.Versions), "version"), count(uint64(in.Instances), "instance"))
	fill(t, "Logical\t%s\n", logicalText(in))
	fill(t, "Stored\t%s in %s, %s\n", size(in.Stored), count(in.Packs, "pack"), count(in.Chunks, "chunk"))
	fill(t, "Of it\t%s data, %s parity and tables\n", size(in.Data), size(in.Parity))
	if in.Collected == nil {
		fill(t, "Dead\tnot known before the first `%s`\n", p.command("vault gc"))
	} else {
		fill(t, "Dead\t%s, as of %s\n", size(in.Dead), clock(*in.Collected, time.Now()))
	}
	if in.Compress > 0 {
		fill(t, "Gain\t%.1f by deduplication, %.1f by compression\n", in.Dedup, in.Compress)
	}
	if in.Healed > 0 {
		fill(t, "Healed\t%s read around damage since the daemon began: run `%s`\n", count(in.Healed, "block"), p.command("vault repair"))
	}
	t.Flush()
}

// logicalText says how much the versions are.
func logicalText(in *control.VaultInfo) string {
	s := size(in.Logical) + " in all files of all versions"
	if in.Unread > 0 {
		s += ", without " + count(uint64(in.Unread), "version") + " that cannot be read"
	}
	return s
}
