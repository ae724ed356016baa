package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// flagsOf are the flags of each command that does something, by its name with those of its groups.
func flagsOf(group string, commands []*cli.Command, all map[string][]string) map[string][]string {
	for _, c := range commands {
		if len(c.Subcommands) == 0 || len(c.Flags) > 0 {
			all[group+c.Name] = flagNames(c.Flags)
		}
		flagsOf(group+c.Name+" ", c.Subcommands, all)
	}
	return all
}

func flagNames(flags []cli.Flag) (names []string) {
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	slices.Sort(names)
	return names
}

var (
	flagOnPage    = regexp.MustCompile(`(?:^|[^-\w])--([a-z][a-z-]*)`)
	commandOnPage = regexp.MustCompile("`([a-z]+(?: [a-z]+)*)[^`]*`")
)

// named are the flags that a text names.
func named(text string) (names []string) {
	for _, m := range flagOnPage.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// The table of commands in docs/CLI.md has what there is and nothing else, and the page names no other flag.
func TestPageHasEveryCommandWithItsFlags(t *testing.T) {
	b, err := os.ReadFile("../../docs/CLI.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	var settings string // the table in "The service"
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| `--") {
			settings += line[:strings.Index(line[1:], "|")+1]
		}
	}
	_, table, _ := strings.Cut(page, "\n## Commands and flags\n")
	table, _, _ = strings.Cut(table, "\n## ")
	got := map[string][]string{}
	for line := range strings.Lines(table) {
		row, is := strings.CutPrefix(line, "|")
		if !is {
			continue
		}
		commands, flags, _ := strings.Cut(row, "|")
		if strings.Contains(flags, "The service") {
			flags += settings
		}
		for _, m := range commandOnPage.FindAllStringSubmatch(commands, -1) {
			got[m[1]] = named(flags)
		}
	}
	app := newApp(&program{})
	want, known := flagsOf("", app.Commands, map[string][]string{}), map[string]bool{}
	for _, f := range flagNames(app.Flags) {
		known[f] = true
	}
	for name, flags := range want {
		for _, f := range flags {
			known[f] = true
		}
		if is, there := got[name]; !there || !slices.Equal(is, flags) {
			t.Errorf("%s has the flags %q, and the page says %q", name, flags, is)
		}
	}
	for name := range got {
		if _, there := want[name]; !there {
			t.Errorf("the page names %s, and there is no such command", name)
		}
	}
	others := []string{"help", "version", "pipe", "all-databases"} // the last two are other programs'
	for _, f := range named(page) {
		if !known[f] && !slices.Contains(others, f) {
			t.Errorf("the page names --%s, and there is no such flag", f)
		}
	}
}
