package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// yester runs a command line with a home that has no daemon.
func yester(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	t.Setenv("YESTER_HOME", filepath.Join(t.TempDir(), "home"))
	var o, e bytes.Buffer
	code = start(t.Context(), append([]string{"yester"}, args...), &o, &e)
	return code, o.String(), e.String()
}

func TestWrongUseIsOneSentence(t *testing.T) {
	tests := []struct{ line, says string }{
		{"nope", `there is no command "nope"`},
		{"tasks nope", `there is no command "nope"`},
		{"vault nope", `there is no command "nope"`},
		{"drill extra", `"extra" is too much`},
		{"drill --files 0", "at least 1 file"},
		{"drill --size much", `"much" is no size`},
		{"vault key nope", `there is no command "nope"`},
		{"--nope", "there is no flag --nope"},
		{"status --nope", "there is no flag --nope"},
		{"tasks show --nope b-1", "there is no flag --nope"},
		{"status extra", `"extra" is too much`},
		{"backup extra --wait", `"extra" is too much`},
		{"activate --start", "flag needs an argument: --start"},
		{"backup --home", "flag needs an argument: --home"},
		{"restore latest /etc --to", "flag needs an argument: --to; see `yester restore --help`"},
		{"vault check --json --vault", "flag needs an argument: --vault"},
		{"drill --files", "flag needs an argument: --files"},
		{"--home", "flag needs an argument: --home"},
		{"--home backup", "give a command"},
		{"--home=/x", "give a command"},
		{"activate --path=", "--path is empty"},
		{"activate extra", `"extra" is too much`},
		{"set", "say what to set"},
		{"set --json", "say what to set"},
		{"set extra", `"extra" is too much`},
		{"set --start=", "--start is empty"},
		{"set --retention month", `the retention "month" is no number of days`},
		{"set --window soon", `the window "soon" is no length of time`},
		{"set --all-paths --path /etc", "--all-paths and --path exclude each other"},
		{"set --keep-daily many", "invalid value"},
		{"set --exclude-caches=many", "invalid boolean value"},
		{"pause extra", `"extra" is too much`},
		{"resume extra", `"extra" is too much`},
		{"cancel extra", `"extra" is too much`},
		{"pin", "give one VERSION"},
		{"unpin a b", "give one VERSION"},
		{"tasks show", "give the ID of one task"},
		{"tasks watch a b", "give the ID of one task"},
		{"completion", "give a shell"},
		{"vault check extra", `"extra" is too much`},
		{"vault check --read-data=10", `"10" is no part like 10%`},
		{"vault check --read-data=101%", `"101%" is no part like 10%`},
		{"vault key add", `"" is none of passphrase, recovery, open`},
		{"vault key add --kind open --passphrase-file /x", "is for a key of the kind passphrase"},
		{"vault key add --kind passphrase --passphrase-file /nope/x", "the passphrase cannot be read"},
		{"vault key remove", "give the ID of one key"},
		{"vault key change a b", `"b" is too much`},
		{"vault key change --old-passphrase-file - --passphrase-file -", "only one of the two"},
		{"vault init --key recovery", "is none of open, passphrase"},
		{"vault place nope", `there is no command "nope"`},
		{"vault place add", "give one folder"},
		{"vault place replace /a", "give a place OLD and a folder NEW"},
		{"messages extra", `"extra" is too much`},
		{"daemon --metrics 9469", `"9469" is no HOST:PORT`},
		{"alerts nope", `there is no command "nope"`},
		{"alerts add nope", `there is no command "nope"`},
		{"alerts list extra", `"extra" is too much`},
		{"alerts remove", "give the NAME of one channel"},
		{"alerts test a b", `"b" is too much`},
		{"alerts add smtp --username x", "there is no terminal to ask for the password on"},
		{"alerts add smtp --password-file /nope/x", "the password cannot be read"},
		{"alerts add smtp --ca-file /nope/x", "the certificates cannot be read"},
		{"alerts add webhook --key-file /nope/x", "the key cannot be read"},
		{"alerts add command", "give the absolute path of a PROGRAM"},
		{"alerts add command -- true", "give the absolute path of a PROGRAM"},
		{"forget", "give one VERSION"},
		{"forget a b", "give one VERSION"},
		{"completion tcsh", `"tcsh" is none of bash, zsh, fish`},
		{"backup --wait=maybe", "invalid boolean value"},
		{"vault init --survive x", `"x" for flag --survive`},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			code, out, err := yester(t, strings.Fields(tt.line)...)
			if code != exitUsage || out != "" || !strings.Contains(err, tt.says) || strings.Count(err, "\n") != 1 {
				t.Errorf("code %d, out %q, err %q", code, out, err)
			}
		})
	}
}

