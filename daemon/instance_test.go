package daemon

import (
	"os"
	"path/filepath"
	"testing"
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

func TestMachineWithoutIDKeepsARandomOne(t *testing.T) {
	db := newState(t)
	file := filepath.Join(t.TempDir(), "machine-id")
	first, err := identify(db, file)
	if err != nil || len(first.ID) != 32 || first.Name == "" {
		t.Fatalf("got %+v, %v", first, err)
	}
	// Also when the machine gets one later: its versions are under the first.
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := identify(db, file); err != nil || again.ID != first.ID {
		t.Errorf("got %+v, %v, want %s", again, err, first.ID)
	}
	if other, err := identify(newState(t), file); err != nil || other.ID == first.ID {
		t.Errorf("got %+v, %v", other, err)
	}
}
