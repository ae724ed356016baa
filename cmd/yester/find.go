package main

import (
	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) findCommand() *cli.Command {
	return &cli.Command{
		Name: "find", Usage: "find files and folders in versions by a glob, deleted ones too", ArgsUsage: "GLOB",
		Description: "GLOB is for the whole path if it begins with a slash, else for its end; ** stands for any folders. Put it in quotes. The newest version\n" +
			"of each partition is looked through, or with --all-versions all: then what was deleted comes too, with the last version that had it.\n\n" +
			"Examples:\n  yester find '/home/**/*.odt'\n  yester find --all-versions 'thesis*'",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all-versions", Usage: "look through all versions"},
			&cli.StringFlag{Name: "version", Usage: "look through `VERSION`"},
			&cli.StringFlag{Name: "partition", Usage: "only in partition `NAME`"}, p.jsonFlag(),
		},
		Action: p.runFind,
	}
}

func (p *program) runFind(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("give one GLOB, in quotes")
	}
	r := control.FindRequest{Glob: control.PathText(c.Args().First()), Partition: c.String("partition"), Version: c.String("version")}
	if c.Bool("all-versions") {
		if r.Version != "" {
			return usage("--all-versions and --version exclude each other")
		}
		r.Version = control.AllVersions
	}
	return p.ask(func(d *control.Client) error {
		unread, found, list := 0, 0, jsonList{program: p}
		err := d.Find(c.Context, r, func(f control.Found) error {
			if f.Error != "" {
				unread++
			} else {
				found++
			}
			if p.json {
				return list.add(f)
			}
			p.showFound(&f)
			return nil
		})
		switch {
		case p.json:
			list.end(err)
		case err == nil && found == 0:
			p.note("nothing matches\n")
		}
		return readVerdict(unread, err)
	})
}

// showFound prints a path, and of what was deleted, where it last was.
func (p *program) showFound(f *control.Found) {
	switch {
	case f.Error != "":
		p.note("yester: warning: %s in version %s: %s\n", pathText(f.Path), f.Version, f.Error)
	case f.Deleted:
		p.printf("%s (deleted, last in %s)\n", pathText(f.Path), f.Version)
	default:
		p.printf("%s\n", pathText(f.Path))
	}
}
