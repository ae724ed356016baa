package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) pinCommand() *cli.Command {
	return p.pinningCommand("pin", "keep a version from expiring", "Pinned version %s of %s: it stays until it is unpinned.\n", (*control.Client).Pin)
}

func (p *program) unpinCommand() *cli.Command {
	return p.pinningCommand("unpin", "let a pinned version expire again", "Version %s of %s is no longer pinned.\n", (*control.Client).Unpin)
}

func (p *program) pinningCommand(name, does, done string, call func(*control.Client, context.Context, control.PinRequest) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: does, ArgsUsage: "VERSION",
		Description: "Examples:\n  yester " + name + " 2026-11-23T031705Z\n  yester " + name + " 2026-11-23T031705Z --partition root",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "partition", Usage: "that of partition `NAME`"}, p.jsonFlag()},
		Before:      oneArg("give one VERSION", "`yester versions` lists them"),
		Action: p.asking(func(c *cli.Context, d *control.Client) error {
			v, _, err := pick(c, d)
			if err != nil {
				return err
			}
			r := control.PinRequest{Partition: v.Partition, Version: v.Version}
			return p.answer(r, call(d, c.Context, r), func() { p.printf(done, v.Version, v.Partition) })
		}),
	}
}
