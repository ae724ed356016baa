package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"yester/control"
)

type backupOptions struct {
	wait bool
	json bool
}

func (p *program) backupCommand() *cli.Command {
	return &cli.Command{
		Name:  "backup",
		Usage: "take a version of each partition now",
		Description: "With --wait it shows how far it is, and ends as the backup does: 0 completed, 3 with warnings, 1 failed.\n" +
			"Ctrl-C ends the waiting, not the backup.\n\nExamples:\n  yester backup\n  yester backup --wait",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "wait", Usage: "wait for the end"}, jsonFlag},
		Before: noArgs,
		Action: func(c *cli.Context) error {
			return runBackup(c.Context, p, backupOptions{wait: c.Bool("wait"), json: c.Bool("json")})
		},
	}
}

func runBackup(ctx context.Context, p *program, o backupOptions) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		t, err := c.Backup(ctx, control.BackupRequest{})
		switch {
		case err != nil:
			return err
		case o.wait:
			return p.follow(ctx, c, t.ID, o.json)
		case o.json:
			return p.printJSON(t)
		}
		p.printf("%s is running; `%s` shows how far it is\n", t.ID, p.command("tasks watch "+t.ID))
		return nil
	})
}

// follow shows a task's progress until it ends, and then its result.
func (p *program) follow(ctx context.Context, c *control.Client, id string, json bool) error {
	var last control.Task
	d := p.newDisplay()
	err := c.WatchTask(ctx, id, func(t control.Task) error {
		last = t
		if t.Progress != nil {
			d.show(&t)
		}
		return nil
	})
	d.end()
	switch {
	case errors.Is(err, context.Canceled):
		p.note("%s goes on; `%s` watches it again, `%s` stops it\n", id, p.command("tasks watch "+id), p.command("tasks cancel "+id))
		return err
	case err != nil:
		return err
	case json:
		if err := p.printJSON(last); err != nil {
			return err
		}
	default:
		p.showResult(&last)
	}
	return verdict(&last)
}

// verdict is the error that a command ends with after a task's end was shown.
func verdict(t *control.Task) error {
	switch t.State {
	case control.Completed:
		return nil
	case control.Partial:
		return errWarnings
	}
	return errSaid
}
