package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

func (p *program) restoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "put files of a version back", ArgsUsage: "VERSION [PATH…]",
		Description: "VERSION is a name from `yester versions`, latest, yesterday, 2026-11-20 or \"3 days ago\": the last one that had begun by then.\n" +
			"PATHs are what files and folders were called; relative ones count from here. Without any, all of a partition comes back.\n" +
			"A file that is in the way stays, unless --on-conflict overwrite is given; folders are merged. With --to, what was at the\n" +
			"partition's /a/b comes to DIR/a/b. Ctrl-C ends the waiting, not the restore.\n\n" +
			"Examples:\n  cd /home/me; yester restore yesterday notes.txt\n  yester restore \"3 days ago\" /srv/www --on-conflict overwrite --wait\n" +
			"  yester restore latest --vault /mnt/disk/vault --to /mnt/new\n  yester restore latest --partition root --to /mnt/new --wait\n  yester restore latest /etc --verify-only --wait",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "include", Usage: "only what matches `GLOB`, with all below it (may be repeated)"},
			&cli.StringSliceFlag{Name: "exclude", Usage: "not what matches `GLOB` (may be repeated)"},
			&cli.StringFlag{Name: "to", Usage: "into the folder `DIR`, which must be there"},
			&cli.StringFlag{Name: "partition", Usage: "of partition `NAME`, if no PATH says which"},
			&cli.StringFlag{Name: "on-conflict", Value: control.ConflictSkip, Usage: "`WHAT` becomes of files in the way: skip or overwrite"},
			&cli.BoolFlag{Name: "dry-run", Usage: "change nothing, say what would be done"},
			&cli.BoolFlag{Name: "verify-only", Usage: "change nothing, say what differs from the version"},
			&cli.BoolFlag{Name: "no-owner", Usage: "leave owners, set-id bits and capabilities out"},
			&cli.BoolFlag{Name: "no-metadata", Usage: "leave all out but content, permission bits and times: owners, attributes, ACLs, inode flags"},
			&cli.BoolFlag{Name: "delete", Usage: "delete from restored folders what the version has not"},
			&cli.StringFlag{Name: "limit-rate", Usage: "read at most `RATE` bytes a second: 500k, 10M, 1G"},
			yesFlag, waitFlag, p.jsonFlag(), instanceFlag(),
		}, vaultFlags()...),
		Action: p.runRestore,
	}
}

// restoreArgs makes a request of a command line, and says where from.
func restoreArgs(c *cli.Context) (r control.RestoreRequest, from offline, err error) {
	if c.NArg() == 0 || c.Args().First() == "" {
		return r, from, usage("give a VERSION").WithHint("latest, or one that `yester versions` lists")
	}
	r = control.RestoreRequest{
		Version: c.Args().First(), Partition: c.String("partition"), Includes: control.PatternTexts(c.StringSlice("include")), Excludes: control.PatternTexts(c.StringSlice("exclude")),
		OnConflict: c.String("on-conflict"), DryRun: c.Bool("dry-run"), VerifyOnly: c.Bool("verify-only"), NoOwner: c.Bool("no-owner"), NoMetadata: c.Bool("no-metadata"), Delete: c.Bool("delete"),
	}
	if from, err = offlineArgs(c); err != nil {
		return r, from, err
	}
	r.Instance = from.instance
	if r.Rate, err = parseRate(c.String("limit-rate")); err != nil {
		return r, from, err
	}
	if to := c.String("to"); to != "" {
		if r.To, err = absolutePath(to); err != nil {
			return r, from, err
		}
	}
	for _, arg := range c.Args().Tail() {
		path, err := seenPath(arg)
		if err != nil {
			return r, from, err
		}
		r.Paths = append(r.Paths, control.PathText(path))
	}
	return r, from, nil
}

// parseRate reads bytes a second: 500k, 10M.
func parseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	n, ok := amount(text)
	if !ok {
		return 0, usage("%q is no rate like 500k, 10M or 1G", text)
	}
	return n, nil
}

