package store

import (
	"errors"
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
