package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"yester/control"
)

func TestResultLine(t *testing.T) {
	var out, err bytes.Buffer
	p := &program{out: &out, err: &err}
	p.showResult(&control.Task{ID: "b-1", State: control.Completed, Results: []control.Result{{
		Version: "2026-11-23T031705Z", Partition: "root", Files: 12345, Bytes: 1_234_567_890, NewBytes: 3_100_000, Stored: 1_000_000, Seconds: 12.4,
	}}})
	if want := "2026-11-23T031705Z  root  12,345 files, 1.2 GB; 3.1 MB new, 1.0 MB stored in 12 s\n"; out.String() != want || err.Len() > 0 {
		t.Errorf("got %q, %q", out.String(), err.String())
	}
}

func TestNoTasksOfAStateIsSaidOfThatState(t *testing.T) {
	for state, want := range map[string]string{"": "There are no tasks.\n", "failed": "There are no tasks in the state failed.\n"} {
		var out bytes.Buffer
		(&program{out: &out}).showTasks(nil, state)
		if out.String() != want {
			t.Errorf("%q: %q", state, out.String())
		}
	}
}

func TestForgetThatShouldWaitForAGCWarnsIfNoneBegan(t *testing.T) {
	f := control.Forgotten{Partition: "root", Version: "2026-11-23T031705Z", Because: "a repair is already running (r-20261123-0001)"}
	for _, json := range []bool{false, true} {
		for wait, want := range map[bool]error{false: nil, true: errWarnings} {
			var out bytes.Buffer
			p := &program{out: &out, json: json}
			if err := p.forgotten(t.Context(), nil, &f, wait); err != want || !strings.Contains(out.String(), f.Because) {
				t.Errorf("wait %v, json %v: %v, %q", wait, json, err, out.String())
			}
		}
	}
}

func TestRestoreThatLeftFilesSaysHowToOverwriteThem(t *testing.T) {
	for skipped, want := range map[uint64]string{0: "", 3: "3 files already there and left as they are; --on-conflict overwrite writes those that differ from the version\n"} {
		var out, err bytes.Buffer
		p := &program{out: &out, err: &err}
		p.showResult(&control.Task{ID: "r-1", State: control.Completed, Restored: &control.Restored{Version: "v", Partition: "root", SkippedCount: skipped}})
		if err.String() != want {
			t.Errorf("%d skipped: %q", skipped, err.String())
		}
	}
}

