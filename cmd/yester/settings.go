package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

// settingFlags are the flags of a policy's settings, for activate and set.
func settingFlags() []cli.Flag {
	keep := func(name, what string) cli.Flag {
		return &cli.IntFlag{Name: name, Usage: "keep the newest version of each of the last `N` " + what + " too"}
	}
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "path", Usage: "only `PATH` (may be repeated)"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "all but what matches `GLOB` (may be repeated)"},
		&cli.StringSliceFlag{Name: "partition", Usage: "only the partition `NAME` (may be repeated)"},
		&cli.BoolFlag{Name: "all-partitions", Usage: "every eligible partition again"},
		&cli.BoolFlag{Name: "all-paths", Usage: "whole partitions again"},
		&cli.BoolFlag{Name: "no-exclude", Usage: "leave nothing out by a glob any more"},
		&cli.BoolFlag{Name: "include-system", Usage: "take /usr/bin, /lib, /boot and the like of the root partition too"},
		&cli.BoolFlag{Name: "exclude-caches", Usage: "of folders with a CACHEDIR.TAG, nothing but that"},
		&cli.BoolFlag{Name: "exclude-nodump", Usage: "nothing that has the no-dump flag (chattr +d)"},
		&cli.StringFlag{Name: "start", Usage: "every day at `HH:MM`, local time"},
		&cli.StringFlag{Name: "window", Usage: "begin at most `TIME` late, like 6h or 90m; later, the day is skipped"},
		&cli.BoolFlag{Name: "catch-up", Usage: "make up for a missed time as soon as possible"},
		&cli.StringFlag{Name: "priority", Usage: "`PRIORITY` low (10 MB/s), high (30 MB/s) or max"},
		&cli.StringFlag{Name: "compression", Usage: "compress with `METHOD` lz4, zstd or auto: as the priority has it"},
		&cli.StringFlag{Name: "retention", Usage: "keep each version for `DAYS`"},
		&cli.BoolFlag{Name: "keep-latest", Usage: "never delete the newest version of a partition (on unless =false)"},
		&cli.StringFlag{Name: "before", Usage: "run `COMMAND` before each backup ('': none)"},
		&cli.StringFlag{Name: "after", Usage: "run `COMMAND` after each backup, whatever became of it ('': none)"},
		&cli.StringFlag{Name: "hook-timeout", Usage: "end a hook after `TIME` (10m)"},
		&cli.StringFlag{Name: "on-hook-failure", Usage: "`WHAT` a hook that fails makes of its backup: abort or warn (abort)"},
		keep("keep-daily", "days"), keep("keep-weekly", "weeks"), keep("keep-monthly", "months"), keep("keep-yearly", "years"),
	}
}

// settings reads what the flags say.
func settings(c *cli.Context) (r control.ActivateRequest, err error) {
	if r.Paths, err = absolute(c.StringSlice("path")); err != nil {
		return r, err
	}
	if c.IsSet("exclude") {
		r.Excludes = control.PatternTexts(c.StringSlice("exclude"))
	}
	if c.IsSet("partition") {
		r.Partitions = c.StringSlice("partition")
	}
	for _, e := range []struct {
		flag, against string
		list          *[]string
	}{{"all-partitions", "partition", &r.Partitions}, {"all-paths", "path", &r.Paths}, {"no-exclude", "exclude", &r.Excludes}} {
		switch {
		case !c.Bool(e.flag):
		case *e.list != nil:
			return r, usage("--%s and --%s exclude each other", e.flag, e.against)
		default:
			*e.list = []string{}
		}
	}
	r.Start, r.Priority, r.Compression = c.String("start"), c.String("priority"), c.String("compression")
	for name, to := range map[string]**bool{
		"include-system": &r.IncludeSystem, "exclude-caches": &r.ExcludeCaches, "exclude-nodump": &r.ExcludeNodump,
		"catch-up": &r.CatchUp, "keep-latest": &r.KeepLatest,
	} {
		if v := c.Bool(name); c.IsSet(name) {
			*to = &v
		}
	}
	for name, to := range map[string]**int{
		"keep-daily": &r.KeepDaily, "keep-weekly": &r.KeepWeekly, "keep-monthly": &r.KeepMonthly, "keep-yearly": &r.KeepYearly,
	} {
		if v := c.Int(name); c.IsSet(name) {
			*to = &v
		}
	}
	if r.WindowSeconds, err = windowFlag(c); err != nil {
		return r, err
	}
	if r.RetentionDays, err = retentionFlag(c); err != nil {
		return r, err
	}
	r.Hooks, err = hookFlags(c)
	return r, err
}

