package integration

import (
	"os/exec"
	"strings"
	"testing"
)

func TestBashCompletesCommandsAndFlags(t *testing.T) {
	need(t)
	const script = `source <("$0" completion bash)
COMP_WORDS=("$0" "$@")
COMP_CWORD=$#
_yester
echo "${COMPREPLY[*]}"`
	for _, c := range []struct{ line, want string }{
		{"ba", "backup"},
		{"tasks s", "show"},
		{"backup --", "--wait --json --help"},
		{"tasks show --j", "--json"},
		{"tasks $(exit) ", "list show watch cancel"},
		{"activate --path ", ""}, // the shell completes file names
		{"alerts add command -- /bin/true ", ""},
		{"vault place add -- ", ""},
	} {
		a := runAs(t, nil, append([]string{"bash", "-c", script, yester}, strings.Split(c.line, " ")...)...)
		if got := strings.TrimSpace(a.stdout); got != c.want || a.stderr != "" {
			t.Errorf("%q: got %q, want %q; %s", c.line, got, c.want, a.stderr)
		}
	}
}

// zsh reads the script when a word is to be completed for the first time, and that word is completed too.
func TestZshCompletesTheFirstWord(t *testing.T) {
	need(t)
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("it needs the program zsh (make packages)")
	}
	const script = `"$0" completion zsh >$1/_yester
fpath=($1 $fpath)
compadd() { print -r -- "$@" }
autoload -Uz _yester
words=("$0" tasks s) CURRENT=3
_yester`
	a := runAs(t, nil, "zsh", "-f", "-c", script, yester, t.TempDir())
	if got := strings.TrimSpace(a.stdout); got != "-- list show watch cancel" || a.stderr != "" {
		t.Errorf("got %q; %s", got, a.stderr)
	}
}
