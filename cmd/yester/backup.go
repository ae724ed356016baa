package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) backupCommand() *cli.Command {
	return &cli.Command{
		Name:  "backup",
		Usage: "take a version of each partition now",
		Description: "With --wait it shows how far it is, and ends as the backup does: 0 completed, 3 with warnings, 1 failed.\n" +
			"Ctrl-C ends the waiting, not the backup.\n\nExamples:\n  yester backup\n  yester backup --wait",
		Flags:  []cli.Flag{waitFlag, p.jsonFlag()},
		Before: noArgs,
		Action: p.asking(func(c *cli.Context, d *control.Client) error {
			t, err := d.Backup(c.Context, control.BackupRequest{})
			return p.begun(c, d, &t, err)
		}),
	}
}

// follow shows a task's progress until it ends, and then its result.
func (p *program) follow(ctx context.Context, d *control.Client, id string) error {
	var last control.Task
	shown := p.newDisplay()
	err := d.WatchTask(ctx, id, func(t control.Task) error {
		last = t
		if t.Progress != nil {
			shown.show(&t)
		}
		return nil
	})
	shown.end()
	if errors.Is(err, context.Canceled) {
		p.note("%s goes on; `%s` watches it again, `%s` stops it\n", id, p.command("tasks watch "+id), p.command("tasks cancel "+id))
	}
	if err := p.answer(last, err, func() { p.showResult(&last) }); err != nil {
		return err
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
