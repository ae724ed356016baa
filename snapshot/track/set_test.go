package track

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// show lists what a set says, each folder as "handle: names", one that is wholly dirty with a star, a fresh name with a plus.
func show(t *testing.T, s *Set) (lines []string) {
	t.Helper()
	err := s.Folders(func(h unix.FileHandle, all bool, names []string, fresh []bool) error {
		line := string(h.Bytes()) + ":"
		if all {
			line += " *"
		}
		for i, n := range names {
			if line += " " + n; fresh[i] {
				line += "+"
			}
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_ = s.Files(func(h unix.FileHandle) error {
		lines = append(lines, "file "+string(h.Bytes()))
		return nil
	})
	_ = s.Moved(func(h, from unix.FileHandle, name string) error {
		lines = append(lines, fmt.Sprintf("%s was %s/%s", h.Bytes(), from.Bytes(), name))
		return nil
	})
	slices.Sort(lines)
	return lines
}

// What an event is made of.
type info struct {
	kind   byte
	handle string
	name   string
}

// encode makes an event's bytes as the kernel does.
func encode(mask uint64, infos ...info) []byte {
	b := make([]byte, metaSize)
	for _, i := range infos {
		size := fidSize + len(i.handle)
		if i.name != "" {
			size += len(i.name) + 1
		}
		r := make([]byte, (size+3)/4*4)
		r[0] = i.kind
		binary.NativeEndian.PutUint16(r[2:], uint16(len(r)))
		binary.NativeEndian.PutUint32(r[12:], uint32(len(i.handle)))
		binary.NativeEndian.PutUint32(r[16:], 1)
		copy(r[fidSize:], i.handle+i.name)
		b = append(b, r...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	b[4] = unix.FANOTIFY_METADATA_VERSION
	binary.NativeEndian.PutUint16(b[6:], uint16(metaSize))
	binary.NativeEndian.PutUint64(b[8:], mask)
	return b
}

const (
	fid  = unix.FAN_EVENT_INFO_TYPE_FID
	in   = unix.FAN_EVENT_INFO_TYPE_DFID_NAME
	from = unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
	to   = unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME
)

func heard(t *testing.T, s *Set, events ...[]byte) *Set {
	t.Helper()
	n, err := s.take(new(event), slices.Concat(events...))
	if err != nil || n != len(events) {
		t.Fatalf("%d events taken of %d: %v", n, len(events), err)
	}
	return s
}

func TestSetKeepsWhereThingsHappened(t *testing.T) {
	s := heard(t, &Set{},
		encode(unix.FAN_CREATE, info{in, "dirA", "new"}, info{fid, "fil1", ""}),
		encode(unix.FAN_MODIFY, info{in, "dirA", "new"}, info{fid, "fil1", ""}),
		encode(unix.FAN_MODIFY, info{in, "dirB", "old"}, info{fid, "fil2", ""}),
		encode(unix.FAN_ATTRIB, info{fid, "fil3", ""}),
		encode(unix.FAN_ATTRIB|unix.FAN_ONDIR, info{in, "dirC", "."}),
		encode(unix.FAN_RENAME|unix.FAN_ONDIR, info{from, "dirA", "x"}, info{to, "dirB", "y"}, info{fid, "dirD", ""}),
		encode(unix.FAN_RENAME|unix.FAN_ONDIR, info{from, "dirB", "y"}, info{to, "dirA", "z"}, info{fid, "dirD", ""}),
	)
	want := []string{"dirA: new+ x+ z+", "dirB: old y+", "dirC:", "dirD was dirA/x", "file fil1", "file fil2", "file fil3"}
	if got := show(t, s); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOverflowIsUnknown(t *testing.T) {
	s := heard(t, &Set{},
		encode(unix.FAN_CREATE, info{in, "dirA", "new"}, info{fid, "fil1", ""}),
		encode(unix.FAN_Q_OVERFLOW),
		encode(unix.FAN_CREATE, info{in, "dirA", "later"}, info{fid, "fil2", ""}),
	)
	if s.Unknown() == "" || s.Len() != 0 {
		t.Errorf("%q, %d names", s.Unknown(), s.Len())
	}
	newer := &Set{}
	newer.merge(s)
	if newer.Unknown() != s.Unknown() {
		t.Errorf("merged: %q", newer.Unknown())
	}
}

func TestFolderWithManyNamesIsWhollyDirty(t *testing.T) {
	s := &Set{limitNames: 1000, limitBytes: 10 << 20}
	for i := range 3000 {
		heard(t, s, encode(unix.FAN_MODIFY, info{in, "larg", fmt.Sprint("name", i)}, info{fid, fmt.Sprintf("%04d", i), ""}))
		if i%10 == 0 {
			heard(t, s, encode(unix.FAN_MODIFY, info{in, "smal", fmt.Sprint("name", i%30)}, info{fid, "same", ""}))
		}
	}
	if s.Unknown() != "" {
		t.Fatal(s.Unknown())
	}
	got := show(t, s)
	if !slices.Contains(got, "larg: *") || !slices.Contains(got, "smal: name0 name10 name20") {
		t.Errorf("%.200q", got)
	}
	files := 0
	_ = s.Files(func(unix.FileHandle) error { files++; return nil })
	if files != 3001 {
		t.Errorf("%d files, want all 3001", files)
	}
}

func TestMoreThanFitsIsUnknown(t *testing.T) {
	s := &Set{limitNames: 1 << 20, limitBytes: 1 << 20}
	for i := range 100_000 {
		heard(t, s, encode(unix.FAN_CREATE, info{in, fmt.Sprintf("%08d", i), "name"}, info{fid, fmt.Sprintf("f%07d", i), ""}))
		if s.size() > 2<<20 {
			t.Fatalf("%d bytes", s.size())
		}
	}
	if s.Unknown() == "" || s.size() != 0 {
		t.Errorf("%q, %d bytes", s.Unknown(), s.size())
	}
}

func TestMergedSetsAreThoseGatheredTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		var events [][]byte
		for range r.IntN(60) {
			pick := func(kind string) string { return fmt.Sprintf("%s%d", kind, r.IntN(5)) }
			e := encode(unix.FAN_MODIFY, info{in, pick("dir"), pick("name")}, info{fid, pick("fil"), ""})
			switch r.IntN(3) {
			case 0:
				e = encode(unix.FAN_CREATE|unix.FAN_ONDIR, info{in, pick("dir"), pick("name")}, info{fid, pick("dir"), ""})
			case 1:
				e = encode(unix.FAN_RENAME|unix.FAN_ONDIR, info{from, pick("dir"), pick("name")}, info{to, pick("dir"), pick("name")}, info{fid, pick("dir"), ""})
			}
			events = append(events, e)
		}
		at := 0
		if len(events) > 0 {
			at = r.IntN(len(events))
		}
		older, newer := heard(t, &Set{}, events[:at]...), heard(t, &Set{}, events[at:]...)
		newer.merge(older)
		if got, want := show(t, newer), show(t, heard(t, &Set{}, events...)); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

func TestTableKeepsKeys(t *testing.T) {
	var tab table
	r := rand.New(rand.NewPCG(1, 1))
	want := map[string]byte{}
	for range 50_000 {
		key := make([]byte, r.IntN(300))
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			key = fmt.Append(nil, r.IntN(20_000))
		}
		value := byte(r.Uint32())
		p, isNew := tab.add(key, []byte{value})
		old, had := want[string(key)]
		if isNew == had || had && tab.value(p)[0] != old || !slices.Equal(tab.key(p), key) {
			t.Fatalf("%x: new %v, had %v", key, isNew, had)
		}
		if !had {
			want[string(key)] = value
		}
	}
	got := map[string]byte{}
	tab.each(func(p uint32) { got[string(tab.key(p))] = tab.value(p)[0] })
	if !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}

// Whatever is read, no event makes the parser read beyond it.
func FuzzEvents(f *testing.F) {
	f.Add(encode(unix.FAN_CREATE, info{in, "dirA", "new"}, info{fid, "fil1", ""}))
	f.Add(encode(unix.FAN_RENAME|unix.FAN_ONDIR, info{from, "dirA", "x"}, info{to, "dirB", "y"}, info{fid, "dirD", ""}))
	f.Add(encode(unix.FAN_Q_OVERFLOW))
	f.Add(slices.Concat(encode(unix.FAN_ATTRIB, info{fid, "fil3", ""}), encode(unix.FAN_ATTRIB|unix.FAN_ONDIR, info{in, "dirC", "."})))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Set{}
		if _, err := s.take(new(event), b); err == nil {
			show(t, s)
		}
	})
}