func TestRestoreSaysWhatIsLostAndWhere(t *testing.T) {
	for want, r := range map[string]control.RestoreRequest{
		"": {To: "/mnt/new", OnConflict: control.ConflictSkip},
		"Where the files were, what the version has not is deleted. Go on?":                                                         {Delete: true},
		"In /mnt/new, files that differ from the version lose what is in them now, and what the version has not is deleted. Go on?": {To: "/mnt/new", OnConflict: control.ConflictOverwrite, Delete: true},
	} {
		if got := restoreQuestion(&r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFailureIsSaidOnce(t *testing.T) {
	var out, err bytes.Buffer
	p := &program{out: &out, err: &err}
	p.showResult(&control.Task{
		ID: "b-1", State: control.Failed, Error: "the vault in /v is full", Hint: "free some space there",
		Results: []control.Result{{Partition: "root", Error: "the vault in /v is full"}},
	})
	if want := "yester: b-1 failed: the vault in /v is full; free some space there\n"; err.String() != want || out.Len() > 0 {
		t.Errorf("got %q, %q", out.String(), err.String())
	}
}

// Whoever makes a file chooses its name, which root will see.
func TestNothingMovesTheCursor(t *testing.T) {
	var out, err bytes.Buffer
	p := &program{out: &out, err: &err}
	const evil = "/a\x1b[2J\x07\nyester: all is well\u009b"
	p.showResult(&control.Task{
		ID: "r-1", State: control.Partial, Error: "restore " + evil + ": no space", WarningCount: 1, Warnings: []control.Warning{{Partition: "root", Path: evil, What: evil}},
		Restored: &control.Restored{Version: "v", Partition: "root", Failed: []control.Left{{Path: evil, What: evil}}, FailedCount: 1},
		Report:   &control.Report{LostCount: 1, Lost: []control.Lost{{Path: evil}}},
	})
	p.exit(errors.New(evil))
	for line := range strings.Lines(out.String() + err.String()) {
		if strings.ContainsAny(line, "\x1b\x07\u009b") || strings.HasPrefix(line, "yester: all is well") {
			t.Errorf("%q", line)
		}
	}
}

func TestOnlyTheFirstWarningsAreShownUnasked(t *testing.T) {
	var out, err bytes.Buffer
	p := &program{out: &out, err: &err}
	task := control.Task{ID: "b-1", State: control.Partial, WarningCount: 2000, Warnings: make([]control.Warning, 1000)}
	p.showResult(&task)
	if n := strings.Count(err.String(), "\n"); n != shownWarnings+1 || !strings.Contains(err.String(), "2,000 warnings; `yester tasks show b-1` lists them") {
		t.Errorf("%d lines: %s", n, err.String())
	}
	p.showAllWarnings(&task)
	if n := strings.Count(out.String(), "\n"); n != 1001 || !strings.HasSuffix(out.String(), "and 1,000 warnings more\n") {
		t.Errorf("%d lines", n)
	}
}

func TestVersionsFitIn80Columns(t *testing.T) {
	var out bytes.Buffer
	p := &program{out: &out}
	at := time.Date(2026, 11, 23, 3, 17, 5, 0, time.UTC)
	v := control.Version{
		Instance: "web1", Partition: "root", MountPoint: "/", Version: "2026-11-23T031705Z", Start: at, End: at.Add(59*time.Minute + 59*time.Second),
		Files: 123_456_789, Bytes: 999_900_000_000, NewBytes: 999_900_000, Added: 999_000_000, Changed: 1, Deleted: 2,
		State: control.Complete, Path: "/yester/web1/root/2026-11-23T031705Z", Expires: time.Date(2026, 12, 23, 12, 0, 0, 0, time.Local),
	}
	broken := control.Version{Instance: "web1", Partition: "var", Version: "2026-11-23T031706Z", Error: "damaged"}
	p.showVersions([]control.Version{v, v, broken})
	lines := strings.Split(out.String(), "\n")
	if want := "  2026-11-23T031705Z  123.5M  999.9 GB  999.9 MB  999.0M   2026-12-23  complete"; lines[2] != want {
		t.Errorf("got\n%s, want\n%s", lines[2], want)
	}
	if lines[0] != "root (/), browse in /yester/web1/root" || lines[5] != "var" || !strings.Contains(lines[7], "damaged") {
		t.Errorf("got\n%s", out.String())
	}
	for _, l := range lines {
		if len(l) > 80 {
			t.Errorf("%d columns: %s", len(l), l)
		}
	}
}

func TestExpiryIsADayOrWhatKeepsItPastThat(t *testing.T) {
	now := time.Date(2026, 12, 23, 12, 0, 0, 0, time.Local)
	for want, v := range map[string]control.Version{
		"-":          {},
		"2026-12-24": {Expires: now.AddDate(0, 0, 1), Kept: "latest"},
		"latest":     {Expires: now.AddDate(0, 0, -1), Kept: "latest"},
		"2026-12-22": {Expires: now.AddDate(0, 0, -1)},
		"pinned":     {Expires: now.AddDate(0, 0, 1), Kept: "pinned"},
		"unknown":    {Kept: "unknown"},
	} {
		if got := expiry(v, now); got != want {
			t.Errorf("%+v: got %s, want %s", v, got, want)
		}
	}
}

func TestCancelSaysWhatIsLost(t *testing.T) {
	s := control.Status{Instance: control.Instance{Name: "web1"}, Partitions: []control.Partition{{Name: "root", Versions: 30}, {Name: "usb"}, {Name: "var", Versions: 2}}}
	want := "The service of web1 ends: no more backups, and all its versions are deleted for good (root 30, var 2); nothing can be restored from them any more. Go on?"
	if got := cancelQuestion(&s); got != want {
		t.Errorf("got %s", got)
	}
}

func TestProgressText(t *testing.T) {
	tests := []struct {
		g    control.Progress
		want string
	}{
		{control.Progress{Files: 1234, Bytes: 5e6, BytesPerSecond: 1e6}, "1,234 entries, 5.0 MB, 1.0 MB/s"},
		{control.Progress{Files: 1, Bytes: 5e6, BytesTotal: 20e6, BytesPerSecond: 1e6, SecondsLeft: 15}, "25 % of 20.0 MB, 1 entries, 1.0 MB/s, 15 s left"},
		{control.Progress{Bytes: 9, BytesTotal: 3}, "100 % of 3 B, 0 entries, 0 B/s"},
	}
	for _, tt := range tests {
		if got := progressText(&tt.g); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestReportNamesWhatIsDamagedAndWhatIsLost(t *testing.T) {
	var out, err bytes.Buffer
	p := &program{out: &out, err: &err}
	offset := int64(4096)
	p.showResult(&control.Task{ID: "c-1", Kind: control.KindCheck, State: control.Partial, Report: &control.Report{
		Versions: 2, Packs: 3, ReadPacks: 3, ReadBytes: 5e6, ProblemCount: 2, LostCount: 1,
		Problems: []control.Problem{
			{Pack: "ab", Place: "/v", Offset: &offset, Heals: true, What: "damaged"},
			{Instance: "web1", Partition: "root", Version: "2026-11-23T031705Z", Place: "/v", What: "1 pieces are lost"},
		},
		Lost: []control.Lost{{Instance: "web1", Partition: "root", Version: "2026-11-23T031705Z", Path: "/etc/hosts", Bytes: 12}},
	}})
	want := `Checked 2 versions and 3 packs, every byte of 3 (5.0 MB): 2 problems, 1 path with lost data.
problem: pack ab at byte 4096 in /v: damaged (a repair heals it)
problem: web1 root 2026-11-23T031705Z in /v: 1 pieces are lost
lost: web1 root 2026-11-23T031705Z  /etc/hosts  12 B
Nothing was changed; ` + "`yester vault repair`" + ` heals what can be healed.
All else can be read. A later backup that meets the same content heals what is lost.
`
	if out.String() != want || err.Len() > 0 {
		t.Errorf("got %s%s", out.String(), err.String())
	}
}

func TestOnlyTheFirstOfWhatIsLostIsShownUnasked(t *testing.T) {
	var out bytes.Buffer
	p := &program{out: &out}
	task := control.Task{ID: "r-1", Kind: control.KindRepair, Report: &control.Report{LostCount: 2000, Lost: make([]control.Lost, 1000)}}
	p.showReport(&task, shownFound)
	if n := strings.Count(out.String(), "lost: "); n != shownFound || !strings.Contains(out.String(), "and 1,980 paths more; `yester tasks show r-1` lists them") {
		t.Errorf("%d: %s", n, out.String())
	}
	out.Reset()
	p.showReport(&task, 1<<30)
	if n := strings.Count(out.String(), "lost: "); n != 1000 || !strings.Contains(out.String(), "and 1,000 paths more\n") {
		t.Errorf("%d", n)
	}
}

// After the loss of a machine its vault is well, and a new one is not what is wanted.
func TestStatusWithoutAVaultNamesAdopt(t *testing.T) {
	for vault, want := range map[string]bool{"": true, "1": false} {
		var out bytes.Buffer
		(&program{out: &out}).showStatus(&control.Status{Vault: vault})
		if got := strings.Contains(out.String(), "vault adopt --place DIR"); got != want {
			t.Errorf("with the vault %q: %s", vault, out.String())
		}
	}
}
