package integration

import (
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
