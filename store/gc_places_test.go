package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/store/pack"
)

// mark marks the chunks of the versions that the test knows.
func (sv *spreadVault) mark(_ context.Context, record []byte, visit Visit) error {
	version := strings.TrimPrefix(string(record), "record of ")
	of, known := sv.versions[version]
	if !known {
		return fmt.Errorf("version %s: %w", version, ErrNotFound)
	}
	for _, i := range of {
		if _, err := visit(sv.hash.id(sv.chunks[i]), -1); err != nil {
			return err
		}
	}
	return nil
}

func (sv *spreadVault) collect() Collected {
	sv.t.Helper()
	c, err := sv.Collect(sv.t.Context(), CollectOptions{Mark: sv.mark})
	if err != nil {
		sv.t.Fatalf("collect: %v\n%s", err, sv.log.String())
	}
	return c
}

func (sv *spreadVault) check() Checked {
	sv.t.Helper()
	c, err := sv.Check(sv.t.Context(), CheckOptions{Mark: sv.mark, ReadData: 1})
	if err != nil {
		sv.t.Fatalf("check: %v\n%s", err, sv.log.String())
	}
	foundByID(sv.t, sv.Vault)
	return c
}

func (sv *spreadVault) repair() Repaired {
	sv.t.Helper()
	r, err := sv.Repair(sv.t.Context(), RepairOptions{Mark: sv.mark})
	if err != nil {
		sv.t.Fatalf("repair: %v\n%s", err, sv.log.String())
	}
	return r
}

// clean fails the test if a check of everything finds a problem.
func (sv *spreadVault) clean() {
	sv.t.Helper()
	if c := sv.check(); len(c.Problems)+len(c.Lost) > 0 || c.Read != c.Packs {
		sv.t.Errorf("not clean: %+v", c)
	}
}

// packOfChunk is the name of the pack that a chunk lies in, and where in a shard's file its first byte is.
func (sv *spreadVault) packOfChunk(i int) (name string, id pack.ID, shard int, at int64) {
	sv.t.Helper()
	l, p, err := sv.locate(sv.hash.id(sv.chunks[i]))
	if err != nil {
		sv.t.Fatal(err)
	}
	off := int64(l.frame.Offset)
	return packName(p.instance, p.id), p.id, int(off / p.shardBytes()), int64(p.meta)*pack.BlockSize + off%p.shardBytes()
}

// shardHarms may befall the file of a shard; quick ones are found without reading all data.
var shardHarms = map[string]struct {
	do    func(b []byte) []byte // nil: the file is removed
	quick bool
}{
	"gone":         {nil, true},
	"empty":        {func([]byte) []byte { return nil }, true},
	"cut short":    {func(b []byte) []byte { return b[:len(b)-100] }, true},
	"too long":     {func(b []byte) []byte { return append(b, 1) }, true},
	"both ends":    {func(b []byte) []byte { clear(b[:pack.BlockSize]); clear(b[len(b)-pack.BlockSize:]); return b }, true},
	"no head":      {func(b []byte) []byte { clear(b[:pack.BlockSize]); return b }, false},
	"a bit":        {func(b []byte) []byte { b[2*pack.BlockSize+9] ^= 1; return b }, false},
	"all its data": {func(b []byte) []byte { clear(b[pack.BlockSize : len(b)-pack.BlockSize]); return b }, false},
}

func TestDamagedShardFilesAreFoundAndRepaired(t *testing.T) {
	for name, h := range shardHarms {
		for _, s := range several {
			t.Run(name+" in "+s.String(), func(t *testing.T) {
				sv := newSpreadVault(t, s)
				sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
				sv.clean()
				file, id, _, _ := sv.packOfChunk(0)
				m := sv.mems[s.places-1]
				err := m.Remove(t.Context(), file)
				if h.do != nil {
					sv.repair() // which puts it back
					err = m.Damage(file, h.do)
				}
				if err != nil {
					t.Fatal(err)
				}
				sv.files.close()
				quick, err := sv.Check(t.Context(), CheckOptions{Mark: sv.mark})
				if err != nil || (len(quick.Problems) > 0) != h.quick {
					t.Errorf("quick check: %v, %v", quick.Problems, err)
				}
				c := sv.check()
				for _, p := range c.Problems {
					if p.Place != m.String() || p.Pack != id || !p.Heals || !errors.Is(p.Err, ErrCorrupt) && !notThere(p.Err) {
						t.Errorf("found %+v", p)
					}
				}
				if len(c.Problems) == 0 || len(c.Lost) > 0 {
					t.Errorf("found %d problems, %d chunks lost", len(c.Problems), len(c.Lost))
				}
				if r := sv.repair(); len(r.Healed) != 1 || r.Healed[0] != id || len(r.Problems)+len(r.Lost)+len(r.Salvaged) > 0 {
					t.Errorf("repaired %+v", r)
				}
				sv.clean()
				sv.whole()
				sv.holds()
			})
		}
	}
}

