package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

// A history is a random run of writes and removals, with what may be seen of each name after them.
type history struct {
	rng *rand.Rand
	may map[string]map[string]bool // name → contents; "" is no file. Two while it is open whether a change took place.
}

var historyNames = []string{"f", "a/f", "a/g", "a/b/f", "c/d/e/f"}

func newHistory(seed uint64) *history {
	h := &history{rng: rand.New(rand.NewPCG(seed, 1)), may: map[string]map[string]bool{}}
	for _, name := range historyNames {
		h.may[name] = map[string]bool{"": true}
	}
	return h
}

// run makes up to n changes, until one fails.
func (h *history) run(p Place, n int) error {
	for range n {
		name, want := historyNames[h.rng.IntN(len(historyNames))], ""
		if h.rng.IntN(3) > 0 {
			want = fmt.Sprintf("%s %d ", name, h.rng.Uint64()) + strings.Repeat("x", h.rng.IntN(3*tornBlock))
		}
		h.may[name][want] = true
		if err := h.change(p, name, want); err != nil {
			return err
		}
		h.may[name] = map[string]bool{want: true}
	}
	return nil
}

func (h *history) change(p Place, name, want string) error {
	if want == "" {
		return p.Remove(context.Background(), name)
	}
	half := len(want) / 2
	return p.Write(context.Background(), name, []byte(want[:half]), []byte(want[half:]))
}

// check fails if a name of m shows what it may not.
func (h *history) check(t *testing.T, m *Mem) {
	t.Helper()
	for name, may := range h.may {
		if got := content(t, m, name); !may[got] {
			t.Errorf("%s: %d bytes starting %.30q, which it never was or is no more", name, len(got), got)
		}
	}
}

// settle takes what is seen in m for what must stay.
func (h *history) settle(t *testing.T, m *Mem) {
	t.Helper()
	for name := range h.may {
		h.may[name] = map[string]bool{content(t, m, name): true}
	}
}

func TestPowerLossAfterEachStep(t *testing.T) {
	for seed := range uint64(25) {
		whole := NewMem(seed)
		if err := newHistory(seed).run(whole, 12); err != nil {
			t.Fatal(err)
		}
		for n := range whole.Ops() + 1 {
			m, h := NewMem(seed), newHistory(seed)
			m.CrashAfter(n)
			if err := h.run(m, 12); !errors.Is(err, ErrCrashed) && n < whole.Ops() {
				t.Fatalf("seed %d, crash after %d: %v", seed, n, err)
			}
			for range 3 {
				checkLeft(t, h, m.Crash())
			}
			if t.Failed() {
				t.Fatalf("seed %d, crash after %d", seed, n)
			}
		}
	}
}

