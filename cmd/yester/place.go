package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) placeCommand() *cli.Command {
	return &cli.Command{
		Name: "place", Usage: "list, add and replace the places the vault lies in", Action: group("yester vault place"),
		Description: "Examples:\n  yester vault place list\n  yester vault place add /mnt/d/vault --wait\n  yester vault place replace /mnt/b/vault /mnt/e/vault --wait",
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "list the places and how they do", Description: "Example:\n  yester vault place list", Flags: []cli.Flag{p.jsonFlag()},
				Before: noArgs, Action: p.asking(p.runPlaces),
			},
			{
				Name: "add", Usage: "have the vault lie in one more place", ArgsUsage: "DIR",
				Description: "DIR is an empty or new folder, on a disk of its own. Packs are written anew, over all places, while everything goes on. A vault in one\n" +
					"place lies in two afterwards, each with all of it. Cancelled or cut off, the vault works as it is, and the same command goes on.\n" +
					"Another place does not relieve one that is full: delete versions first, or make room there.\n\n" +
					"Examples:\n  yester vault place add /mnt/d/vault\n  yester vault place add /mnt/e/vault --survive 2 --wait",
				Flags: []cli.Flag{&cli.IntFlag{Name: "survive", Usage: "`N` places may be lost then (default: as many as before, or one)"}, waitFlag, p.jsonFlag()},
				Action: func(c *cli.Context) error {
					dirs, err := folders(c, 1, "give one folder DIR")
					if err != nil {
						return err
					}
					r := control.PlaceAddRequest{Place: dirs[0], Survive: c.Int("survive")}
					return p.ask(func(d *control.Client) error {
						t, err := d.PlaceAdd(c.Context, r)
						return p.begun(c, d, &t, err)
					})
				},
			},
			{
				Name: "replace", Usage: "have a new folder take over from a place", ArgsUsage: "OLD NEW",
				Description: "OLD is a place's folder or id, and may be lost; NEW is an empty or new folder. What OLD has, or had, is rebuilt in NEW while everything\n" +
					"goes on. Cancelled or cut off, it goes on by itself when the daemon is started, or with the same command.\n\n" +
					"Example:\n  yester vault place replace /mnt/b/vault /mnt/e/vault --wait",
				Flags: []cli.Flag{waitFlag, p.jsonFlag()},
				Action: func(c *cli.Context) error {
					dirs, err := folders(c, 2, "give a place OLD and a folder NEW")
					if err != nil {
						return err
					}
					r := control.PlaceReplaceRequest{Old: dirs[0], New: dirs[1]}
					if old := c.Args().First(); isPlaceID(old) {
						r.Old = old
					}
					return p.ask(func(d *control.Client) error {
						t, err := d.PlaceReplace(c.Context, r)
						return p.begun(c, d, &t, err)
					})
				},
			},
		},
	}
}

// folders are the n arguments, made absolute.
func folders(c *cli.Context, n int, want string) ([]string, error) {
	if c.NArg() != n {
		return nil, usage("%s", want).WithHint("see `%s --help`", c.Command.HelpName)
	}
	return absolute(c.Args().Slice())
}

// isPlaceID tells an id from a folder.
func isPlaceID(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == "" && filepath.Base(s) == s
}

func (p *program) runPlaces(c *cli.Context, d *control.Client) error {
	in, err := d.VaultInfo(c.Context)
	switch {
	case err != nil:
		return err
	case p.json:
		return p.printJSON(in.Places)
	}
	t := p.table()
	fmt.Fprintln(t, "ID\tSTATE\tFREE\tOF\tPLACE")
	for _, q := range in.Places {
		fill(t, "%s\t%s\t%s\t%s\t%s\n", q.ID, q.State, size(q.Free), size(q.Total), q.Name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, q := range in.Places {
		if q.Because != "" {
			p.printf("%s is %s: %s\n", q.Name, q.State, q.Because)
		}
	}
	return nil
}

// placeText says how a place does.
func placeText(q *control.Place) string {
	s := q.Name
	switch q.State {
	case control.PlaceWell:
	case control.PlaceMissing:
		return s + ", missing"
	default:
		s += ", " + q.State
	}
	return s + fmt.Sprintf(", %s of %s free", size(q.Free), size(q.Total))
}
