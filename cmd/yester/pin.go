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
		Flags:       []cli.Flag{&cli.StringFlag{Name: "partition", Usage: "that of partition `NAME`"}, jsonFlag},
		Before:      oneArg("give one VERSION", "`yester versions` lists them"),
		Action: func(c *cli.Context) error {
			return p.ask(c.Context, func(ctx context.Context, client *control.Client) error {
				all, err := client.Versions(ctx, control.VersionsRequest{Partition: c.String("partition")})
				if err != nil {
					return err
				}
				v, _, err := pick(all, c.Args().First())
				if err != nil {
					return err
				}
				r := control.PinRequest{Partition: v.Partition, Version: v.Version}
				switch err := call(client, ctx, r); {
				case err != nil:
					return err
				case c.Bool("json"):
					return p.printJSON(r)
				}
				p.printf(done, v.Version, v.Partition)
				return nil
			})
		},
	}
}
