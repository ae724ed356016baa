package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) adoptCommand() *cli.Command {
	return &cli.Command{
		Name: "adopt", Usage: "go on with a vault that was another daemon's, and as one of its instances",
		Description: "It opens the vault for this daemon and shows whose versions it has. With --as-instance this machine goes on as that one: its versions\n" +
			"are this machine's, the next backup builds on them, and `yester activate` begins with its settings. Whatever daemon had the instance\n" +
			"before keeps off from then on. Without, the machine begins its own, and the others' versions can be restored and looked at.\n\n" +
			"Examples:\n  yester vault adopt --place /mnt/disk/vault\n  yester vault adopt --as-instance web1\n  yester vault adopt --place /mnt/disk/vault --passphrase-file FILE",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "place", Usage: "the vault in `DIR` (repeated for several places); default: the one the daemon has"},
			&cli.StringFlag{Name: "as-instance", Usage: "go on as the instance `NAME`, or of that id"},
			&cli.StringFlag{Name: "passphrase-file", Usage: "read the passphrase or recovery key from `FILE`, - for standard input"},
			yesFlag, p.jsonFlag(),
		},
		Before: noArgs,
		Action: p.runAdopt,
	}
}

func (p *program) runAdopt(c *cli.Context) (err error) {
	var r control.AdoptRequest
	if r.Places, err = absolute(c.StringSlice("place")); err != nil {
		return err
	}
	if file := c.String("passphrase-file"); file != "" {
		if r.Passphrase, err = p.secretFile(file, passphraseText); err != nil {
			return err
		}
	}
	return p.ask(func(d *control.Client) error {
		a, err := p.adopt(c.Context, d, &r)
		if err != nil {
			return err
		}
		as := c.String("as-instance")
		if as != "" {
			if err := p.confirmAdoption(c.Context, &a, as, c.Bool("yes")); err != nil {
				return err
			}
			r.AsInstance = as
			if a, err = d.Adopt(c.Context, r); err != nil {
				return err
			}
			if a.Anew {
				if err := awaitInstance(c.Context, d, a.Instance.ID); err != nil {
					return err
				}
			}
		}
		return p.answer(a, nil, func() { p.showAdoption(&a, as != "") })
	})
}

// adopt asks for a passphrase if the daemon has none that opens the vault.
func (p *program) adopt(ctx context.Context, c *control.Client, r *control.AdoptRequest) (control.Adoption, error) {
	a, err := c.Adopt(ctx, *r)
	if _, terminal := p.terminal(); !errors.Is(err, control.WrongKey) || r.Passphrase != "" || !terminal {
		return a, err
	}
	if r.Passphrase, err = p.secret(ctx, "", "Passphrase or recovery key: "); err != nil {
		return a, err
	}
	return c.Adopt(ctx, *r)
}

// confirmAdoption asks before an instance is taken from another daemon. It may be called by all that the daemon knows it by.
func (p *program) confirmAdoption(ctx context.Context, a *control.Adoption, name string, yes bool) error {
	for _, in := range a.Instances {
		called := in.Name == name || strings.HasPrefix(in.ID, name) || strings.HasSuffix(name, fmt.Sprintf("~%.8s", in.ID))
		if called && in.Owner != nil && in.Owner.Other {
			return p.confirm(ctx, fmt.Sprintf("%s belongs to the daemon of %s since %s, which makes and deletes no versions any more after this. Go on?",
				in.Name, ownerText(in.Owner), clock(in.Owner.Since, time.Now())), yes)
		}
	}
	return nil
}

func ownerText(o *control.OwnerText) string {
	if o.Home == "" {
		return o.Machine
	}
	return o.Machine + ", " + o.Home
}

// awaitInstance waits until the daemon answers as an instance.
func awaitInstance(ctx context.Context, c *control.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // the index of a large vault is opened
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err == nil && s.Instance.ID == id {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *program) showAdoption(a *control.Adoption, as bool) {
	for _, place := range a.Places {
		p.printf("Vault %s in %s\n", a.Vault, placeText(&place))
	}
	p.printf("\n")
	t := p.table()
	fmt.Fprintln(t, "INSTANCE\tID\tVERSIONS\tNEWEST\tPARTITIONS\tBELONGS TO")
	for _, in := range a.Instances {
		owner := "-"
		switch {
		case in.Ours && (in.Owner == nil || !in.Owner.Other):
			owner = "this daemon"
		case in.Owner != nil:
			owner = ownerText(in.Owner) + ", since " + clock(in.Owner.Since, time.Now())
		}
		fill(t, "%s\t%.8s\t%d\t%s\t%s\t%s\n", in.Name, in.ID, in.Versions, dash(in.Newest), dash(strings.Join(in.Partitions, ", ")), owner)
	}
	t.Flush()
	p.warn(a.Warnings)
	if as {
		p.printf("\nThis machine goes on as %.8s. `%s` begins daily backups with the settings it had.\n", a.Instance.ID, p.command("activate"))
		return
	}
	p.printf("\nTo go on as one of them: `%s`\nTo begin this machine's own versions: `%s`\n", p.command("vault adopt --as-instance NAME"), p.command("activate"))
}
