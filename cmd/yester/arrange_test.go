package main

import (
	"io"
	"strings"
	"testing"
)

func TestArrange(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"status", "status"},
		{"status --json", "status --json"},
		{"tasks show b-1 --json", "tasks show --json b-1"},
		{"tasks --json list", "tasks list --json"},
		{"tasks --state failed", "tasks --state failed"},
		{"versions --home /x --partition root", "--home /x versions --partition root"},
		{"versions --home=/x", "--home=/x versions"},
		{"-home /x versions", "-home /x versions"},
		{"activate --path status --path /b extra", "activate --path status --path /b extra"},
		{"tasks show -- --json", "tasks show -- --json"},
		{"restore latest -- -notes --json", "restore -- latest -notes --json"},
		{"restore latest --json -- --", "restore --json -- latest --"},
		{"tasks show list", "tasks show list"},
		{"--nope status", "--nope status"},
		{"status --nope", "status --nope"},
		{"tasks show --json --generate-bash-completion", "tasks show --json --generate-bash-completion"},
	}
	app := newApp(&program{out: io.Discard, err: io.Discard})
	for _, tt := range tests {
		got, err := arrange(app, append([]string{"yester"}, strings.Fields(tt.in)...))
		if s := strings.Join(got[1:], " "); s != tt.want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", tt.in, s, err, tt.want)
		}
	}
	if got, err := arrange(app, nil); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
