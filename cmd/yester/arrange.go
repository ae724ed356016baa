package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts a command line in the order that the parser wants: flags of the program, command, flags of the command, arguments. So a
// flag may stand anywhere: `yester tasks show b-1 --json --home /x`. A flag without a value at the end, or with an empty one, is refused: it is that of a variable that
// is not set, and would take the next word for it, or count as no flag at all.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 || asksForWords(args) {
		return args, nil
	}
	a := arranger{global: app.Flags, commands: app.Commands}
	for rest := args[1:]; len(rest) > 0; {
		rest = a.take(rest)
	}
	if a.wrong != "" {
		return nil, usage("%s", a.wrong).WithHint("see `%s --help`", strings.Join(slices.Insert(a.path, 0, app.Name), " "))
	}
	if a.literal {
		a.plain = slices.Insert(a.plain, 0, "--")
	}
	return slices.Concat(args[:1], a.globals, a.path, a.flags, a.plain), nil
}

// mayBeEmpty are the flags that an empty value takes back.
var mayBeEmpty = []string{"before", "after"}

const wordsFlag = "--generate-bash-completion"

// asksForWords tells whether a shell asks for the words that can come next.
func asksForWords(args []string) bool { return len(args) > 0 && args[len(args)-1] == wordsFlag }

// An arranger sorts words.
type arranger struct {
	global   []cli.Flag
	local    []cli.Flag
	commands []*cli.Command // that the next word can name

	globals, path, flags, plain []string

	literal bool   // no flags follow the command's
	wrong   string // with a flag; "" if nothing is
}

// take sorts the first word of args, with the value that belongs to it, and returns the others.
func (a *arranger) take(args []string) (rest []string) {
	word := args[0]
	if word == "--" {
		a.plain, a.literal = append(a.plain, args[1:]...), true
		return nil
	}
	if len(word) < 2 || word[0] != '-' {
		a.word(word)
		return args[1:]
	}
	n := 1
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	f := find(a.local, name)
	into := &a.flags
	if f == nil {
		if f = find(a.global, name); f != nil || len(a.path) == 0 {
			into = &a.globals
		}
	}
	if f != nil && !hasValue && takesValue(f) {
		if len(args) == 1 { // in its place in the order it would take the word after it
			a.wrong = "flag needs an argument: --" + name
			return nil
		}
		n, value, hasValue = 2, args[1], true
	}
	if hasValue && value == "" && isText(f) && !slices.Contains(mayBeEmpty, name) {
		a.wrong = "--" + name + " is empty"
	}
	*into = append(*into, args[:n]...)
	return args[n:]
}

// word sorts a word that is no flag.
func (a *arranger) word(word string) {
	i := slices.IndexFunc(a.commands, func(c *cli.Command) bool { return c.HasName(word) })
	if i < 0 || len(a.plain) > 0 {
		a.plain = append(a.plain, word)
		return
	}
	a.path = append(a.path, word)
	a.local, a.commands = a.commands[i].Flags, a.commands[i].Subcommands
}

// find returns the flag of a name, nil if there is none.
func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// isText tells whether a flag takes any text; the values of others are looked at when they are parsed.
func isText(f cli.Flag) bool {
	switch f.(type) {
	case *cli.StringFlag, *cli.StringSliceFlag:
		return true
	}
	return false
}

func takesValue(f cli.Flag) bool {
	if g, ok := f.(*cli.GenericFlag); ok {
		_, alone := g.Value.(*share)
		return !alone
	}
	v, ok := f.(cli.DocGenerationFlag)
	return ok && v.TakesValue()
}
