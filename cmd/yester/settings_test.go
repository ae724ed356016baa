package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

func TestSwitchesThatAreNotGivenAreNotAskedFor(t *testing.T) {
	read := func(args ...string) (r control.ActivateRequest) {
		t.Helper()
		app := &cli.App{Flags: settingFlags(), Action: func(c *cli.Context) (err error) {
			r, err = settings(c)
			return err
		}}
		if err := app.Run(append([]string{"yester"}, args...)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read("--start", "03:30"); r.ExcludeCaches != nil || r.ExcludeNodump != nil || r.IncludeSystem != nil {
		t.Errorf("got %+v", r)
	}
	if r := read("--exclude-caches", "--exclude-nodump=false"); r.ExcludeCaches == nil || !*r.ExcludeCaches || r.ExcludeNodump == nil || *r.ExcludeNodump || r.Excludes != nil {
		t.Errorf("got %+v", r)
	}
}

// Patterns go as JSON to the daemon, and are bytes.
func TestPatternsThatAreNoTextAreQuoted(t *testing.T) {
	const flag, want = "*.\xff", `"*.\xff"`
	var r control.RestoreRequest
	var p control.ActivateRequest
	app := &cli.App{Commands: []*cli.Command{
		{Name: "restore", Flags: (&program{}).restoreCommand().Flags, Action: func(c *cli.Context) (err error) {
			r, _, err = restoreArgs(c)
			return err
		}},
		{Name: "set", Flags: settingFlags(), Action: func(c *cli.Context) (err error) {
			p, err = settings(c)
			return err
		}},
	}}
	for _, args := range [][]string{{"restore", "--include", flag, "--exclude", flag, "latest"}, {"set", "--exclude", flag}} {
		if err := app.Run(append([]string{"yester"}, args...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, got := range [][]string{r.Includes, r.Excludes, p.Excludes} {
		if !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := leftOut(&control.Policy{Excludes: p.Excludes}, nil); got != want {
		t.Errorf("shown is %s, want %s", got, want)
	}
}

// What is to be left out of a restore is asked for by its flag alone.
func TestFlagsOfARestoreSayWhatIsLeftOut(t *testing.T) {
	for flag, want := range map[string][2]bool{"--yes": {}, "--no-owner": {true, false}, "--no-metadata": {false, true}} {
		var r control.RestoreRequest
		app := &cli.App{Commands: []*cli.Command{{Name: "restore", Flags: (&program{}).restoreCommand().Flags, Action: func(c *cli.Context) (err error) {
			r, _, err = restoreArgs(c)
			return err
		}}}}
		if err := app.Run([]string{"yester", "restore", flag, "latest"}); err != nil || [2]bool{r.NoOwner, r.NoMetadata} != want {
			t.Errorf("%s: %+v, %v", flag, r, err)
		}
	}
}

func TestWhatIsLeftOutIsShown(t *testing.T) {
	p := control.Policy{Excludes: []string{"*.iso"}, ExcludeCaches: true, ExcludeNodump: true}
	const want = "*.iso, what is in caches (CACHEDIR.TAG), what has the no-dump flag"
	rows := statusRows(&control.Status{State: control.StatePaused, Policy: &p}, time.Now())
	if !slices.Contains(rows, [2]string{"Not", want}) {
		t.Errorf("status has %q", rows)
	}
	var out bytes.Buffer
	(&program{out: &out}).showActivation(&control.Activation{Outcome: control.Replaced, Policy: p})
	if !strings.Contains(out.String(), "  Not           "+want+"\n") {
		t.Errorf("an activation is shown as\n%s", out.String())
	}
	for _, row := range statusRows(&control.Status{State: control.StatePaused, Policy: &control.Policy{}}, time.Now()) {
		if row[0] == "Not" {
			t.Errorf("of nothing status says %q", row)
		}
	}
}
