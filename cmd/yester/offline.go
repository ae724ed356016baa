package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

// The flags of commands that read a vault without a daemon.
func vaultFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "vault", Usage: "without a daemon, from the vault in `DIR` (repeated for several places); nothing is written there"},
		&cli.StringFlag{Name: "passphrase-file", Usage: "with --vault: read the passphrase or recovery key from `FILE`, - for standard input"},
	}
}

func instanceFlag() cli.Flag {
	return &cli.StringFlag{Name: "instance", Usage: "of the instance `NAME`, if the vault has several"}
}

// offline are the values of these flags.
type offline struct {
	places         []string // absolute; none: ask the daemon
	passphraseFile string
	instance       string
}

func offlineArgs(c *cli.Context) (o offline, err error) {
	o = offline{passphraseFile: c.String("passphrase-file"), instance: c.String("instance")}
	if o.places, err = absolute(c.StringSlice("vault")); err != nil {
		return o, err
	}
	if len(o.places) == 0 && o.passphraseFile != "" {
		return o, usage("--passphrase-file goes with --vault")
	}
	return o, nil
}

// read opens the vault for f.
func (p *program) read(ctx context.Context, o offline, f func(*daemon.Offline) error) error {
	for _, dir := range o.places {
		if _, err := os.Stat(dir); err != nil && len(o.places) > 1 {
			p.note("The place %s is not there; it goes on without it.\n", dir)
		}
	}
	h, settings, err := p.load()
	if err != nil { // the vault opens all the same, and places that only the settings name are told by what lies in them
		settings = daemon.Settings{}
	}
	v, err := daemon.OpenOffline(ctx, daemon.OfflineOptions{
		Places: o.places,
		Own:    h.Own(&settings),
		Log:    slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelError})),
		Secret: func(ctx context.Context) (string, error) {
			return p.secret(ctx, o.passphraseFile, "Passphrase or recovery key: ")
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(f(v), v.Close())
}

// readTask has f do a task in the vault, and shows how far it is and how it ended.
func (p *program) readTask(ctx context.Context, o offline, f func(v *daemon.Offline, show func(control.Task)) (control.Task, error)) error {
	return p.read(ctx, o, func(v *daemon.Offline) error {
		shown := p.newDisplay()
		t, err := f(v, func(t control.Task) {
			if t.Progress != nil {
				shown.show(&t)
			}
		})
		shown.end()
		err = p.answer(&t, err, func() { p.showResult(&t) })
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return verdict(&t)
	})
}

// showAllVersions lists the versions of every instance of a vault.
func (p *program) showAllVersions(vs []control.Version) {
	if len(vs) == 0 {
		p.printf("There are no versions.\n")
	}
	for len(vs) > 0 {
		end := slices.IndexFunc(vs, func(w control.Version) bool { return w.Instance != vs[0].Instance })
		if end < 0 {
			end = len(vs)
		}
		p.printf("Instance %s\n", vs[0].Instance)
		p.showVersions(vs[:end])
		if vs = vs[end:]; len(vs) > 0 {
			p.printf("\n")
		}
	}
}

func (p *program) mountCommand() *cli.Command {
	return &cli.Command{
		Name: "mount", Usage: "show the versions of a vault without a daemon, until Ctrl-C", ArgsUsage: "DIR",
		Description: "DIR is an empty folder. Nothing is written in the vault.\n\n" +
			"Examples:\n  yester mount --vault /mnt/disk/vault /mnt/yester\n  yester mount --vault /a/vault --vault /b/vault /mnt/yester",
		Flags: vaultFlags(),
		Action: func(c *cli.Context) error {
			o, err := offlineArgs(c)
			switch {
			case err != nil:
				return err
			case c.NArg() != 1 || c.Args().First() == "":
				return usage("give one folder DIR to mount on")
			case len(o.places) == 0:
				return usage("say with --vault which vault").WithHint("a running daemon has its versions mounted already, see `yester status`")
			}
			dir := c.Args().First()
			return p.read(c.Context, o, func(v *daemon.Offline) error {
				return v.Mount(c.Context, dir, func() { p.printf("Mounted on %s; Ctrl-C ends it.\n", dir) })
			})
		},
	}
}
