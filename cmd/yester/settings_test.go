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
