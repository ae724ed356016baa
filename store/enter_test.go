package store

import "testing"

// foundByID fails the test unless each pack that is known, and no other, is found by its id.
func foundByID(t *testing.T, v *Vault) {
	t.Helper()
	v.mu.RLock()
	defer v.mu.RUnlock()
	for number, p := range v.packs {
		if n, known := v.numbers[p.id]; !known || n != number {
			t.Errorf("pack %v has number %d; by its id it has %d, %v", p.id, number, n, known)
		}
	}
	if len(v.numbers) != len(v.packs) || len(v.uses) != len(v.packs) {
		t.Errorf("%d packs are known, %d by their ids, and %d uses", len(v.packs), len(v.numbers), len(v.uses))
	}
}

// Packs are found by their ids, whichever way they came and whatever others went.
func TestPacksAreFoundByTheirIDs(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7)
	sv.backup("v2", 0, 8)
	sv.backup("v3", 9, 10)
	o := sv.options(sv.mems...)
	o.ReadOnly = true
	reader, err := Open(t.Context(), o)
	must(t, err)
	defer reader.Close()
	before := sv.known()
	sv.remove("v1")
	if c := sv.collect(); c.Repacked == 0 {
		t.Fatalf("collected %+v", c)
	}
	foundByID(t, sv.Vault)
	for number, p := range before {
		if found := sv.packByID(p.id); found != sv.known()[number] {
			t.Errorf("pack %v: %+v", p.id, found)
		}
	}
	_, err = reader.Check(t.Context(), CheckOptions{Mark: sv.mark, ReadData: 1})
	must(t, err)
	foundByID(t, reader)

	sv.reopen(sv.mems...)
	foundByID(t, sv.Vault)
	name := sv.packNames()[0]
	for _, m := range sv.mems {
		must(t, m.Remove(t.Context(), name))
	}
	sv.reopen(sv.mems...) // the index is made anew without it
	foundByID(t, sv.Vault)
	if _, id, _ := parsePackName(name); sv.packByID(id) != nil {
		t.Error("a pack that is gone is known")
	}
}
