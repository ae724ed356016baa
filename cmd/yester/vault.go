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
				Name: "info", Usage: "describe the vault", Flags: []cli.Flag{p.jsonFlag()},
				Before: noArgs,
				Action: p.asking(func(c *cli.Context, d *control.Client) error {
					info, err := d.VaultInfo(c.Context)
					return p.answer(info, err, func() { p.showVault(&info) })
				}),
			},
			p.checkCommand(),
			p.vaultTask("repair", "heal what is damaged", repairText, (*control.Client).VaultRepair),
			p.vaultTask("gc", "give back the space of what no version needs", gcText, (*control.Client).VaultGC),
			p.vaultTask("rebuild", "make the index anew from the packs", rebuildText, (*control.Client).VaultRebuild),
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
			passphraseFileFlag, p.jsonFlag(),
		},
		Before: noArgs,
		Action: p.runVaultInit,
	}
}

func (p *program) runVaultInit(c *cli.Context) (err error) {
	r := control.VaultInitRequest{Survive: c.Int("survive")}
	if r.Places, err = absolute(c.StringSlice("place")); err != nil {
		return err
	}
	if r.Passphrase, err = p.newSecret(c.Context, c.String("key"), c.String("passphrase-file"), control.KeyOpen, control.KeyPassphrase); err != nil {
		return err
	}
	var info control.VaultInfo
	err = p.ask(func(d *control.Client) (err error) {
		info, err = d.VaultInit(c.Context, r)
		return err
	})
	if errors.Is(err, control.NoDaemon) {
		info, err = p.initVault(c.Context, r)
	}
	return p.answer(info, err, func() {
		p.warn(info.Warnings)
		for _, place := range info.Places {
			p.printf("Made vault %s in %s, %s free.\n", info.ID, place.Name, size(place.Free))
		}
	})
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
