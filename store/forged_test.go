package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path"
	"slices"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// rehead changes the head of a pack's file, and its copy at the end, and sets their checksums right.
func (sv *spreadVault) rehead(m *place.Mem, name string, change func(block []byte)) {
	sv.t.Helper()
	must(sv.t, m.Damage(name, func(b []byte) []byte {
		for _, block := range [][]byte{b[:pack.BlockSize], b[len(b)-pack.BlockSize:]} {
			change(block)
			binary.LittleEndian.PutUint32(block[4:], crc32.Checksum(block[8:], crc32.MakeTable(crc32.Castagnoli)))
			if _, _, err := pack.ParseBlock(block); err != nil {
				sv.t.Fatal(err)
			}
		}
		return b
	}))
}

func (sv *spreadVault) reshape(m *place.Mem, name string, s pack.Shape) {
	sv.t.Helper()
	sv.rehead(m, name, func(block []byte) { block[10], block[11] = byte(s.Data), byte(s.Parity) })
}

func (sv *spreadVault) packNames() []string {
	return slices.DeleteFunc(sv.fileNames(), func(name string) bool { return !isPack(name) })
}

// What one place says in the heads of its files, which have no seal, is not what a new index takes for the shape of a pack.
func TestForgedHeadInOnePlaceIsOutvoted(t *testing.T) {
	for _, s := range []shape{{3, 1}, {5, 2}} {
		for _, to := range []pack.Shape{{Data: 1, Parity: 2}, {Data: 1, Parity: 1}, {Data: 4, Parity: 1}} {
			sv := newSpreadVault(t, s)
			sv.backup("v1", 0, 1, 2, 3)
			for _, name := range sv.packNames() {
				sv.reshape(sv.mems[0], name, to)
			}
			sv.reopen(sv.mems...)
			sv.holds()
			if r := sv.repair(); len(r.Healed) != 1 || len(r.Problems)+len(r.Salvaged)+len(r.Lost) > 0 {
				t.Errorf("%v, forged as %v: repaired %+v", s, to, r)
			}
			sv.holds()
			sv.clean()
			sv.whole()
		}
	}
}

// Of two places neither is most of them. What new packs are like counts then, if the table is there.
func TestForgedHeadInOneOfTwoPlaces(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2, 3)
	name, other := sv.packNames()[0], pack.Shape{Data: 2, Parity: 1}
	sv.reshape(sv.mems[0], name, other)
	sv.reopen(sv.mems...)
	sv.holds()
	sv.repair()
	sv.holds()
	sv.clean()
	sv.whole()

	sv.reshape(sv.mems[0], name, other)
	sv.rehead(sv.mems[1], name, func(block []byte) { block[64] ^= 1 })
	_, id, _ := parsePackName(name)
	if p, _, err := sv.readTable(t.Context(), machine, id); err != nil || p.shape != other {
		t.Errorf("read %+v, %v", p, err)
	}
}

// An index that was made of a forged head is told, and nothing is done by it to what the other places have.
func TestPacksThatTheIndexIsWrongAboutAreLeftAlone(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	name := sv.packNames()[0]
	sv.reshape(sv.mems[0], name, pack.Shape{Data: 1, Parity: 2})
	before := contentOf(t, sv.mems[1], name)
	known := func(number uint32, p *packInfo) {
		sv.Vault.mu.Lock()
		sv.packs[number] = p
		sv.Vault.mu.Unlock()
		sv.files.close()
	}
	for number, right := range sv.known() {
		wrong, _, err := sv.readTableIn(t.Context(), sv.place.layout().members[0], right.instance, right.id)
		must(t, err)
		known(number, wrong)
		if err := sv.mendFile(t.Context(), damagedFile{name: name, offset: -1}, true); !errors.Is(err, errBadIndex) {
			t.Errorf("mended: %v", err)
		}
		if c := sv.check(); len(c.Problems) == 0 {
			t.Error("a check finds nothing")
		}
		r := sv.repair()
		if len(r.Problems) == 0 || r.Problems[0].Pack != right.id || len(r.Healed)+len(r.Salvaged)+len(r.Lost) > 0 {
			t.Errorf("repaired %+v", r)
		}
		known(number, right)
	}
	if !bytes.Equal(before, contentOf(t, sv.mems[1], name)) {
		t.Error("what another place has was written over")
	}
	sv.holds()
	sv.repair()
	sv.clean()
	sv.whole()
}

