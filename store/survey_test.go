package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

func TestWhatIsLeftInAPlaceIsTheVaultsAndNobodyElses(t *testing.T) {
	mem := place.NewMem(1)
	want := func(when string, dirs ...string) {
		t.Helper()
		if got, err := Left(t.Context(), mem); err != nil || !slices.Equal(got, dirs) {
			t.Errorf("%s: %q, %v", when, got, err)
		}
	}
	want("empty")
	o := Options{Places: []place.Place{mem}, Reserve: 1}
	must(t, Init(t.Context(), o))
	v, err := Open(t.Context(), o)
	must(t, err)
	w, err := v.Writer(machine, WriterOptions{})
	must(t, err)
	_, _, err = w.Put(t.Context(), pack.KindFile, []byte("chunk"))
	must(t, errors.Join(err, w.Commit(t.Context(), VersionKey{machine, "p", "v"}, []byte("record")), w.Close(), v.Close()))
	id := strings.Repeat("0f", 16)
	for _, name := range []string{"instances/mine/packs/a", "instances/" + id[2:] + "/packs/a", "instances/" + id + "/mine", "instances/" + strings.Repeat("0e", 16)} {
		must(t, mem.Write(t.Context(), name, []byte("mine")))
	}
	want("with files of somebody", "instances/"+machine)
	must(t, mem.Write(t.Context(), "instances/"+id+"/versions/p/v", []byte("")))
	want("of another machine", "instances/"+machine, "instances/"+id)
	mem = place.NewMem(1)
	must(t, mem.Write(t.Context(), "instances", []byte("mine")))
	want("a file")
}