// amount reads a number above zero with a unit: k, M, G and T are powers of 1000, Ki, Mi, Gi and Ti of 1024.
func amount(text string) (n float64, ok bool) {
	number, unit := strings.TrimSuffix(strings.ToLower(text), "b"), 1.0
	for i, suffix := range []string{"k", "m", "g", "t"} {
		if rest, is := strings.CutSuffix(number, suffix+"i"); is {
			number, unit = rest, math.Pow(1024, float64(i+1))
		} else if rest, is := strings.CutSuffix(number, suffix); is {
			number, unit = rest, math.Pow(1000, float64(i+1))
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	return n * unit, err == nil && n > 0 && n*unit <= 1e15
}

func (p *program) runRestore(c *cli.Context) error {
	r, from, err := restoreArgs(c)
	if err != nil {
		return err
	}
	if question := restoreQuestion(&r); question != "" && !r.DryRun && !r.VerifyOnly {
		if err := p.confirm(c.Context, question, c.Bool("yes")); err != nil {
			return err
		}
	}
	if len(from.places) > 0 {
		return p.readTask(c.Context, from, func(v *daemon.Offline, show func(control.Task)) (control.Task, error) {
			return v.Restore(c.Context, r, from.instance, show)
		})
	}
	return p.ask(func(d *control.Client) error {
		t, err := d.Restore(c.Context, r)
		return p.begun(c, d, &t, err)
	})
}

// restoreQuestion says what is lost and where, "" if nothing is.
func restoreQuestion(r *control.RestoreRequest) string {
	var what []string
	if r.OnConflict == control.ConflictOverwrite {
		what = append(what, "files that differ from the version lose what is in them now")
	}
	if r.Delete {
		what = append(what, "what the version has not is deleted")
	}
	if len(what) == 0 {
		return ""
	}
	where := "Where the files were"
	if r.To != "" {
		where = "In " + pathText(r.To)
	}
	return where + ", " + strings.Join(what, ", and ") + ". Go on?"
}

// shownLeft is how many paths of each list are printed unasked.
const shownLeft = 10

// restoredText says in a few words what was restored.
func restoredText(r *control.Restored) string {
	var parts []string
	add := func(n uint64, what string) {
		if n > 0 {
			parts = append(parts, number(n)+" "+what)
		}
	}
	switch {
	case r.VerifyOnly:
		add(r.Equal, "equal")
		add(r.DiffersCount, "different")
	default:
		did := "restored"
		if r.DryRun {
			did = "would be restored"
		}
		parts = append(parts, fmt.Sprintf("%s and %s %s, %s, %s of it written", count(r.Files, "file"), count(r.Dirs, "folder"), did, size(r.Bytes), size(r.Written)))
		add(r.Equal, "equal")
		add(r.SkippedCount, "skipped")
		add(r.Deleted, "deleted")
	}
	add(r.FailedCount, "failed")
	if len(parts) == 0 {
		return "nothing to compare"
	}
	return strings.Join(parts, "; ")
}

// showRestored prints what a restore did, and the first of what it left.
func (p *program) showRestored(t *control.Task, most int) {
	r := t.Restored
	if r == nil {
		return
	}
	p.printf("%s  %s  to %s: %s\n", r.Version, r.Partition, r.To, restoredText(r))
	print := p.printf
	p.showLeft("differs", r.Differs, r.DiffersCount, most, t.ID, print)
	if most > shownLeft { // those that were in the way are no news
		p.showLeft("skipped", r.Skipped, r.SkippedCount, most, t.ID, print)
	}
	if r.SkippedCount > 0 {
		p.note("%s already there and left as they are; --on-conflict overwrite writes those that differ from the version\n", count(r.SkippedCount, "file"))
	}
	p.showLeft("failed", r.Failed, r.FailedCount, most, t.ID, p.note)
}

func (p *program) showLeft(what string, list []control.Left, n uint64, most int, id string, print func(string, ...any)) {
	shown := first(list, most)
	for _, l := range shown {
		print("%s: %s: %s\n", what, pathText(l.Path), l.What)
	}
	switch more := n - uint64(len(shown)); {
	case more == 0:
	case most > shownLeft || id == "":
		print("and %s more %s\n", number(more), what)
	default:
		print("and %s more %s; `%s` lists them\n", number(more), what, p.command("tasks show "+id))
	}
}
