package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"yester/store/pack"
)

func (tv *testVault) check(o CheckOptions) Checked {
	tv.t.Helper()
	if o.Mark == nil {
		o.Mark = flat
	}
	c, err := tv.Check(tv.t.Context(), o)
	if err != nil {
		tv.t.Fatal(err)
	}
	foundByID(tv.t, tv.Vault)
	return c
}

// clean fails the test if a check of everything finds a problem.
func (tv *testVault) clean() {
	tv.t.Helper()
	if c := tv.check(CheckOptions{ReadData: 1}); len(c.Problems)+len(c.Lost) > 0 || c.Read != c.Packs {
		tv.t.Errorf("not clean: %+v", c)
	}
}

func (tv *testVault) repair(o RepairOptions) Repaired {
	tv.t.Helper()
	o.Mark = flat
	r, err := tv.Repair(tv.t.Context(), o)
	if err != nil {
		tv.t.Fatal(err)
	}
	return r
}

// A mishap befalls the only pack of a vault, or another file.
type mishap struct {
	do    func(t *testing.T, tv *testVault, pack string)
	quick bool // a quick check finds it
	heals bool
	some  bool // some chunks are still there
}

func edit(t *testing.T, file string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func blank(t *testing.T, file string, from, to int) {
	t.Helper()
	edit(t, file, func(b []byte) []byte {
		if to < 0 {
			from, to = len(b)+from, len(b)+to
		}
		clear(b[from:to])
		return b
	})
}

var mishaps = map[string]mishap{
	"a flipped bit": {do: func(t *testing.T, tv *testVault, p string) { flip(t, p, 3*pack.BlockSize+5) }, heals: true, some: true},
	"a burst": {do: func(t *testing.T, tv *testVault, p string) {
		blank(t, p, 3*pack.BlockSize, 7*pack.BlockSize)
	}, heals: true, some: true},
	"no head": {do: func(t *testing.T, tv *testVault, p string) { blank(t, p, 0, pack.BlockSize) }, heals: true, some: true},
	"cut short": {do: func(t *testing.T, tv *testVault, p string) {
		edit(t, p, func(b []byte) []byte { return b[:len(b)-100] })
	}, quick: true, heals: true, some: true},
	"too long": {do: func(t *testing.T, tv *testVault, p string) {
		edit(t, p, func(b []byte) []byte { return append(b, 1, 2, 3) })
	}, quick: true, heals: true, some: true},
	"both ends": {do: func(t *testing.T, tv *testVault, p string) {
		blank(t, p, 0, pack.BlockSize)
		blank(t, p, -pack.BlockSize, -1)
	}, quick: true, some: true},
	"beyond parity": {do: func(t *testing.T, tv *testVault, p string) {
		blank(t, p, 3*pack.BlockSize, 100*pack.BlockSize)
	}, some: true},
	"gone":  {do: func(t *testing.T, tv *testVault, p string) { removeMatching(t, p, "") }, quick: true},
	"empty": {do: func(t *testing.T, tv *testVault, p string) { edit(t, p, func([]byte) []byte { return nil }) }, quick: true},
	"a record": {do: func(t *testing.T, tv *testVault, p string) {
		flip(t, filepath.Join(tv.vaultDir(), key("v1").file()), pack.BlockSize+5)
	}, quick: true, heals: true, some: true},
}

func TestDamageIsFoundAndRepaired(t *testing.T) {
	for name, h := range mishaps {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(1, 60, 50_000)
			ids := tv.version("v1", chunks)
			tv.clean()
			h.do(t, tv, tv.packPaths()[0])
			tv.cold()

			if err := tv.mend.working.take(t.Context()); err != nil { // or what the first check meets is mended before the second
				t.Fatal(err)
			}
			if c := tv.check(CheckOptions{}); (len(c.Problems) > 0) != h.quick {
				t.Errorf("quick check: %v", c.Problems)
			}
			c := tv.check(CheckOptions{ReadData: 1})
			if len(c.Problems) == 0 || h.heals != (len(c.Lost) == 0) && name != "both ends" || h.heals != c.Problems[0].Heals {
				t.Errorf("check: %v, %d lost", c.Problems, len(c.Lost))
			}
			tv.mend.working.end()
			r := tv.repair(RepairOptions{})
			if h.heals != (len(r.Salvaged) == 0) || len(r.Lost) != len(c.Lost) || (len(r.Problems) > 0) != (len(r.Lost) > 0) {
				t.Errorf("repaired: %+v", r)
			}
			if !h.some != (len(r.Lost) == len(chunks)) {
				t.Errorf("%d chunks are lost", len(r.Lost))
			}
			tv.afterRepair(ids, chunks, r.Lost)
			tv.reopen()
			tv.afterRepair(ids, chunks, r.Lost)
		})
	}
}

// cold makes the vault read from its files again.
func (tv *testVault) cold() {
	tv.t.Helper()
	tv.files.close()
	tv.cache = newCache(1)
}

// afterRepair looks whether all that is not lost is there, whether a new backup heals the rest, and whether the vault is clean then.
func (tv *testVault) afterRepair(ids []ID, chunks [][]byte, lost IDs) {
	tv.t.Helper()
	for i, id := range ids {
		if !lost.Has(id) {
			tv.uncached(ids[i:i+1], chunks[i:i+1])
		}
	}
	name := fmt.Sprint("again", len(tv.Versions(machine)))
	tv.version(name, chunks)
	tv.uncached(ids, chunks)
	tv.clean()
}

