package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

type activateOptions struct {
	control.ActivateRequest
	json bool
}

func (p *program) activateCommand() *cli.Command {
	return &cli.Command{
		Name:  "activate",
		Usage: "begin daily backups of this machine",
		Description: "Without flags every partition is backed up, gently, once a night, at a time drawn at random between 00:00 and 06:00.\n" +
			"A vault is made if there is none. On an active machine, the settings that are given replace the old ones.\n\n" +
			"Examples:\n  yester activate\n  yester activate --path /home --path /srv/data --exclude '*.iso'\n" +
			"  yester activate --partition root --start 03:30 --priority high",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "path", Usage: "only `PATH` (may be repeated)"},
			&cli.StringSliceFlag{Name: "exclude", Usage: "all but what matches `GLOB` (may be repeated)"},
			&cli.StringSliceFlag{Name: "partition", Usage: "only the partition `NAME` (may be repeated)"},
			&cli.StringFlag{Name: "start", Usage: "every day at `HH:MM`, local time"},
			&cli.StringFlag{Name: "priority", Usage: "`PRIORITY` low (10 MB/s), high (30 MB/s) or max"},
			&cli.BoolFlag{Name: "include-system", Usage: "take /usr/bin, /lib, /boot and the like of the root partition too"},
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			paths, err := absolute(c.StringSlice("path"))
			if err != nil {
				return err
			}
			return runActivate(c.Context, p, activateOptions{control.ActivateRequest{
				Paths: paths, Excludes: c.StringSlice("exclude"), Partitions: c.StringSlice("partition"),
				Start: c.String("start"), Priority: c.String("priority"), IncludeSystem: c.Bool("include-system"),
			}, c.Bool("json")})
		},
	}
}

// absolute makes paths absolute: the daemon has another working directory.
func absolute(paths []string) ([]string, error) {
	var abs []string
	for _, path := range paths {
		if path == "" {
			return nil, usage("a path is empty")
		}
		a, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		abs = append(abs, a)
	}
	return abs, nil
}

func runActivate(ctx context.Context, p *program, o activateOptions) error {
	return p.ask(ctx, func(ctx context.Context, c *control.Client) error {
		a, err := c.Activate(ctx, o.ActivateRequest)
		if err != nil {
			return err
		}
		if o.json {
			err = p.printJSON(a)
		} else {
			p.showActivation(&a)
		}
		if err == nil && !a.Mount.Mounted {
			p.note("yester: warning: not mounted because %s; backups run all the same\n", a.Mount.Because)
			return errWarnings
		}
		return err
	})
}

func (p *program) showActivation(a *control.Activation) {
	switch a.Outcome {
	case control.Activated:
		p.printf("%s is activated.\n", a.Instance.Name)
	case control.Replaced:
		p.printf("%s was active already; its settings are replaced, and now are:\n", a.Instance.Name)
	default:
		p.printf("%s was active already with these settings; nothing changed.\n", a.Instance.Name)
	}
	now := time.Now()
	t := p.table()
	row := func(name, value string) { _, _ = t.Write([]byte("  " + name + "\t" + value + "\n")) }
	row("Every day at", a.Policy.Start+", next "+clock(a.Next, now)+" (in "+span(a.Next.Sub(now))+")")
	row("Priority", a.Policy.Priority)
	row("Partitions", partitionNames(a.Partitions))
	if len(a.Policy.Paths) > 0 {
		row("Only", strings.Join(a.Policy.Paths, ", "))
	}
	if len(a.Policy.Excludes) > 0 {
		row("Not", strings.Join(a.Policy.Excludes, ", "))
	}
	if a.VaultMade != "" {
		row("New vault in", a.VaultMade)
	}
	if a.Mount.Mounted {
		row("Browse in", a.Mount.Dir)
	}
	t.Flush()
	if a.Outcome == control.Activated {
		p.printf("To take the first version now: %s\n", p.command("backup --wait"))
	}
}

// partitionNames lists partitions in a line.
func partitionNames(ps []control.Partition) string {
	names := make([]string, len(ps))
	for i, q := range ps {
		names[i] = q.Name + " (" + q.MountPoint + ")"
	}
	return strings.Join(names, ", ")
}