func TestDamagedRecordInOnePlaceIsFoundAndRepaired(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1)
	if err := sv.mems[2].Damage(key("v1").file(), func(b []byte) []byte { clear(b); return b }); err != nil {
		t.Fatal(err)
	}
	c := sv.check()
	if len(c.Problems) != 1 || c.Problems[0].Version != key("v1") || !c.Problems[0].Heals || c.Problems[0].Place != sv.mems[2].String() {
		t.Errorf("found %+v", c.Problems)
	}
	if r := sv.repair(); len(r.Records) != 1 || len(r.Problems) > 0 {
		t.Errorf("repaired %+v", r)
	}
	sv.clean()
	sv.whole()
}

func TestMissingPlaceIsNoLoss(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5)
	sv.backup("v2", 6, 7, 8, 9, 10, 11, 12, 13)
	sv.backup("v3", 12, 14, 15, 16)
	sv.remove("v1")
	sv.remove("v2") // but for chunk 12
	sv.reopen(sv.mems[:2]...)

	missing := func(problems []Problem) (others []Problem) {
		for _, p := range problems {
			if !errors.Is(p.Err, ErrMissing) || p.Heals || p.Pack != (pack.ID{}) {
				others = append(others, p)
			}
		}
		if len(others) != len(problems)-1 {
			t.Errorf("the missing place is not told: %v", problems)
		}
		return others
	}
	if c := sv.check(); len(missing(c.Problems))+len(c.Lost) > 0 {
		t.Errorf("a place is missing: %+v", c)
	}
	if c := sv.collect(); c.Dropped != 1 || c.Repacked != 0 || c.Kept != 1 {
		t.Errorf("a place is missing: collected %+v", c)
	}
	sv.holds()

	file, id, shard, at := sv.packOfChunk(14) // what is damaged now only the missing place could heal
	if shard > 1 {
		t.Fatalf("chunk in shard %d", shard)
	}
	if err := sv.mems[shard].Damage(file, func(b []byte) []byte { clear(b[at : at+8]); return b }); err != nil {
		t.Fatal(err)
	}
	sv.files.close()
	c := sv.check()
	if others := missing(c.Problems); len(others) == 0 || others[0].Heals || others[0].Pack != id || len(c.Lost) == 0 {
		t.Errorf("damaged: found %v, %d lost", others, len(c.Lost))
	}
	r := sv.repair()
	if others := missing(r.Problems); len(others) != 1 || others[0].Pack != id || len(r.Salvaged)+len(r.Healed) > 0 {
		t.Errorf("damaged: repaired %+v", r)
	}
	if c := sv.collect(); c.Dropped+c.Repacked > 0 {
		t.Errorf("damaged: collected %+v", c)
	}

	sv.reopen(sv.mems...)
	if r := sv.repair(); len(r.Problems)+len(r.Lost)+len(r.Salvaged) > 0 {
		t.Errorf("the place is back: repaired %+v", r)
	}
	sv.clean()
	sv.holds()
	if c := sv.collect(); c.Repacked != 1 || c.Kept != 0 {
		t.Errorf("the place is back: collected %+v", c)
	}
	sv.clean()
	sv.holds()
	sv.whole()
}

// While a place is not written to, a pack that is damaged past healing could not go, so what can be read of it is not copied either.
func TestDamagedPackIsSavedOnceEveryPlaceIsWell(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	file, id, _, at := sv.packOfChunk(0)
	for _, m := range sv.mems[:2] {
		must(t, m.Damage(file, func(b []byte) []byte { clear(b[at : at+8]); return b }))
	}
	sv.mems[2].SetReadOnly(true)
	sv.backup("v2", 10, 11)
	packs := len(sv.packs)
	for range 2 {
		r := sv.repair()
		if len(r.Salvaged) > 0 || len(sv.packs) != packs {
			t.Errorf("repaired %+v, there are %d packs, not %d", r, len(sv.packs), packs)
		}
		if !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Pack == id && errors.Is(p.Err, ErrCorrupt) }) {
			t.Errorf("problems %v", r.Problems)
		}
	}
	sv.mems[2].SetReadOnly(false)
	if r := sv.repair(); len(r.Salvaged) != 1 || !r.Lost.Has(sv.hash.id(sv.chunks[0])) {
		t.Errorf("repaired %+v", r)
	}
	sv.backup("v3", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	sv.holds()
	sv.clean()
	sv.whole()
}

