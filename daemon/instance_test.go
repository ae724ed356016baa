package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yester/control"
	"yester/daemon/state"
)

// The id is that of the machine for ever: this value must not change.
func TestInstanceIDIsDerivedFromTheMachineID(t *testing.T) {
	const machine = "0123456789abcdef0123456789abcdef"
	id, ok := deriveID([]byte(machine + "\n"))
	if !ok || id != "3b63a68c44f888ed9447b07bb098d281" {
		t.Errorf("got %s, %v", id, ok)
	}
	if other, _ := deriveID([]byte("0123456789abcdef0123456789abcdee")); other == id {
		t.Error("two machines have one id")
	}
	for _, bad := range []string{"", "uninitialized\n", "0123", machine + "00", "zz" + machine[2:]} {
		if id, ok := deriveID([]byte(bad)); ok {
			t.Errorf("%q gives %s", bad, id)
		}
	}
}

// A box is what a daemon sees of a machine.
type box struct{ Options }

func newBox(t *testing.T) box {
	t.Helper()
	dir := t.TempDir()
	b := box{Options{MachineID: filepath.Join(dir, "machine-id"), Sys: filepath.Join(dir, "sys")}}
	if err := os.MkdirAll(filepath.Join(b.Sys, "class/dmi/id"), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// is gives the machine an id and hardware, or none for "".
func (b box) is(t *testing.T, id, hardware string) {
	t.Helper()
	for file, text := range map[string]string{b.MachineID: id, filepath.Join(b.Sys, "class/dmi/id/product_uuid"): hardware} {
		err := os.WriteFile(file, []byte(text+"\n"), 0o600)
		if text == "" {
			err = os.Remove(file)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

const (
	oneID     = "0123456789abcdef0123456789abcdef"
	anotherID = "0123456789abcdef0123456789abcdee"
	noID      = "uninitialized"
)

func TestMachineWithoutIDKeepsARandomOne(t *testing.T) {
	db, b := newState(t), newBox(t)
	first, _, err := identify(db, &b.Options)
	if err != nil || len(first.ID) != 32 || first.Name == "" {
		t.Fatalf("got %+v, %v", first, err)
	}
	// Also when the machine gets one later: its versions are under the first.
	b.is(t, oneID, "")
	if again, changed, err := identify(db, &b.Options); err != nil || again.ID != first.ID || changed != "" {
		t.Errorf("got %+v, %q, %v, want %s", again, changed, err, first.ID)
	}
	if other, _, err := identify(newState(t), &b.Options); err != nil || other.ID == first.ID {
		t.Errorf("got %+v, %v", other, err)
	}
}

// What an instance has lies under its id. Only a copy of the machine is told apart from it.
func TestActivatedInstanceKeepsItsIDWhateverBecomesOfTheMachines(t *testing.T) {
	for name, tt := range map[string]struct {
		hardware, id, then string
		copied, told       bool
		first              string // the id at a start before, on the new hardware
	}{
		"nothing":                     {"box 1", oneID, "box 1", false, false, ""},
		"new hardware":                {"box 1", oneID, "box 2", false, false, ""},
		"no id any more":              {"box 1", "", "box 1", false, false, ""},
		"no id, and a copy":           {"box 1", "", "box 2", false, false, ""},
		"an id that was not set":      {"", noID, "", false, false, ""},
		"another id":                  {"box 1", anotherID, "box 1", false, true, ""},
		"another id, no hardware":     {"", anotherID, "", false, true, ""},
		"another id, not told then":   {"box 1", anotherID, "", false, true, ""},
		"a copy":                      {"box 1", anotherID, "box 2", true, true, ""},
		"a copy with the id at first": {"box 1", anotherID, "box 2", true, true, oneID},
		"a copy with no id at first":  {"box 1", anotherID, "box 2", true, true, noID},
		"new hardware, then no id":    {"box 1", "", "box 2", false, false, oneID},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.is(t, oneID, tt.hardware)
			s := newStill(t, func(o *Options) { o.MachineID, o.Sys = b.MachineID, b.Sys })
			s.days("2026-11-24")
			id := s.instance.ID
			if tt.first != "" {
				b.is(t, tt.first, tt.then)
				s.again()
			}
			b.is(t, tt.id, tt.then)
			for range 2 {
				s.again()
				if (s.instance.ID != id) != tt.copied || len(s.names()) == 1 == tt.copied {
					t.Errorf("it was %s and is %s, with the versions %v", id, s.instance.ID, s.names())
				}
			}
			a := mustNot[control.Adoption](t)(s.adopt(t.Context(), control.AdoptRequest{}))
			if i := slices.IndexFunc(a.Instances, func(in control.AdoptedInstance) bool { return in.ID == id }); a.Instances[i].Owner.Other != tt.copied {
				t.Errorf("its versions belong to %+v", a.Instances[i].Owner)
			}
			told := 0
			for _, m := range mustNot[control.MessageList](t)(s.messages(t.Context(), control.MessagesRequest{})).Messages {
				if m.Kind == control.MessageInstance && strings.Contains(m.Text, short(id)) && m.Resolved != nil {
					told += m.Count
				}
			}
			if (told == 1) != tt.told || told > 1 {
				t.Errorf("it was told %d times", told)
			}
		})
	}
}

// One that an earlier version of the program activated has the id of the machine, which was not kept.
func TestInstanceOfAnEarlierVersionKeepsItsIDToo(t *testing.T) {
	db, b := newState(t), newBox(t)
	if err := db.PutPlan(control.Policy{Start: "03:17"}, control.StateReady, state.Schedule{}); err != nil {
		t.Fatal(err)
	}
	if in, _, err := identify(db, &b.Options); !errors.Is(err, control.Conflict) {
		t.Errorf("on a machine without an id: %+v, %v", in, err)
	}
	b.is(t, oneID, "")
	first, _, err := identify(db, &b.Options)
	if err != nil || first.ID != "3b63a68c44f888ed9447b07bb098d281" {
		t.Errorf("got %+v, %v", first, err)
	}
	b.is(t, anotherID, "")
	if again, changed, err := identify(db, &b.Options); err != nil || again.ID != first.ID || changed == "" {
		t.Errorf("got %+v, %q, %v", again, changed, err)
	}
}

func TestIDThatCannotBeReadIsNotTakenForNone(t *testing.T) {
	b := newBox(t)
	if err := os.Mkdir(b.MachineID, 0o700); err != nil {
		t.Fatal(err)
	}
	db := newState(t)
	if in, _, err := identify(db, &b.Options); err == nil || !strings.Contains(err.Error(), b.MachineID) {
		t.Errorf("got %+v, %v", in, err)
	}
	if id, err := db.Instance(); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("kept is %q, %v", id, err)
	}
}