func TestCheckTakesTurns(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 70, 1000)
	for i := range 7 {
		tv.version(fmt.Sprint("v", i), chunks[10*i:10*i+10])
	}
	cursor := ""
	for _, p := range tv.packPaths() {
		flip(t, p, pack.BlockSize+5)
	}
	found := map[pack.ID]int{}
	for range 7 {
		c := tv.check(CheckOptions{ReadData: 1.0 / 7, Cursor: cursor})
		if c.Read != 1 || c.Packs != 7 || c.Bytes == 0 || len(c.Problems) != 1 {
			t.Errorf("checked %+v", c)
		}
		cursor = c.Cursor
		found[c.Problems[0].Pack]++
	}
	if len(found) != 7 {
		t.Errorf("%d of 7 packs were read", len(found))
	}
	if c := tv.check(CheckOptions{ReadData: 0.5, Cursor: cursor}); c.Read != 4 {
		t.Errorf("half of it is %d packs", c.Read)
	}
}

// All else of a check may take longer than the daemon is up: what is read is not lost with it.
func TestCheckThatIsCutOffHasReadItsPacks(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 1000)
	for i := range 3 {
		tv.version(fmt.Sprint("v", i), chunks[10*i:10*i+10])
	}
	flip(t, tv.packPaths()[0], pack.BlockSize+5)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := func(step string, _, _ int) {
		if step != "data" {
			cancel()
		}
	}
	c, err := tv.Check(ctx, CheckOptions{ReadData: 1, Mark: flat, Progress: cut})
	if !errors.Is(err, context.Canceled) || c.Read != 3 || c.Cursor == "" || len(c.Problems) != 1 {
		t.Errorf("checked %+v, %v", c, err)
	}
}

func TestCheckFindsChunksThatAreInNoPack(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 10, 1000)
	ids := tv.version("v1", chunks)
	if err := tv.index.removeChunks(0, ids[:3]); err != nil {
		t.Fatal(err)
	}
	c := tv.check(CheckOptions{})
	if len(c.Lost) != 3 || len(c.Problems) != 1 || c.Problems[0].Version != key("v1") {
		t.Errorf("checked %+v", c)
	}
	if r := tv.repair(RepairOptions{}); r.Found != 3 || len(r.Lost)+len(r.Problems) > 0 {
		t.Errorf("repaired %+v", r)
	}
	tv.clean()
}

// A page that says another length of a chunk than it has makes nothing of the chunk.
func TestChunkOfAnotherLengthIsTold(t *testing.T) {
	tv := newVault(t)
	ids := tv.version("v1", someChunks(1, 10, 1000))
	marked := 0
	wrong := func(ctx context.Context, record []byte, visit Visit) error {
		if marked++; marked > 10 {
			return errors.New("again and again")
		}
		_, err := visit(ids[3], 1_000_000)
		return errors.Join(err, flat(ctx, record, visit))
	}
	c, err := tv.Check(t.Context(), CheckOptions{Mark: wrong})
	if err != nil || len(c.Problems) != 1 || c.Problems[0].Version != key("v1") || !errors.Is(c.Problems[0].Err, ErrLost) || len(c.Lost) > 0 {
		t.Errorf("checked %+v, %v", c, err)
	}
	r, err := tv.Repair(t.Context(), RepairOptions{Mark: wrong})
	if err != nil || len(r.Problems) != 1 || r.Found+len(r.Lost) > 0 {
		t.Errorf("repaired %+v, %v", r, err)
	}
	tv.clean()
}

func TestRebuildIndexMendsIt(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 40, 1000)
	ids := tv.version("v1", chunks[:20])
	ids = append(ids, tv.version("v2", chunks[20:])...)
	l, _, err := tv.locate(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	stale := l
	stale.frame.Chunk = ID{1}
	unknown := l
	unknown.pack, unknown.frame.Chunk = 77, ID{2}
	wrong := l
	wrong.num, wrong.frame.Chunk = 3, ids[5]
	for _, l := range []location{stale, unknown, wrong} {
		if err := tv.index.enterChunk(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := tv.index.removeChunks(1, ids[20:25]); err != nil {
		t.Fatal(err)
	}
	if c := tv.check(CheckOptions{}); len(c.Problems) != 2 || len(c.Lost) != 5 {
		t.Errorf("checked %+v", c)
	}
	if n, err := tv.RebuildIndex(t.Context(), nil); n != 2 || err != nil {
		t.Errorf("%d packs, %v", n, err)
	}
	for _, id := range []ID{{1}, {2}} {
		if _, found, err := tv.index.find(id); found || err != nil {
			t.Errorf("a stale entry stays, %v", err)
		}
	}
	tv.uncached(ids, chunks)
	tv.clean()
	tv.quiet()
}

func TestUnmountedPlaceIsNotTakenForAnEmptyOne(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 10, 1000)
	ids := tv.version("v1", chunks)
	aside := tv.vaultDir() + " aside"
	if err := os.Rename(tv.vaultDir(), aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tv.vaultDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if c, err := tv.Check(t.Context(), CheckOptions{Mark: flat}); err == nil || len(c.Lost) > 0 {
		t.Errorf("check: %+v, %v", c, err)
	}
	if r, err := tv.Repair(t.Context(), RepairOptions{Mark: flat}); err == nil || len(r.Lost) > 0 {
		t.Errorf("repair: %+v, %v", r, err)
	}
	if c, err := tv.Collect(t.Context(), CollectOptions{Mark: flat}); err == nil || c.Dropped > 0 {
		t.Errorf("collect: %+v, %v", c, err)
	}
	if err := os.Remove(tv.vaultDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, tv.vaultDir()); err != nil {
		t.Fatal(err)
	}
	tv.uncached(ids, chunks)
}
