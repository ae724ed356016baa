package alert

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
)

func TestCommandGetsTheAlert(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	a := control.Alert{ID: "m-1/raised", Event: control.EventRaised, Kind: "damage", Text: "two\nlines", Time: time.Unix(0, 0).UTC(), Instance: here}
	must(t, runCommand(t.Context(), []string{"/bin/sh", "-c", `cat > "$1"; echo "$YESTER_EVENT $YESTER_KIND $YESTER_TEXT $YESTER_INSTANCE" >> "$1"`, "sh", out}, &a))
	b, err := os.ReadFile(out)
	must(t, err)
	body, env, _ := strings.Cut(string(b), "\n")
	var got control.Alert
	must(t, json.Unmarshal([]byte(body), &got))
	if got != a || env != "raised damage two lines web1\n" {
		t.Errorf("got %s", b)
	}
}

func TestCommandGetsALongTextWhole(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	a := control.Alert{ID: "m-1/raised", Kind: "missed", Text: "x" + strings.Repeat("ä", 200<<10)}
	must(t, runCommand(t.Context(), []string{"/bin/sh", "-c", `cat > "$1"; echo "$YESTER_TEXT" >> "$1"`, "sh", out}, &a))
	body, env, _ := strings.Cut(string(mustRead(t, out)), "\n")
	var got control.Alert
	must(t, json.Unmarshal([]byte(body), &got))
	if want := "x" + strings.Repeat("ä", maxText/2-1) + " … (cut)\n"; got != a || env != want {
		t.Errorf("got %d bytes, and in the environment %d: %q", len(got.Text), len(env), env[len(env)-20:])
	}
}

func TestCommandThatFailsSaysWhy(t *testing.T) {
	err := runCommand(t.Context(), []string{"/bin/sh", "-c", "yes | head -c 100000; echo no route to pager >&2; exit 3"}, &control.Alert{})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no route to pager") || len(err.Error()) > 2*maxSaid {
		t.Errorf("got %v", err)
	}
	if err := runCommand(t.Context(), []string{"/nope"}, &control.Alert{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestCommandThatNeverEndsIsKilledWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- runCommand(ctx, []string{"/bin/sh", "-c", `sleep 1000 & echo $! > "$1.new"; mv "$1.new" "$1"; wait`, "sh", file}, &control.Alert{})
	}()
	var child int
	for ; child == 0; time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(file); err == nil {
			must(t, json.Unmarshal(b, &child))
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("it ended well")
	}
	for deadline := time.Now().Add(time.Minute); syscall.Kill(child, 0) == nil; time.Sleep(time.Millisecond) { // until init has waited for it
		if state, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(mustRead(t, file))) + "/stat"); strings.Contains(string(state), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("its child lives on")
		}
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return b
}
