package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
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

type vaultTaskOptions struct {
	readData float64
	wait     bool
	json     bool
}

// vaultTask is a command that starts a task on the vault.
func (p *program) vaultTask(name, does, text string, flag cli.Flag,
	begin func(context.Context, *control.Client, vaultTaskOptions) (control.Task, error),
) *cli.Command {
	flags := []cli.Flag{&cli.BoolFlag{Name: "wait", Usage: "wait for the end"}, jsonFlag}
	example := "  yester vault " + name + " --wait"
	if flag != nil {
		flags = append(append([]cli.Flag{flag}, flags...), vaultFlags()...)
		example += "\n  yester vault " + name + " --read-data --wait\n  yester vault " + name + " --read-data=10%"
	}
	return &cli.Command{
		Name: name, Usage: does, Flags: flags,
		Description: text + "\nWith --wait it ends as the task does: 0 done, 3 done and problems found, 1 failed. Ctrl-C ends the waiting, not the task.\n\nExamples:\n" + example,
		Before:      noArgs,
		Action: func(c *cli.Context) error {
			o := vaultTaskOptions{wait: c.Bool("wait"), json: c.Bool("json")}
			if s, ok := c.Generic("read-data").(*share); ok {
				o.readData = float64(*s)
			}
			from, err := offlineArgs(c)
			switch {
			case err != nil:
				return err
			case len(from.places) > 0:
				return runCheckOffline(c.Context, p, from, o)
			}
			return runVaultTask(c.Context, p, o, begin)
		},
	}
}

func runVaultTask(ctx context.Context, p *program, o vaultTaskOptions,
	begin func(context.Context, *control.Client, vaultTaskOptions) (control.Task, error),
) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		t, err := begin(ctx, c, o)
		if err != nil {
			return err
		}
		return p.begun(ctx, c, &t, o.wait, o.json)
	})
}

// begun waits for a task that was started, or says that it was.
func (p *program) begun(ctx context.Context, c *control.Client, t *control.Task, wait, json bool) error {
	switch {
	case wait:
		return p.follow(ctx, c, t.ID, json)
	case json:
		return p.printJSON(t)
	}
	p.printf("%s is running; `%s` shows how far it is\n", t.ID, p.command("tasks watch "+t.ID))
	return nil
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
