package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func (p *program) historyCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "show what a file or folder was in all versions", ArgsUsage: "PATH",
		Description: "One line for each time it changed, with the version in which it first was so. PATH may be gone by now, and may also be one below the\n" +
			"folder where versions are browsed. A folder changes in content when something in it or below does.\n\n" +
			"Examples:\n  yester history /etc/hosts\n  yester history notes.txt --json",
		Flags:  []cli.Flag{p.jsonFlag()},
		Action: p.runHistory,
	}
}

func (p *program) runHistory(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("give one PATH")
	}
	path, err := seenPath(c.Args().First())
	if err != nil {
		return err
	}
	r := control.HistoryRequest{Path: control.PathText(path)}
	return p.ask(func(d *control.Client) error {
		h, err := d.History(c.Context, r)
		err = p.answer(h, err, func() { p.showHistory(&h, userName) })
		unread := 0
		for _, s := range h.Stays {
			if s.Kind == control.DiffUnread {
				unread++
			}
		}
		return readVerdict(unread, err)
	})
}

// showHistory prints a table, oldest first.
func (p *program) showHistory(h *control.History, name func(uid uint32) string) {
	p.printf("%s, partition %s\n", pathText(h.Path), h.Partition)
	t := p.table()
	fmt.Fprintln(t, "  VERSION\tMODIFIED\tSIZE\tOWNER\tCHANGED")
	for _, s := range h.Stays {
		modified, bytes, owner := "", "", ""
		if s.File != nil {
			modified, bytes, owner = s.Mtime.Local().Format("2006-01-02 15:04"), size(s.Size), cutTo(name(s.UID), maxOwner)
		}
		lines := wrapWords(stayText(&s), maxChanged)
		fill(t, "  %s\t%s\t%s\t%s\t%s\n", s.First, modified, bytes, owner, lines[0])
		for _, more := range lines[1:] {
			fill(t, "\t\t\t\t%s\n", more)
		}
	}
	t.Flush()
	for _, s := range h.Stays {
		if s.Error != "" {
			p.note("yester: warning: %s in version %s: %s\n", pathText(h.Path), s.First, s.Error)
		}
	}
}

// What the last two columns have room for in a line of 80.
const (
	maxOwner   = 8
	maxChanged = 20
)

// stayText says what became of a path.
func stayText(s *control.Stay) string {
	switch {
	case s.Kind == control.DiffUnread:
		return "cannot be read"
	case s.Kind != control.DiffChanged:
		return s.Kind
	case len(s.Changed) == 0:
		return "as before"
	}
	return strings.Join(s.Changed, ", ")
}

// wrapWords breaks text into lines of at most so many columns, one at least. A longer word stands alone.
func wrapWords(text string, columns int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= columns:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// cutTo shortens a text to so many columns.
func cutTo(s string, columns int) string {
	if r := []rune(s); len(r) > columns {
		return string(r[:columns-1]) + "…"
	}
	return s
}

// userName is the name of a user on this machine, or its number.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
