package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

const (
	checkText = "It looks whether each pack and version record is there, and each piece that versions are made of. With --read-data it reads\n" +
		"every byte too, or a part of the packs, each time another. It changes nothing."
	repairText = "What parity covers is as it was written again. What is damaged beyond that is named by version and path; all that\n" +
		"can be read is kept, and a later backup that meets the same content heals the rest."
	gcText      = "Backups, reading and mounts go on meanwhile. `yester forget` starts it by itself."
	rebuildText = "The index is a cache of what the packs say. The daemon makes it anew by itself when it does not open; this is for one that\n" +
		"a check found to say wrong things."
)

const vaultTaskText = "\nWith --wait it ends as the task does: 0 done, 3 done and problems found, 1 failed. Ctrl-C ends the waiting, not the task.\n\nExamples:\n"

// vaultTask is a command that starts a task on the vault.
func (p *program) vaultTask(name, does, text string, begin func(*control.Client, context.Context) (control.Task, error)) *cli.Command {
	return &cli.Command{
		Name: name, Usage: does, Description: text + vaultTaskText + "  yester vault " + name + " --wait",
		Flags:  []cli.Flag{waitFlag, p.jsonFlag()},
		Before: noArgs,
		Action: p.asking(func(c *cli.Context, d *control.Client) error {
			t, err := begin(d, c.Context)
			return p.begun(c, d, &t, err)
		}),
	}
}

func (p *program) checkCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "look for damage",
		Description: checkText + vaultTaskText + "  yester vault check --wait\n  yester vault check --read-data --wait\n  yester vault check --read-data=10%",
		Flags:       append([]cli.Flag{readDataFlag(), waitFlag, p.jsonFlag()}, vaultFlags()...),
		Before:      noArgs,
		Action:      p.runCheck,
	}
}

func (p *program) runCheck(c *cli.Context) error {
	part := float64(*c.Generic("read-data").(*share))
	from, err := offlineArgs(c)
	switch {
	case err != nil:
		return err
	case len(from.places) > 0:
		return p.readTask(c.Context, from, func(v *daemon.Offline, show func(control.Task)) (control.Task, error) {
			return v.Check(c.Context, part, show), nil
		})
	}
	return p.ask(func(d *control.Client) error {
		t, err := d.VaultCheck(c.Context, control.CheckRequest{ReadData: part})
		return p.begun(c, d, &t, err)
	})
}

// begun waits for the end of a task if --wait is given, else it says that it was started. An error is that of its start.
func (p *program) begun(c *cli.Context, d *control.Client, t *control.Task, err error) error {
	if err == nil && c.Bool("wait") {
		return p.follow(c.Context, d, t.ID)
	}
	return p.answer(t, err, func() {
		p.printf("%s is running; `%s` shows how far it is\n", t.ID, p.command("tasks watch "+t.ID))
	})
}

// A share is the value of a flag that says how much of something: --flag is all of it, --flag=10% a part.
type share float64

func readDataFlag() cli.Flag {
	return &cli.GenericFlag{Name: "read-data", Value: new(share), Usage: "read every byte too, or with =`10%` of a part of the packs"}
}

// Set parses it. An empty value, and "true", which the parser gives to a flag without one, are all.
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case text == "true":
		*s = 1
	case err != nil || !percent || v <= 0 || v > 100: // NaN is none of it
		return usage("%q is no part like 10%%", text)
	default:
		*s = share(v / 100)
	}
	return nil
}

func (s *share) String() string { return "" }

// IsBoolFlag lets it stand without a value.
func (s *share) IsBoolFlag() bool { return true }
