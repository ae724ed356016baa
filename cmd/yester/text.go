package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// size writes bytes for people: 1.2 GB is 1.2 × 10^9 bytes.
func size(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		v /= 1000
		if v < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// number writes a count with commas: 12,345.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// tally writes a count in six columns: 99,999, 123k, 1.2M.
func tally(n uint64) string {
	switch {
	case n < 1e5:
		return number(n)
	case n < 999_500:
		return fmt.Sprintf("%.0fk", float64(n)/1e3)
	case n < 999_950_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1fG", float64(n)/1e9)
}

// count writes a number of things.
func count(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// took writes how long something took, short times with a decimal.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return span(d)
}

// span writes a length of time in its two largest units.
func span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// clock writes a time in the local zone, days near now by name.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	y, m, d := now.Date()
	for days, name := range map[int]string{-1: "yesterday", 0: "today", 1: "tomorrow"} {
		if t.Format(time.DateOnly) == time.Date(y, m, d+days, 12, 0, 0, 0, time.Local).Format(time.DateOnly) {
			return name + " " + t.Format("15:04")
		}
	}
	return t.Format("2006-01-02 15:04")
}

// table returns a writer that aligns columns separated by tabs; Flush prints.
func (p *program) table() *tabwriter.Writer { return tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0) }

// fill writes to a table.
func fill(t *tabwriter.Writer, format string, args ...any) { fmt.Fprintf(t, format, shown(args)...) }

// showRows prints names and values, a line each.
func (p *program) showRows(indent string, rows [][2]string) {
	t := p.table()
	for _, r := range rows {
		fill(t, "%s%s\t%s\n", indent, r[0], r[1])
	}
	t.Flush()
}

// first is a list without what is after so many.
func first[T any](list []T, most int) []T { return list[:min(most, len(list))] }

// printf prints to standard output.
func (p *program) printf(format string, args ...any) { fmt.Fprintf(p.out, format, shown(args)...) }

// note prints to standard error, where it is in no program's way.
func (p *program) note(format string, args ...any) { fmt.Fprintf(p.err, format, shown(args)...) }

// warn notes warnings of the daemon.
func (p *program) warn(warnings []string) {
	for _, w := range warnings {
		p.note("yester: warning: %s\n", w)
	}
}

// shown makes texts printable: names of files are in them, and whoever made a file chose its name.
func shown(args []any) []any {
	for i, arg := range args {
		switch a := arg.(type) {
		case string:
			args[i] = printable(a)
		case error:
			args[i] = printable(a.Error())
		}
	}
	return args
}

// printable is a text in one line, without what would move the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, text)
}