// A place may also fail while it is saved. Then it could not go either, and is no less damaged than before.
func TestDamagedPackThatCouldNotGoIsTold(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	file, id, _, at := sv.packOfChunk(0)
	for _, m := range sv.mems[:2] {
		must(t, m.Damage(file, func(b []byte) []byte { clear(b[at : at+8]); return b }))
	}
	sv.mems[2].FailWrites(syscall.EIO)
	for range 2 {
		r := sv.repair()
		if len(r.Salvaged) > 0 || !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Pack == id && errors.Is(p.Err, ErrCorrupt) }) {
			t.Errorf("repaired %+v", r)
		}
	}
	sv.mems[2].FailWrites(nil)
	if r := sv.repair(); len(r.Salvaged) != 1 || !r.Lost.Has(sv.hash.id(sv.chunks[0])) {
		t.Errorf("repaired %+v", r)
	}
	sv.backup("v2", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	sv.holds()
	sv.clean()
	sv.whole()
}

// A version that comes with a place may need what no other does, so it must not come while somebody collects who has not marked it.
func TestPlaceIsNotTakenInWhileCollecting(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2)
	sv.backup("v2", 3, 4)
	sv.reopen(sv.mems[1])
	sv.backup("v3", 0, 5) // it takes chunk 0 over from v1
	sv.reopen(sv.mems[0])
	delete(sv.versions, "v3")
	sv.remove("v1")
	if err := sv.Close(); err != nil {
		t.Fatal(err)
	}
	sv.mems[1].FailReads(syscall.ESTALE)
	sv.open(sv.mems...)
	c, err := sv.Collect(t.Context(), CollectOptions{Mark: func(ctx context.Context, record []byte, visit Visit) error {
		sv.mems[1].FailReads(nil)
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := sv.Mend(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("mended meanwhile: %v", err)
		}
		return sv.mark(ctx, record, visit)
	}})
	if err != nil || c.Dropped != 1 {
		t.Errorf("collected %+v, %v", c, err)
	}
	sv.mendAll()
	sv.versions["v3"] = []int{0, 5}
	sv.holds()
	sv.clean()
	sv.whole()
}

