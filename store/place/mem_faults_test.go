package place

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// Whichever step of a Write fails, the name shows the old file or the new one and no temporary name stays.
func TestWriteSurvivesAFailureOfEachStep(t *testing.T) {
	for step := 1; ; step++ {
		m := NewMem(1)
		mustWrite(t, m, "other", "x")
		mustWrite(t, m, "a/f", "old")
		m = m.Restart() // so that the folders are looked after again
		m.FailOp(step, syscall.EIO)
		err := m.Write(t.Context(), "a/f", []byte("new"))
		if err == nil {
			if step < 6 {
				t.Errorf("a Write has %d steps only", step-1)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("step %d: %v", step, err)
		}
		if got := content(t, m, "a/f"); got != "old" && got != "new" {
			t.Errorf("step %d: %q", step, got)
		}
		expectNoTemporaries(t, m.disk)
		mustWrite(t, m, "a/f", "newer")
	}
}

func TestFailWritesAndFailReads(t *testing.T) {
	m := NewMem(1)
	mustWrite(t, m, "a/f", "old")
	m.FailWrites(syscall.EDQUOT)
	if err := m.Write(t.Context(), "a/f", []byte("new")); !errors.Is(err, syscall.EDQUOT) {
		t.Errorf("Write = %v", err)
	}
	m.FailWrites(nil)
	m.FailReads(syscall.EIO)
	_, err := m.Open(t.Context(), "a/f")
	_, listErr := m.List(t.Context(), "a")
	if !errors.Is(err, syscall.EIO) || !errors.Is(listErr, syscall.EIO) {
		t.Errorf("Open, List = %v, %v", err, listErr)
	}
	m.FailReads(nil)
	if content(t, m, "a/f") != "old" {
		t.Error("the file changed")
	}
	expectNoTemporaries(t, m.disk)
}

func TestReadOnlyMem(t *testing.T) {
	m := NewMem(1)
	mustWrite(t, m, "f", "x")
	m.SetReadOnly(true)
	for _, err := range []error{m.Write(t.Context(), "f", nil), m.Remove(t.Context(), "f")} {
		if !errors.Is(err, syscall.EROFS) {
			t.Error(err)
		}
	}
	if content(t, m, "f") != "x" {
		t.Error("not read")
	}
}

func TestFullMem(t *testing.T) {
	m := NewMem(1)
	m.SetCapacity(1000)
	mustWrite(t, m, "a/f", strings.Repeat("x", 600))
	if err := m.Write(t.Context(), "a/g", make([]byte, 600)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %v", err)
	}
	if free, total, err := m.Space(t.Context()); free != 400 || total != 1000 || err != nil {
		t.Errorf("Space = %d, %d, %v", free, total, err)
	}
	if err := m.Remove(t.Context(), "a/f"); err != nil {
		t.Error(err)
	}
	mustWrite(t, m, "a/g", strings.Repeat("x", 1000))
}

func TestBadRangeIsEIO(t *testing.T) {
	m := NewMem(1)
	data := strings.Repeat("0123456789", 100)
	mustWrite(t, m, "f", data)
	if err := m.BadRange("f", 100, 50); err != nil {
		t.Fatal(err)
	}
	f, err := m.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		off     int64
		n, want int
		err     error
	}{
		{0, 100, 100, nil},
		{150, 850, 850, nil},
		{90, 20, 10, syscall.EIO},
		{0, 1000, 100, syscall.EIO},
		{149, 1, 0, syscall.EIO},
		{120, 500, 0, syscall.EIO},
		{150, 851, 850, io.EOF},
	} {
		b := make([]byte, x.n)
		n, err := f.ReadAt(b, x.off)
		if n != x.want || !errors.Is(err, x.err) || string(b[:n]) != data[x.off:][:n] {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v", x.n, x.off, n, err)
		}
	}
	mustWrite(t, m, "f", data)
	if content(t, m, "f") != data {
		t.Error("the new file is bad too")
	}
}

func TestDamageIsSeenAndStays(t *testing.T) {
	m := NewMem(1)
	mustWrite(t, m, "f", "abcdef")
	f, err := m.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Damage("f", func(b []byte) []byte { b[1] ^= 1; return b[:3] }); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 6)
	if n, err := f.ReadAt(b, 0); n != 3 || err != io.EOF || !bytes.Equal(b[:3], []byte("acc")) {
		t.Errorf("open file: %q, %v", b[:n], err)
	}
	if got := content(t, m.Crash(), "f"); got != "acc" {
		t.Errorf("after a crash: %q", got)
	}
	m = NewMem(1)
	if err := m.Damage("f", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := m.BadRange("f", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestOneSeedOneStory(t *testing.T) {
	story := func(seed uint64) string {
		m := NewMem(seed)
		m.CrashAfter(30)
		for i := 0; m.Write(t.Context(), fmt.Sprintf("%d/f", i%3), bytes.Repeat([]byte{1}, i*5000)) == nil; i++ {
		}
		left := m.Crash()
		return fmt.Sprint(m.Ops(), left.mem.top.used(), left.random())
	}
	first, again, other := story(1), story(1), story(2)
	if first != again || first == other {
		t.Error(first, again, other)
	}
}
