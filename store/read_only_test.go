package store

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

func TestReadOnlyVaultIsReadAndNothingIsWritten(t *testing.T) {
	mem := place.NewMem(1)
	o := Options{Places: []place.Place{mem}, Reserve: 1}
	if err := Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w, err := v.Writer("i", WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := w.Put(t.Context(), pack.KindFile, []byte("chunk"))
	k := VersionKey{"i", "p", "v"}
	if err := errors.Join(err, w.Commit(t.Context(), k, []byte("record")), w.Close(), v.Close()); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	if v, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if b, err := v.Read(t.Context(), id, nil); err != nil || string(b) != "chunk" {
		t.Errorf("the chunk is %q, %v", b, err)
	}
	if b, err := v.Read(t.Context(), id, make([]byte, v.ReadRoom())); err != nil || string(b) != "chunk" {
		t.Errorf("the chunk in a given buffer is %q, %v", b, err)
	}
	if _, err := v.Read(t.Context(), ID{1}, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("a chunk that is not there: %v", err)
	}
	if err := v.Delete(t.Context(), k); !errors.Is(err, ErrReadOnly) {
		t.Errorf("delete: %v", err)
	}
	if b, err := v.Record(t.Context(), k); err != nil || string(b) != "record" {
		t.Errorf("the record is %q, %v", b, err)
	}
	if err := v.PutInstance(t.Context(), Instance{ID: "i"}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("put an instance: %v", err)
	}
}

// What is collected and moved by who writes to a vault is found by who only reads it, and is no damage.
func TestReadOnlyVaultFollowsWhatIsCollected(t *testing.T) {
	for _, s := range []shape{{1, 0}, {3, 1}} {
		for _, first := range []string{"read", "check"} {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
			sv.backup("v2", 0, 8)
			sv.backup("v3", 9, 10)
			o := sv.options(sv.mems...)
			o.ReadOnly = true
			reader, err := Open(t.Context(), o)
			must(t, err)
			defer reader.Close()
			reads := func() {
				t.Helper()
				for _, i := range []int{0, 8, 9, 10} {
					if b, err := reader.Get(t.Context(), sv.hash.id(sv.chunks[i])); err != nil || !bytes.Equal(b, sv.chunks[i]) {
						t.Errorf("%v: chunk %d: %d bytes, %v", s, i, len(b), err)
					}
				}
			}
			checks := func() {
				t.Helper()
				c, err := reader.Check(t.Context(), CheckOptions{Mark: sv.mark, ReadData: 1})
				if err != nil || len(c.Problems)+len(c.Lost) > 0 || c.Read != len(sv.packs) {
					t.Errorf("%v: checked %+v, %v", s, c, err)
				}
			}
			sv.remove("v1")
			if c := sv.collect(); c.Repacked == 0 {
				t.Fatalf("collected %+v", c)
			}
			if first == "read" {
				reads()
			}
			checks()
			reads()
			if n := len(reader.Versions(machine)); n != 2 || len(sv.troubles) > 0 {
				t.Errorf("%v: %d versions, told %+v", s, n, sv.troubles)
			}
		}
	}
}

// A version whose record is in no place that answers was not deleted, as long as one does not.
func TestReadOnlyVaultKeepsAVersionThatAPlaceMayHave(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0)
	o := sv.options(sv.mems...)
	o.ReadOnly = true
	reader, err := Open(t.Context(), o)
	must(t, err)
	defer reader.Close()
	for _, m := range sv.mems[1:] {
		must(t, m.Remove(t.Context(), key("v1").file()))
	}
	sv.mems[0].FailReads(syscall.ESTALE)
	if !reader.Remains(key("v1")) {
		t.Error("it is taken for deleted")
	}
}

// A vault in which much is damaged is not looked through anew for each pack.
func TestReadOnlyVaultLooksOnceAtManyDamagedPacks(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	for i := range 5 {
		sv.backup(fmt.Sprint("v", i), i)
	}
	p := &listing{Mem: sv.mems[0]}
	o := sv.options()
	o.ReadOnly, o.Places = true, []place.Place{p}
	reader, err := Open(t.Context(), o)
	must(t, err)
	defer reader.Close()
	for _, name := range sv.packNames() {
		must(t, p.Damage(name, func(b []byte) []byte { clear(b); return b }))
	}
	before := p.roots.Load()
	for i := range 5 {
		if _, err := reader.Get(t.Context(), sv.hash.id(sv.chunks[i])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if n := p.roots.Load() - before; n != 1 {
		t.Errorf("it was looked through %d times", n)
	}
}