// Copies of packs in another folder of one place are not where the packs are looked for.
func TestPacksInAnotherFolderOfOnePlaceAreLeftAlone(t *testing.T) {
	for _, moved := range []bool{false, true} {
		sv := newSpreadVault(t, shape{3, 1})
		sv.backup("v1", 0, 1, 2, 3)
		sv.backup("v2", 4, 5)
		for _, name := range sv.packNames() {
			_, id, _ := parsePackName(name)
			must(t, sv.mems[0].Write(t.Context(), packName("0", id), contentOf(t, sv.mems[0], name)))
			if moved {
				must(t, sv.mems[0].Remove(t.Context(), name))
			}
		}
		sv.reopen(sv.mems...)
		for _, p := range sv.packs {
			if p.instance != machine {
				t.Errorf("a pack is looked for in %s", path.Dir(packName(p.instance, p.id)))
			}
		}
		sv.mendAll()
		sv.repair()
		sv.holds()
		sv.clean()
		sv.whole()
	}
}

// A pack that the index is wrong about keeps no place from having all the rest, and a rebuilt index is right about it.
func TestPackThatTheIndexIsWrongAboutKeepsNoPlaceBehind(t *testing.T) {
	sv := newSpreadVault(t, shape{5, 2})
	sv.backup("v1", 0, 1, 2, 3)
	name := sv.packNames()[0]
	sv.reshape(sv.mems[0], name, pack.Shape{Data: 1, Parity: 4})
	for number, right := range sv.known() {
		wrong, frames, err := sv.readTableIn(t.Context(), sv.place.layout().members[0], right.instance, right.id)
		must(t, err)
		must(t, sv.index.add(number, wrong, frames, newUse(frames), nil))
		sv.Vault.mu.Lock()
		sv.packs[number] = wrong
		sv.Vault.mu.Unlock()
	}
	sv.files.close()
	must(t, sv.mems[4].Remove(t.Context(), name))
	hurts["gone"].begin(sv.mems[3])
	sv.backup("v2", 4, 5)
	hurts["gone"].end(sv.mems[3])
	sv.mendAll()
	if p := sv.Places(t.Context())[3]; p.Behind || p.Err != nil {
		t.Errorf("the place that is back: %+v", p)
	}
	old, by := sv.mems[4], sv.fresh()
	if err := sv.ReplacePlace(t.Context(), old.String(), by, PlaceOptions{}); !errors.Is(err, errBadIndex) || sv.letGo() {
		t.Errorf("replaced, with %v", err)
	}
	sv.mems[4] = by
	w, err := sv.Writer(machine, WriterOptions{})
	must(t, err)
	defer w.Close()
	_, _, err = w.Put(t.Context(), pack.KindFile, sv.chunks[0])
	must(t, err)
	if n, err := sv.RebuildIndex(t.Context(), nil); err != nil || n != len(sv.packs) {
		t.Errorf("rebuilt %d packs of %d, %v", n, len(sv.packs), err)
	}
	must(t, w.Commit(t.Context(), key("v3"), []byte("record of v3")))
	sv.versions["v3"] = []int{0}
	must(t, w.Close())
	sv.mendAll()
	sv.holds()
	sv.whole()
	if !sv.letGo() {
		t.Error("the old place is still one of the vault's")
	}
	sv.remove("v1")
	sv.collect()
	sv.holds()
	sv.reopen(sv.mems[2:]...)
	sv.holds()
	sv.reopen(sv.mems...)
	sv.mendAll()
	sv.clean()
	sv.whole()
}
