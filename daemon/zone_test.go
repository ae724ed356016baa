package daemon

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tzif is what a file says of a zone that is so many hours east, in the form of RFC 9636.
func tzif(hours int) []byte {
	part := []byte("TZif2")
	part = append(part, make([]byte, 15)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // one type of time, and four bytes of names
		part = binary.BigEndian.AppendUint32(part, n)
	}
	part = binary.BigEndian.AppendUint32(part, uint32(hours*3600))
	part = append(part, 0, 0, 'L', 'M', 'T', 0)
	return append(append(part, part...), "\n\n"...)
}

// Whoever sets the machine's zone need not think of the daemon.
func TestZoneThatIsSetRulesAtOnce(t *testing.T) {
	s := newStill(t)
	s.o.Zone = nil
	file := filepath.Join(t.TempDir(), "localtime")
	s.local = &zone{file: file, now: time.UTC}
	for i, tt := range []struct {
		data      []byte // nil: there is none
		next, day string // the next backup in UTC, and the day at 18:00 UTC
	}{
		{nil, "24 03:17", "23"},
		{tzif(9), "23 18:17", "24"},
		{tzif(-5), "24 08:17", "23"},
		{[]byte("TZif2 damaged"), "24 08:17", "23"},
		{nil, "24 08:17", "23"},
		{tzif(9), "23 18:17", "24"},
	} {
		err := os.RemoveAll(file)
		if tt.data != nil {
			err = os.WriteFile(file, tt.data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.turn()
		next, ok := s.next()
		if got := next.UTC().Format("02 15:04"); !ok || got != tt.next {
			t.Errorf("%d: the next backup is %s, want %s", i, got, tt.next)
		}
		if got := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC).In(s.zone()).Format("02"); got != tt.day {
			t.Errorf("%d: the day is %s, want %s", i, got, tt.day)
		}
	}
}

func TestZoneOfTheEnvironmentWins(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	z := machineZone()
	if err := z.look(); err != nil || z.location() != time.Local {
		t.Errorf("got %v, %v", z.location(), err)
	}
}

func TestZoneOfTheMachineIsTheOneGoFound(t *testing.T) {
	if _, set := os.LookupEnv("TZ"); set {
		t.Skip("TZ is set")
	}
	z, now := machineZone(), time.Now()
	if err := z.look(); err != nil {
		t.Fatal(err)
	}
	if got, want := now.In(z.location()).String(), now.Round(0).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
