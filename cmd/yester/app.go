package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

// A program is one run of the command.
type program struct {
	in       io.Reader
	out, err io.Writer
	home     string // as given by --home or YESTER_HOME; "" for the system's
	homeFlag bool   // given by --home
	json     bool   // print JSON
}

// newApp returns the command line.
func newApp(p *program) *cli.App {
	app := &cli.App{
		Name:  "yester",
		Usage: "keep every yesterday of this machine mounted",
		Description: "A daemon takes one version of each partition a day and shows all of them in a folder:\n" +
			"cp -a /yester/web1/root/2026-11-22T031705Z/etc/hosts . is a restore.\n\n" +
			"  yester daemon            run the daemon (or: systemctl enable --now yester)\n" +
			"  yester activate          begin daily backups of this machine\n" +
			"  yester backup --wait     take a version now\n" +
			"  yester versions          what there is, and where to browse it",
		Version: version,
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "home", EnvVars: []string{"YESTER_HOME"}, Usage: "keep everything under `DIR` instead of the system's folders",
		}},
		Commands: []*cli.Command{
			p.daemonCommand(), p.activateCommand(), p.setCommand(), p.pauseCommand(), p.resumeCommand(), p.cancelCommand(), p.statusCommand(),
			p.backupCommand(), p.versionsCommand(), p.forgetCommand(), p.pinCommand(), p.unpinCommand(),
			p.restoreCommand(), p.drillCommand(), p.mountCommand(), p.historyCommand(), p.diffCommand(), p.findCommand(), p.tasksCommand(), p.messagesCommand(), p.usageCommand(), p.alertsCommand(), p.vaultCommand(), p.versionCommand(), p.completionCommand(),
		},
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true,
		HideHelpCommand:           true,
		Writer:                    p.out,
		ErrWriter:                 p.err,
		ExitErrHandler:            func(*cli.Context, error) {},
		Before: func(c *cli.Context) error {
			p.home, p.homeFlag = c.String("home"), c.String("home") != os.Getenv("YESTER_HOME")
			return nil
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return noCommand(c, "yester")
			}
			if c.NumFlags() > 0 { // whose value may be what was meant for a command
				return usage("give a command").WithHint("see `yester --help`")
			}
			return cli.ShowAppHelp(c)
		},
	}
	app.OnUsageError = wrongUse
	strictly(app.Commands)
	return app
}

// strictly has every command refuse flags it does not know with a sentence.
func strictly(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = wrongUse
		c.HideHelpCommand = true
		strictly(c.Subcommands)
	}
}

func wrongUse(c *cli.Context, err error, _ bool) error {
	what := strings.NewReplacer("flag provided but not defined: -", "there is no flag --", ": -", ": --", " for flag -", " for flag --").Replace(err.Error())
	return usage("%s", what).WithHint("see `%s --help`", c.Command.HelpName)
}

// noCommand says that a word is no command of a group.
func noCommand(c *cli.Context, group string) error {
	return usage("there is no command %q", c.Args().First()).WithHint("see `%s --help`", group)
}

// noArgs refuses arguments.
func noArgs(c *cli.Context) error {
	if c.Args().Present() {
		return usage("%q is too much", c.Args().First()).WithHint("see `yester %s --help`", c.Command.Name)
	}
	return nil
}

// oneArg refuses all but one argument.
func oneArg(want, hint string) cli.BeforeFunc {
	return func(c *cli.Context) error {
		if c.NArg() != 1 || c.Args().First() == "" {
			return usage("%s", want).WithHint("%s", hint)
		}
		return nil
	}
}

// maybeOneArg refuses more than one argument, and one that is empty.
func maybeOneArg(name, hint string) cli.BeforeFunc {
	return func(c *cli.Context) error {
		switch {
		case c.NArg() > 1:
			return usage("%q is too much", c.Args().Get(1)).WithHint("see `%s --help`", c.Command.HelpName)
		case c.NArg() == 1 && c.Args().First() == "":
			return usage("the %s is empty", name).WithHint("%s", hint)
		}
		return nil
	}
}

// The flags that many commands have.
var (
	yesFlag  = &cli.BoolFlag{Name: "yes", Usage: "do not ask"}
	waitFlag = &cli.BoolFlag{Name: "wait", Usage: "wait for the end"}
)

// jsonFlag has answers printed as JSON.
func (p *program) jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON", Destination: &p.json}
}

// printJSON prints a value for programs.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// answer prints what the daemon answered, as JSON or by show.
func (p *program) answer(v any, err error, show func()) error {
	switch {
	case err != nil:
		return err
	case p.json:
		return p.printJSON(v)
	}
	show()
	return nil
}

// load returns the home with its settings.
func (p *program) load() (daemon.Home, daemon.Settings, error) {
	h, err := daemon.NewHome(p.home)
	if err != nil {
		return h, daemon.Settings{}, err
	}
	return h.Load()
}

// asking is the action of a command that only asks the daemon.
func (p *program) asking(run func(*cli.Context, *control.Client) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		return p.ask(func(d *control.Client) error { return run(c, d) })
	}
}

// ask calls f with a client of the daemon.
func (p *program) ask(f func(*control.Client) error) error {
	h, _, err := p.load()
	if err != nil {
		return err
	}
	d := control.Dial(h.Socket)
	defer d.Close()
	return f(d)
}

// command is a command line for the user to type.
func (p *program) command(words string) string {
	if p.homeFlag && p.home != "" {
		return "yester --home " + quote(p.home) + " " + words
	}
	return "yester " + words
}

// quote makes a word safe for a shell, if it needs that.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,="
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
