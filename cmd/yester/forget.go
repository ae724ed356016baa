package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) forgetCommand() *cli.Command {
	return &cli.Command{
		Name: "forget", Usage: "delete a version for good", ArgsUsage: "VERSION",
		Description: "The other versions stay complete. The space that only this one used is given back by a gc, which is started.\n\n" +
			"Examples:\n  yester forget 2026-11-23T031705Z\n  yester forget 2026-11-23T031705Z --partition root --yes --wait",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "partition", Usage: "that of partition `NAME`"},
			yesFlag, &cli.BoolFlag{Name: "wait", Usage: "wait until the space is given back"}, p.jsonFlag(),
		},
		Before: oneArg("give one VERSION", "`yester versions` lists them"),
		Action: p.asking(p.runForget),
	}
}

func (p *program) runForget(c *cli.Context, d *control.Client) error {
	v, others, err := pick(c, d)
	if err != nil {
		return err
	}
	if err := p.confirm(c.Context, forgetQuestion(v, others), c.Bool("yes")); err != nil {
		return err
	}
	f, err := d.Forget(c.Context, control.ForgetRequest{Partition: v.Partition, Version: v.Version})
	if err != nil {
		return err
	}
	return p.forgotten(c.Context, d, &f, c.Bool("wait"))
}

// pick finds the version that the argument names, and how many others its partition has.
func pick(c *cli.Context, d *control.Client) (v control.Version, others int, err error) {
	name := c.Args().First()
	all, err := d.Versions(c.Context, control.VersionsRequest{Partition: c.String("partition")})
	if err != nil {
		return v, 0, err
	}
	var in []string
	for _, w := range all {
		if w.Version == name {
			in, v = append(in, w.Partition), w
		}
	}
	switch len(in) {
	case 0:
		return v, 0, control.Errorf(control.NotFound, "there is no version %q", name).WithHint("`yester versions` lists them")
	case 1:
	default:
		return v, 0, usage("there are versions %s of %s", name, strings.Join(in, ", ")).WithHint("say which with --partition")
	}
	for _, w := range all {
		if w.Partition == v.Partition && w.Version != v.Version {
			others++
		}
	}
	return v, others, nil
}

// forgetQuestion says what is lost.
func forgetQuestion(v control.Version, others int) string {
	what := fmt.Sprintf("Version %s of %s, %s, %s, is deleted for good", v.Version, v.Partition, count(v.Files, "file"), size(v.Bytes))
	if v.Error != "" {
		what = fmt.Sprintf("Version %s of %s, whose record cannot be read, is deleted for good", v.Version, v.Partition)
	}
	if others == 0 {
		return what + "; it is the only one of " + v.Partition + ". Go on?"
	}
	return fmt.Sprintf("%s; %s keeps %s. Go on?", what, v.Partition, count(uint64(others), "other version"))
}

// forgotten shows what was deleted, and waits for the space if asked. That is a warning where no gc could begin.
func (p *program) forgotten(ctx context.Context, d *control.Client, f *control.Forgotten, wait bool) error {
	if p.json {
		if err := p.printJSON(f); err != nil || !wait {
			return err
		}
		if f.Task == nil {
			return errWarnings
		}
		var last control.Task
		if err := d.WatchTask(ctx, f.Task.ID, func(t control.Task) error { last = t; return nil }); err != nil {
			return err
		}
		return verdict(&last)
	}
	p.printf("Deleted version %s of %s.\n", f.Version, f.Partition)
	switch {
	case f.Task == nil:
		p.printf("Its space is given back later, no gc could begin: %s.\n", f.Because)
		if wait {
			return errWarnings
		}
		return nil
	case wait:
		return p.follow(ctx, d, f.Task.ID)
	}
	p.printf("%s gives back its space; `%s` shows how far it is\n", f.Task.ID, p.command("tasks watch "+f.Task.ID))
	return nil
}