// A variable that is not set gives an empty value, which must not count as none: `restore --to "$T" --delete --yes` would delete in place.
func TestEmptyValueIsNotNone(t *testing.T) {
	t.Setenv("YESTER_HOME", filepath.Join(t.TempDir(), "home"))
	app, tried := newApp(&program{out: io.Discard, err: io.Discard}), 0
	ended, end := context.WithCancel(t.Context())
	end() // nothing is done should it not be refused
	refused := func(flag string, args ...string) {
		t.Helper()
		tried++
		var o, e bytes.Buffer
		code := start(ended, append([]string{"yester"}, args...), &o, &e)
		out, err := o.String(), e.String()
		if code != exitUsage || out != "" || !strings.HasPrefix(err, "yester: --"+flag+" is empty; see `yester") || strings.Count(err, "\n") != 1 {
			t.Errorf("%q: code %d, out %q, err %q", args, code, out, err)
		}
	}
	var try func(words []string, flags []cli.Flag, commands []*cli.Command)
	try = func(words []string, flags []cli.Flag, commands []*cli.Command) {
		for _, f := range flags {
			if name := f.Names()[0]; isText(f) && !slices.Contains(mayBeEmpty, name) {
				refused(name, append(slices.Clone(words), "--"+name, "")...)
				refused(name, append(slices.Clone(words), "--"+name+"=", "x")...)
			}
		}
		for _, c := range commands {
			try(append(slices.Clone(words), c.Name), c.Flags, c.Subcommands)
		}
	}
	try(nil, app.Flags, app.Commands)
	if tried < 50 {
		t.Errorf("only %d", tried)
	}
	refused("to", "restore", "latest", "/srv/www", "--to", "", "--on-conflict", "overwrite", "--delete", "--yes")
	refused("home", "--home", "", "cancel", "--yes")
	refused("home", "cancel", "--home=", "--yes")
	if code, _, err := yester(t, "set", "--before", "", "--after="); code != exitNoDaemon {
		t.Errorf("code %d, err %q", code, err)
	}
	t.Setenv("YESTER_HOME", "")
	if code := start(t.Context(), []string{"yester", "version"}, io.Discard, io.Discard); code != exitDone {
		t.Errorf("an empty variable is the system's home: code %d", code)
	}
	for _, args := range [][]string{{"vault", "key", "change", ""}, {"alerts", "test", ""}} {
		if code, _, err := yester(t, args...); code != exitUsage || !strings.Contains(err, " is empty") {
			t.Errorf("%q: code %d, err %q", args, code, err)
		}
	}
}

func TestOnlyRootOnA64BitMachineServes(t *testing.T) {
	for _, tt := range []struct {
		bits, user int
		says       string
	}{{64, 0, ""}, {32, 0, "64-bit machines only"}, {64, 1000, "must be run by root"}} {
		if err := mayServe(tt.bits, tt.user); tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%d bits, user %d: %v", tt.bits, tt.user, err)
		}
	}
}

func TestNoDaemonIsFour(t *testing.T) {
	for _, line := range []string{
		"status", "status --json", "activate", "backup", "backup --wait", "versions", "tasks", "tasks list", "tasks show b-1",
		"tasks watch b-1", "tasks cancel b-1", "vault info", "vault key list", "vault check", "vault repair --wait", "vault gc", "vault rebuild", "vault key remove x --yes",
		"set --retention -3d", "set --exclude-caches --exclude-nodump=false", "set --start 25:61", "pause", "resume --json", "cancel --yes", "pin x", "unpin x",
		"vault key add --kind recovery", "vault place list", "vault place add /x", "vault place replace /x /y --wait", "messages", "alerts list", "alerts test x", "alerts remove x", "alerts add webhook --url http://x", "alerts add command -- /bin/true --x", "forget 2026-11-23T031705Z --yes",
	} {
		code, out, err := yester(t, strings.Fields(line)...)
		if code != exitNoDaemon || out != "" || !strings.HasPrefix(err, "yester: no daemon is running at ") || strings.Count(err, "\n") != 1 {
			t.Errorf("%s: code %d, out %q, err %q", line, code, out, err)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, line := range []string{
		"daemon", "activate", "status", "backup", "versions", "tasks", "tasks show", "tasks watch", "tasks cancel", "vault", "vault init",
		"vault check", "vault repair", "vault gc", "vault rebuild", "vault key", "vault key list", "vault key add", "vault key remove",
		"vault key change", "vault place", "vault place list", "vault place add", "vault place replace", "messages", "alerts", "alerts list", "alerts add", "alerts add smtp", "alerts add webhook", "alerts add command", "alerts remove", "alerts test", "forget", "set", "pause", "resume", "cancel", "pin", "unpin",
		"version", "completion",
	} {
		code, out, err := yester(t, append(strings.Fields(line), "--help")...)
		if code != exitDone || err != "" || !strings.Contains(out, "Example") || !strings.Contains(out, "yester "+line) {
			t.Errorf("%s: code %d, err %q, out %q", line, code, err, out)
		}
	}
	if code, out, _ := yester(t); code != exitDone || !strings.Contains(out, "COMMANDS") {
		t.Errorf("without a command: code %d, out %q", code, out)
	}
}

func TestHomeFlagMayStandAnywhere(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{"--home %s status", "status --home %s", "tasks show b-1 --json --home=%s", "tasks --home %s show b-1"} {
		_, _, err := yester(t, strings.Fields(strings.Replace(line, "%s", dir, 1))...)
		if !strings.Contains(err, "no daemon is running at "+dir+"/run/yester.sock") {
			t.Errorf("%s: %q", line, err)
		}
	}
}

func TestVersionAndCompletion(t *testing.T) {
	if code, out, _ := yester(t, "version"); code != exitDone || !strings.HasPrefix(out, "yester "+version) {
		t.Errorf("code %d, out %q", code, out)
	}
	if code, out, _ := yester(t, "version", "--json"); code != exitDone || !strings.Contains(out, `"version": "`+version+`"`) {
		t.Errorf("code %d, out %q", code, out)
	}
	for shell, word := range map[string]string{"bash": "complete -o", "zsh": "#compdef yester", "fish": "complete -c yester"} {
		if code, out, err := yester(t, "completion", shell); code != exitDone || !strings.Contains(out, word) || err != "" {
			t.Errorf("%s: code %d, out %q, err %q", shell, code, out, err)
		}
	}
}