// A killed process leaves what is not synced to the next one, which must not take it for durable before Sweep made it so.
func TestPowerLossAfterAKill(t *testing.T) {
	start := rand.Uint64()
	for seed := start; seed < start+3000; seed++ {
		m, h := NewMem(seed), newHistory(seed)
		rng := rand.New(rand.NewPCG(seed, 2))
		m.CrashAfter(rng.IntN(60))
		_ = h.run(m, 8)
		m = m.Restart()
		h.check(t, m)
		if rng.IntN(2) == 0 {
			must(t, m.Sweep(t.Context()))
			h.settle(t, m)
		}
		m.CrashAfter(m.Ops() + rng.IntN(80))
		_ = h.run(m, 8)
		checkLeft(t, h, m.Crash())
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// What a killed writer left is made durable even if a temporary file cannot be removed.
func TestSweepSyncsBesideATemporaryFileThatStays(t *testing.T) {
	for seed := range uint64(20) {
		m := NewMem(seed)
		mustWrite(t, m, "f", "old")
		m.CrashAfter(m.Ops() + 4) // create, write, sync, rename
		if err := m.Write(t.Context(), "f", []byte("new")); !errors.Is(err, ErrCrashed) {
			t.Fatal(err)
		}
		m = m.Restart()
		if got := content(t, m, "f"); got != "new" {
			t.Fatalf("it is %q before the sweep", got)
		}
		for _, name := range []string{"a", "b"} {
			_, err := m.disk.create(tempFolder + "/" + name)
			must(t, err)
		}
		m.FailOp(m.Ops()+1, syscall.EIO)
		if err := m.Sweep(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("swept: %v", err)
		}
		if left, err := m.disk.list(tempFolder); err != nil || len(left) != 1 {
			t.Errorf("left are %v, %v", left, err)
		}
		if got := content(t, m.Crash(), "f"); got != "new" {
			t.Errorf("seed %d: after the power loss it is %q", seed, got)
		}
	}
}

// checkLeft takes m into use, as what a power loss left.
func checkLeft(t *testing.T, h *history, m *Mem) {
	t.Helper()
	h.check(t, m)
	if err := m.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	expectNoTemporaries(t, m.disk)
	h.check(t, m)
	mustWrite(t, m, "a/b/after", "x")
}

func TestAfterTheCrashNothingAnswers(t *testing.T) {
	m := NewMem(1)
	mustWrite(t, m, "f", "x")
	f, err := m.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	m.Crash()
	_, openErr := m.Open(t.Context(), "f")
	_, listErr := m.List(t.Context(), "")
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	for i, err := range []error{
		openErr, listErr, readErr, m.Write(t.Context(), "f"), m.Remove(t.Context(), "f"), m.Sweep(t.Context()),
	} {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// What is not synced is in danger, in every way a disk knows; what is synced is not.
func TestPowerLossTakesWhatIsNotSynced(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(300) {
		d := newMemDisk("", seed)
		put := func(name string, sync bool) {
			f, err := d.create(name)
			must(t, err, f.write(bytes.Repeat([]byte{7}, 3*tornBlock)))
			if sync {
				must(t, f.sync())
			}
		}
		put("removed", true)
		put("renamed", true)
		must(t, d.mkdir("synced"), d.syncFolder(""))
		put("made", true)
		put("synced/torn", false)
		put("synced/whole", true)
		must(t, d.remove("removed"), d.rename("renamed", "synced/renamed"), d.syncFolder("synced"))

		left := onDisk(d.after(powerLoss))
		for _, name := range []string{"removed", "renamed", "made"} {
			_, err := left.disk.open(name)
			seen[fmt.Sprint(name, " there ", err == nil)] = true
		}
		for _, name := range []string{"synced/whole", "synced/renamed"} {
			if content(t, left, name) != strings.Repeat("\x07", 3*tornBlock) {
				t.Fatalf("seed %d: %s went", seed, name)
			}
		}
		describe(content(t, left, "synced/torn"), seen)
	}
	for _, outcome := range []string{
		"removed there true", "removed there false", "renamed there true", "renamed there false", "made there true",
		"made there false", "short", "whole", "zeros", "old bytes", "new bytes after lost ones",
	} {
		if !seen[outcome] {
			t.Errorf("%s: never", outcome)
		}
	}
}

// describe adds to seen what became of a file of three blocks full of sevens.
func describe(got string, seen map[string]bool) {
	lost := false
	for block := range strings.SplitSeq(got, "") {
		switch block {
		case "\x07":
			seen["new bytes after lost ones"] = seen["new bytes after lost ones"] || lost
		case "\x00":
			seen["zeros"], lost = true, true
		default:
			seen["old bytes"], lost = true, true
		}
	}
	seen["short"] = seen["short"] || len(got) < 3*tornBlock
	seen["whole"] = seen["whole"] || got == strings.Repeat("\x07", 3*tornBlock)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestOnePowerFeedsSeveral(t *testing.T) {
	a, b := NewMem(1), NewMem(2)
	p := NewPower(9)
	a.Plug(p)
	b.Plug(p)
	mustWrite(t, a, "f", "x") // create fails, .tmp, create, write, sync, rename, sync of the folder
	if err := b.Write(t.Context(), "f", []byte("x")); !errors.Is(err, ErrCrashed) {
		t.Errorf("Write = %v", err)
	}
	if a.Ops()+b.Ops() != 9 {
		t.Errorf("%d and %d steps", a.Ops(), b.Ops())
	}
	if _, err := a.List(t.Context(), ""); !errors.Is(err, ErrCrashed) {
		t.Errorf("List = %v", err)
	}
}
