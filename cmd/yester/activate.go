package main

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) activateCommand() *cli.Command {
	return &cli.Command{
		Name:  "activate",
		Usage: "begin daily backups of this machine",
		Description: "Without flags every partition is backed up, gently, once a night, at a time drawn at random between 00:00 and 06:00; versions stay for 30\n" +
			"days, the newest always. A vault is made if there is none. On an active machine, the settings that are given replace the old ones.\n\n" +
			"Examples:\n  yester activate\n  yester activate --path /home --path /srv/data --exclude '*.iso'\n" +
			"  yester activate --partition root --start 03:30 --priority high --retention 90",
		Flags:  append(settingFlags(), p.jsonFlag()),
		Before: noArgs,
		Action: func(c *cli.Context) error { return p.runPolicy(c, (*control.Client).Activate) },
	}
}

// absolute makes paths absolute: the daemon has another working directory.
func absolute(paths []string) ([]string, error) {
	var abs []string
	for _, path := range paths {
		if path == "" {
			return nil, usage("a path is empty")
		}
		a, err := absolutePath(path)
		if err != nil {
			return nil, err
		}
		abs = append(abs, a)
	}
	return abs, nil
}

func (p *program) showActivation(a *control.Activation) {
	switch a.Outcome {
	case control.Activated:
		p.printf("%s is activated.\n", a.Instance.Name)
	case control.Replaced:
		p.printf("The settings of %s are now:\n", a.Instance.Name)
	default:
		p.printf("%s had these settings already; nothing changed.\n", a.Instance.Name)
	}
	now := time.Now()
	var rows [][2]string
	row := func(name, value string) { rows = append(rows, [2]string{name, value}) }
	if a.Next != nil {
		row("Every day at", a.Policy.Start+", next "+clock(*a.Next, now)+" (in "+span(a.Next.Sub(now))+")")
	} else {
		row("Every day at", a.Policy.Start+", once it is resumed: it is "+a.State)
	}
	row("Priority", a.Policy.Priority)
	row("Keeps", retentionText(&a.Policy))
	row("Partitions", partitionNames(a.Partitions))
	rows = append(rows, scopeRows(&a.Policy, a.Partitions)...)
	if a.VaultMade != "" {
		row("New vault in", a.VaultMade)
	}
	if a.Mount.Mounted {
		row("Browse in", a.Mount.Dir)
	}
	p.showRows("  ", rows)
	p.warn(a.Warnings)
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