// windowFlag is --window in seconds, nil if it was not given.
func windowFlag(c *cli.Context) (*int, error) {
	if !c.IsSet("window") {
		return nil, nil
	}
	d, err := time.ParseDuration(c.String("window"))
	if err != nil {
		return nil, usage("the window %q is no length of time", c.String("window")).WithHint("write 6h, 90m or 1h30m")
	}
	seconds := int(d / time.Second)
	return &seconds, nil
}

// retentionFlag is --retention in days, nil if it was not given.
func retentionFlag(c *cli.Context) (*int, error) {
	if !c.IsSet("retention") {
		return nil, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(c.String("retention"), "d"))
	if err != nil {
		return nil, usage("the retention %q is no number of days", c.String("retention")).WithHint("write 30 or 30d")
	}
	return &n, nil
}

func (p *program) setCommand() *cli.Command {
	return &cli.Command{
		Name:  "set",
		Usage: "change settings",
		Description: "What is not given stays as it is. A new priority counts from the next backup on. A new start time later today holds today, unless today's\n" +
			"backup ran; one that has passed skips today.\n\n" +
			"Examples:\n  yester set --start 03:30\n  yester set --priority high --retention 90 --keep-monthly 12\n  yester set --all-paths --no-exclude",
		Flags:  append(settingFlags(), p.jsonFlag()),
		Before: noArgs,
		Action: func(c *cli.Context) error {
			if given := c.LocalFlagNames(); len(given) == 0 || len(given) == 1 && given[0] == "json" {
				return usage("say what to set").WithHint("see `yester set --help`")
			}
			return p.runPolicy(c, (*control.Client).Set)
		},
	}
}

// runPolicy gives settings by one of two calls and shows what they came to.
func (p *program) runPolicy(c *cli.Context, give func(*control.Client, context.Context, control.ActivateRequest) (control.Activation, error)) error {
	r, err := settings(c)
	if err != nil {
		return err
	}
	return p.ask(func(d *control.Client) error {
		a, err := give(d, c.Context, r)
		err = p.answer(a, err, func() {
			p.showActivation(&a)
			if a.Outcome == control.Activated && untold(c.Context, d) {
				p.printf("To be told of what goes wrong: %s\n", p.command("alerts add"))
			}
		})
		if err == nil && !a.Mount.Mounted {
			p.note("yester: warning: not mounted because %s; backups run all the same\n", a.Mount.Because)
			return errWarnings
		}
		return err
	})
}

// scopeRows are the names and values of what is backed up and what runs with it, in a list of settings.
func scopeRows(q *control.Policy, ps []control.Partition) (rows [][2]string) {
	if len(q.Paths) > 0 {
		rows = append(rows, [2]string{"Only", strings.Join(q.Paths, ", ")})
	}
	if text := leftOut(q, ps); text != "" {
		rows = append(rows, [2]string{"Not", text})
	}
	return append(rows, hookRows(&q.Hooks)...)
}

// leftOut lists what is not backed up: what was asked for, and the folders of the system.
func leftOut(q *control.Policy, ps []control.Partition) string {
	var all []string
	for _, e := range q.Excludes {
		all = append(all, pathText(e))
	}
	if q.ExcludeCaches {
		all = append(all, "what is in caches (CACHEDIR.TAG)")
	}
	if q.ExcludeNodump {
		all = append(all, "what has the no-dump flag")
	}
	for _, p := range ps {
		if len(p.LeftOut) > 0 {
			all = append(all, "the system's "+strings.Join(p.LeftOut, ", ")+" (--include-system takes them)")
		}
	}
	return strings.Join(all, ", ")
}

// retentionText says how long versions stay.
func retentionText(q *control.Policy) string {
	s := "each version for " + count(uint64(q.RetentionDays), "day")
	if q.KeepLatest {
		s += ", the newest always"
	}
	for _, k := range []struct {
		n    int
		what string
	}{{q.KeepDaily, "day"}, {q.KeepWeekly, "week"}, {q.KeepMonthly, "month"}, {q.KeepYearly, "year"}} {
		if k.n > 0 {
			s += ", one of each of " + count(uint64(k.n), k.what)
		}
	}
	return s
}
