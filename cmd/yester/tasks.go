package main

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) tasksCommand() *cli.Command {
	list := func(c *cli.Context) error {
		if c.Args().Present() {
			return noCommand(c, "yester tasks")
		}
		return p.ask(func(d *control.Client) error {
			ts, err := d.Tasks(c.Context, control.TasksRequest{State: c.String("state")})
			return p.answer(ts, err, func() { p.showTasks(ts, c.String("state")) })
		})
	}
	listFlags := []cli.Flag{&cli.StringFlag{Name: "state", Usage: "only those in `STATE`: running, completed, partial, failed …"}, p.jsonFlag()}
	return &cli.Command{
		Name:        "tasks",
		Usage:       "list, show, watch and cancel backups, checks and other tasks",
		Description: "Examples:\n  yester tasks\n  yester tasks watch b-20261123-0001\n  yester tasks list --state failed",
		Flags:       listFlags,
		Action:      list,
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list the tasks of the last 90 days", Flags: listFlags, Action: list},
			p.taskCommand("show", "show a task with its warnings", p.runTaskShow),
			p.taskCommand("watch", "show a task's progress until it ends", p.runTaskWatch),
			p.taskCommand("cancel", "stop a running task; what it has done stays", p.runTaskCancel),
		},
	}
}

// taskCommand is a command about one task.
func (p *program) taskCommand(name, does string, run func(*cli.Context, *control.Client) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: does, ArgsUsage: "ID", Flags: []cli.Flag{p.jsonFlag()},
		Description: "Example:\n  yester tasks " + name + " b-20261123-0001",
		Before:      oneArg("give the ID of one task", "`yester tasks` lists them"),
		Action:      p.asking(run),
	}
}

// showTasks lists tasks: those in a state, or all for "".
func (p *program) showTasks(ts []control.Task, state string) {
	switch {
	case len(ts) > 0:
	case state != "":
		p.printf("There are no tasks in the state %s.\n", state)
		return
	default:
		p.printf("There are no tasks.\n")
		return
	}
	t, now := p.table(), time.Now()
	fmt.Fprintln(t, "ID\tSTART\tRESULT")
	for i := range ts {
		text := taskText(&ts[i])
		if ts[i].Error != "" {
			text = ts[i].State + ": " + ts[i].Error
		}
		fill(t, "%s\t%s\t%s\n", ts[i].ID, clock(ts[i].Start, now), text)
	}
	t.Flush()
}

func (p *program) runTaskShow(c *cli.Context, d *control.Client) error {
	t, err := d.Task(c.Context, c.Args().First())
	return p.answer(t, err, func() {
		p.printf("%s  %s, began %s, %s\n", t.ID, t.Kind, clock(t.Start, time.Now()), taskText(&t))
		if t.Progress != nil {
			p.printf("%s: %s\n", progressName(t.Progress), progressText(t.Progress))
		}
		p.showResult(&control.Task{Results: t.Results, ID: t.ID, State: t.State, Error: t.Error, Hint: t.Hint})
		for _, r := range t.Results {
			if s := methodText(r.Method, r.Because); s != "" {
				p.printf("%s was made %s\n", r.Partition, s)
			}
		}
		p.showRestored(&t, math.MaxInt)
		p.showDrilled(&t, math.MaxInt)
		p.showReport(&t, math.MaxInt)
		p.showLive(&t)
		p.showHooks(&t)
		p.showAllWarnings(&t)
	})
}

// showAllWarnings prints the warnings as the thing that was asked for.
func (p *program) showAllWarnings(t *control.Task) {
	for _, w := range t.Warnings {
		p.printf("warning: %s\n", warningText(&w))
	}
	if n := uint64(len(t.Warnings)); t.WarningCount > n {
		p.printf("and %s more\n", count(t.WarningCount-n, "warning"))
	}
}

func (p *program) runTaskWatch(c *cli.Context, d *control.Client) error {
	if !p.json {
		return p.follow(c.Context, d, c.Args().First())
	}
	var last control.Task
	out := json.NewEncoder(p.out)
	err := d.WatchTask(c.Context, c.Args().First(), func(t control.Task) error {
		last = t
		return out.Encode(t)
	})
	if err != nil {
		return err
	}
	return verdict(&last)
}

func (p *program) runTaskCancel(c *cli.Context, d *control.Client) error {
	t, err := d.CancelTask(c.Context, c.Args().First())
	return p.answer(t, err, func() {
		if t.State != control.Cancelled {
			p.printf("%s was faster: %s\n", t.ID, t.State)
			return
		}
		p.printf("%s is cancelled; %s\n", t.ID, t.Hint)
	})
}