// Packs that are spread anew must stay for a backup under way that relies on what was in the old ones.
func TestAddingAPlaceSparesWhatAnOpenWriterFound(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	sv.backup("v1", 0, 1, 2, 3)
	sv.remove("v1")
	w, err := sv.Writer(machine, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	of := []int{1, 2, 9}
	for _, i := range of {
		if _, _, err := w.Put(t.Context(), pack.KindFile, sv.chunks[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	by := sv.fresh()
	busy := false
	err = sv.AddPlace(t.Context(), by, PlaceOptions{Progress: func(string, int, int) {
		_, err := sv.Collect(t.Context(), CollectOptions{Mark: sv.mark})
		busy = errors.Is(err, ErrBusy)
	}})
	if err != nil || !busy {
		t.Fatalf("busy: %v, %v", busy, err)
	}
	sv.mems = append(sv.mems, by)
	for range 2 {
		sv.collect()
	}
	err = errors.Join(w.Commit(t.Context(), key("v2"), []byte("record of v2")), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	sv.versions["v2"] = of
	for range 2 {
		sv.collect()
		sv.holds()
	}
	sv.clean()
	sv.whole()
}

// fill has a place hold no more bytes than it does, and so many.
func (sv *spreadVault) fill(i int, more uint64) {
	sv.t.Helper()
	free, total, err := sv.mems[i].Space(sv.t.Context())
	must(sv.t, err)
	sv.mems[i].SetCapacity(total - free + more)
}

// A full place gets room again by what is deleted, like any other, and all it missed then.
func TestFullPlaceGetsRoomByDeleting(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8)
		sv.backup("v2", 9)
		sv.fill(0, 4000)
		sv.backup("v3", 10, 11)
		if err := sv.Places(t.Context())[0].Err; !errors.Is(placeError(err), ErrNoSpace) {
			t.Fatalf("%v: the place is not full: %v", s, err)
		}
		sv.remove("v1")
		if c := sv.collect(); c.Dropped == 0 {
			t.Errorf("%v: %+v", s, c)
		}
		for name := range sv.place.stones.names {
			t.Errorf("%v: it is still noted that %s was removed", s, name)
		}
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}

// So does one that is full when it comes back, by what was deleted while it was away.
func TestPlaceThatComesBackFullGetsRoom(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8)
		deleted := sv.fileNames()
		sv.backup("v2", 9)
		sv.fill(0, 0)
		hurts["gone"].begin(sv.mems[0])
		_, err := sv.Instances(t.Context()) // finds that it is
		must(t, err)
		sv.remove("v1")
		sv.backup("v3", 10, 11)
		if c := sv.collect(); c.Dropped == 0 {
			t.Errorf("%v: %+v", s, c)
		}
		hurts["gone"].end(sv.mems[0])
		sv.mendAll()
		for _, name := range deleted {
			if _, err := sv.mems[0].Open(t.Context(), name); !notThere(err) && (s.places > 2 || !isPack(name)) { // one place of two has all of a pack, which might be needed
				t.Errorf("%v: %s is still there, %v", s, name, err)
			}
		}
		sv.collect()
		sv.mendAll()
		sv.holds()
		sv.whole()
	}
}

func TestKeysOfAllPlacesOpen(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.o.work = testWork
	first := keysOf(t, sv.Vault)[0]
	add(t, sv.Vault, KeyPassphrase, "old")
	old := keyOf(t, sv.Vault, KeyPassphrase)
	sv.reopen(sv.mems[1:]...)
	sv.o.work = testWork
	add(t, sv.Vault, KeyPassphrase, "new")
	for _, id := range []string{first.ID, old} {
		if err := sv.RemoveKey(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := sv.Close(); err != nil {
		t.Fatal(err)
	}
	defer func() { sv.open(sv.mems...) }() // to be closed
	secret := "old"
	open := func(places ...int) error {
		o := sv.options()
		for _, i := range places {
			o.Places = append(o.Places, sv.mems[i])
		}
		o.Secret = func(context.Context, []KeyInfo) (Secret, error) { return Secret{KeyPassphrase, secret}, nil }
		v, err := Open(t.Context(), o)
		if err != nil {
			return err
		}
		return errors.Join(v.Mend(t.Context()), v.Close())
	}
	for _, places := range [][]int{{0, 1}, {2, 0}, {0, 1, 2}, {0, 1}} { // the first place has the old keys, and learns of the new one at last
		secret = "old"
		if err := open(places...); !errors.Is(err, ErrKey) {
			t.Errorf("removed keys in %v: %v", places, err)
		}
		secret = "new"
		if err := open(places...); err != nil {
			t.Errorf("the new key in %v: %v", places, err)
		}
	}
	for i, m := range sv.mems {
		if list, err := m.List(t.Context(), keyFolder); err != nil || len(list) != 2 {
			t.Errorf("place %d: keys %v, %v", i, list, err)
		}
	}
	secret = "new"
	sv.secret = func(context.Context, []KeyInfo) (Secret, error) { return Secret{KeyPassphrase, secret}, nil }
}

func keyOf(t *testing.T, v *Vault, kind string) string {
	t.Helper()
	for _, k := range keysOf(t, v) {
		if k.Kind == kind {
			return k.ID
		}
	}
	t.Fatal("no key " + kind)
	return ""
}

// A key file that lies under another key's name must not take the place of the right one.
func TestMisplacedKeyFileIsNotSpread(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.o.work = testWork
	in, _ := add(t, sv.Vault, KeyPassphrase, "one")
	first := keysOf(t, sv.Vault)
	name := keyFolder + "/" + in.ID
	good := fileOf(t, sv.mems[0], name)
	for _, k := range first {
		if k.ID == in.ID {
			continue
		}
		copyFile(t, sv.mems[0], name, sv.mems[0], keyFolder+"/"+k.ID)
		copyFile(t, sv.mems[0], name+copySuffix, sv.mems[0], keyFolder+"/"+k.ID)
	}
	if err := sv.mendSmallFiles(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, m := range sv.mems {
		for _, n := range []string{name, name + copySuffix} {
			if !bytes.Equal(fileOf(t, m, n), good) {
				t.Errorf("place %d: %s is not what it was", i, n)
			}
		}
	}
}

// What a crash left of a pack is no alarm, and the next collection removes it.
func TestUnfinishedPackIsNoAlarm(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1, 2, 3)
	sv.backup("v2", 9)
	name, _, _, _ := sv.packOfChunk(9)
	sv.remove("v2")
	for _, m := range sv.mems[1:] {
		if err := m.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	sv.reopen(sv.mems...)
	sv.mendAll()
	if strings.Contains(sv.log.String(), "level=ERROR") || !strings.Contains(sv.log.String(), "not written to its end") {
		t.Errorf("the log says\n%s", sv.log.String())
	}
	sv.clean()
	sv.collect()
	if _, err := sv.mems[0].Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is not removed: %v", err)
	}
	sv.holds()
	sv.clean()
}

// forge changes a block from a byte on so that its CRC-32C stays the same: by the polynomial of that itself, as it is the remainder of a division.
func forge(b []byte, at int64) {
	const polynomial = 1<<32 | 0x1edc6f41
	for i := range int64(33) {
		if polynomial>>(32-i)&1 == 1 {
			b[at+i/8] ^= 1 << (i % 8)
		}
	}
}

// Whoever can write in one place can make the checksums right, and not the seals; the other places have what heals that.
func TestForgedShardIsHealedFromTheOthers(t *testing.T) {
	for _, s := range several {
		sv := newSpreadVault(t, s)
		sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		file, id, shard, at := sv.packOfChunk(0)
		if err := sv.mems[shard].Damage(file, func(b []byte) []byte { forge(b, at+8); return b }); err != nil {
			t.Fatal(err)
		}
		sv.files.close()
		if c := sv.check(); len(c.Problems) == 0 {
			t.Fatalf("%s: a check of everything finds nothing", s)
		}
		sv.holds()
		if sv.told(Damaged, false) != 1 {
			t.Errorf("%s: told %+v", s, sv.troubles)
		}
		r := sv.repair()
		if len(r.Healed) != 1 || r.Healed[0] != id || len(r.Problems)+len(r.Lost)+len(r.Salvaged) > 0 {
			t.Errorf("%s: repaired %+v", s, r)
		}
		sv.holds()
		sv.clean()
		sv.whole()
	}
}

// So they have if one of them lacks its file, as long as more are left than are needed, whichever shards they are.
func TestForgedShardIsHealedBesideAMissingOne(t *testing.T) {
	for missing := 1; missing < 5; missing++ {
		sv := newSpreadVault(t, shape{5, 2})
		sv.backup("v1", 0, 1, 2, 3)
		file, id, _, at := sv.packOfChunk(0)
		must(t, sv.mems[0].Damage(file, func(b []byte) []byte { forge(b, at+8); return b }))
		must(t, sv.mems[missing].Remove(t.Context(), file))
		sv.files.close()
		sv.holds()
		if missing%2 == 0 { // reading asked for it
			sv.mendAll()
		}
		r := sv.repair()
		if len(r.Healed) != 1 || r.Healed[0] != id || len(r.Problems)+len(r.Lost)+len(r.Salvaged) > 0 {
			t.Errorf("without shard %d: repaired %+v", missing, r)
		}
		sv.holds()
		sv.clean()
		sv.whole()
	}
}

// Of a pack that is beyond healing, a forged file beside a missing one costs nothing but what the rest lack.
func TestSalvageDoesWithoutAForgedShard(t *testing.T) {
	sv := newSpreadVault(t, shape{5, 2})
	sv.chunks[0] = bytes.Repeat([]byte("in one row"), 300)
	sv.backup("v1", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	file, _, _, at := sv.packOfChunk(0)
	must(t, sv.mems[0].Damage(file, func(b []byte) []byte { forge(b, at+8); return b }))
	must(t, sv.mems[4].Remove(t.Context(), file))
	for _, i := range []int{1, 3} { // so that the next row is lost
		must(t, sv.mems[i].Damage(file, func(b []byte) []byte { clear(b[at+pack.BlockSize:][:8]); return b }))
	}
	sv.files.close()
	r := sv.repair()
	if len(r.Salvaged) != 1 || len(r.Lost) == 0 || r.Lost.Has(sv.hash.id(sv.chunks[0])) {
		t.Errorf("repaired %+v", r)
	}
}
