package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

func (p *program) versionsCommand() *cli.Command {
	return &cli.Command{
		Name:        "versions",
		Usage:       "list the versions there are, and where to browse them",
		Description: "Examples:\n  yester versions\n  yester versions --partition root --json\n  yester versions --vault /mnt/disk/vault",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "partition", Usage: "only those of partition `NAME`"}, p.jsonFlag(), instanceFlag(),
		}, vaultFlags()...),
		Before: noArgs,
		Action: p.runVersions,
	}
}

func (p *program) runVersions(c *cli.Context) error {
	from, err := offlineArgs(c)
	switch {
	case err != nil:
		return err
	case len(from.places) > 0:
		return p.read(c.Context, from, func(v *daemon.Offline) error {
			vs, err := v.Versions(c.Context, from.instance, c.String("partition"))
			return p.answer(vs, err, func() { p.showAllVersions(vs) })
		})
	case from.instance != "":
		return usage("--instance goes with --vault")
	}
	return p.ask(func(d *control.Client) error {
		vs, err := d.Versions(c.Context, control.VersionsRequest{Partition: c.String("partition")})
		return p.answer(vs, err, func() {
			if len(vs) == 0 {
				p.printf("There are no versions yet: `%s` takes the first.\n", p.command("backup --wait"))
			}
			p.showVersions(vs)
		})
	})
}

// showVersions prints a block for each partition; the path stands above it, for it may be long.
func (p *program) showVersions(vs []control.Version) {
	for len(vs) > 0 {
		end := slices.IndexFunc(vs, func(v control.Version) bool { return v.Partition != vs[0].Partition })
		if end < 0 {
			end = len(vs)
		}
		p.printf("%s\n", blockTitle(vs[0]))
		t := p.table()
		fmt.Fprintln(t, "  VERSION\tFILES\tSIZE\tNEW\tCHANGED\tEXPIRES\tSTATE")
		for _, v := range vs[:end] {
			showVersion(t, v)
		}
		t.Flush()
		if vs = vs[end:]; len(vs) > 0 {
			p.printf("\n")
		}
	}
}

// blockTitle says which partition it is and where to browse it.
func blockTitle(v control.Version) string {
	s := v.Partition
	if v.MountPoint != "" {
		s += " (" + v.MountPoint + ")"
	}
	if v.Path != "" {
		s += ", browse in " + filepath.Dir(v.Path)
	}
	return s
}

func showVersion(t *tabwriter.Writer, v control.Version) {
	if v.Error != "" {
		fill(t, "  %s\t%s\n", v.Version, v.Error)
		return
	}
	fill(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Version,
		tally(v.Files), size(v.Bytes), size(v.NewBytes), tally(v.Added+v.Changed+v.Deleted), expiry(v, time.Now()), v.State)
}

// expiry is the day on which a version goes, or what keeps it past that.
func expiry(v control.Version, now time.Time) string {
	switch {
	case v.Kept == "pinned", v.Kept != "" && !v.Expires.After(now):
		return v.Kept
	case v.Expires.IsZero():
		return "-"
	}
	return v.Expires.Local().Format(time.DateOnly)
}
