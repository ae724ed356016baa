package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

// flat marks versions whose record is nothing but the ids of their chunks.
func flat(_ context.Context, record []byte, visit Visit) error {
	for id := range slices.Chunk(record, len(ID{})) {
		if _, err := visit(ID(id), -1); err != nil {
			return err
		}
	}
	return nil
}

func flatRecord(ids []ID) []byte {
	var b []byte
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// put stores chunks without committing them.
func (tv *testVault) put(w *Writer, chunks [][]byte) (ids []ID) {
	tv.t.Helper()
	for _, c := range chunks {
		id, _, err := w.Put(tv.t.Context(), pack.KindFile, c)
		if err != nil {
			tv.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// version stores chunks and commits them as a flat version.
func (tv *testVault) version(name string, chunks [][]byte) []ID {
	tv.t.Helper()
	w := tv.writer(WriterOptions{Encoding: pack.LZ4})
	ids := tv.put(w, chunks)
	if err := errors.Join(w.Commit(tv.t.Context(), key(name), flatRecord(ids)), w.Close()); err != nil {
		tv.t.Fatal(err)
	}
	return ids
}

func (tv *testVault) delete(name string) {
	tv.t.Helper()
	if err := tv.Delete(tv.t.Context(), key(name)); err != nil {
		tv.t.Fatal(err)
	}
}

func (tv *testVault) collect() Collected {
	tv.t.Helper()
	c, err := tv.Collect(tv.t.Context(), CollectOptions{Mark: flat})
	if err != nil {
		tv.t.Fatal(err)
	}
	return c
}

// lacks fails the test if one of the chunks is still there.
func (tv *testVault) lacks(ids []ID) {
	tv.t.Helper()
	tv.cache = newCache(1)
	for _, id := range ids {
		if _, err := tv.Get(tv.t.Context(), id); !errors.Is(err, ErrNotFound) {
			tv.t.Fatalf("chunk of a deleted version: %v", err)
		}
	}
}

func (tv *testVault) uncached(ids []ID, chunks [][]byte) {
	tv.t.Helper()
	tv.cache = newCache(1)
	tv.holds(ids, chunks)
}

func TestCollectDropsWhatNoVersionNeeds(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 60, 50_000)
	first := tv.version("v1", chunks[:30])
	second := tv.version("v2", chunks[30:])
	if c := tv.collect(); c.Dropped+c.Repacked+c.Written != 0 || c.Dead != 0 || c.Versions != 2 {
		t.Errorf("with all versions there: %+v", c)
	}
	tv.delete("v1")
	c := tv.collect()
	if c.Dropped != 1 || c.Freed == 0 || c.Dead != 0 {
		t.Errorf("collected %+v", c)
	}
	for range 2 {
		tv.uncached(second, chunks[30:])
		tv.lacks(first)
		tv.reopen()
	}
	if len(tv.packPaths()) != 1 {
		t.Error("the file stays")
	}
	tv.quiet()
}

func TestCollectRepacksSparsePacks(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 60, 50_000)
	tv.version("v1", chunks)
	few := tv.version("v2", chunks[:20])
	tv.delete("v1")
	before, err := tv.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := tv.collect()
	after, err := tv.Info(t.Context())
	if err != nil || c.Repacked != 1 || c.Written != 1 || c.Freed != int64(before.Stored-after.Stored) || c.Freed <= 0 {
		t.Errorf("collected %+v, %v", c, err)
	}
	if after.Dead != 0 || after.Chunks != 20 || after.Collected.IsZero() {
		t.Errorf("info %+v", after)
	}
	for range 2 {
		tv.uncached(few, chunks[:20])
		tv.lacks(idsAt(tv, chunks[20:]))
		tv.reopen()
	}
	tv.quiet()
}

func idsAt(tv *testVault, chunks [][]byte) (ids []ID) {
	for _, c := range chunks {
		ids = append(ids, tv.hash.id(c))
	}
	return ids
}

func TestCollectLeavesPacksThatAreMostlyLive(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 60, 50_000)
	tv.version("v1", chunks)
	most := tv.version("v2", chunks[:55])
	tv.delete("v1")
	if c := tv.collect(); c.Dropped+c.Repacked+c.Written != 0 || c.Dead == 0 {
		t.Errorf("collected %+v", c)
	}
	tv.reopen()
	info, err := tv.Info(t.Context())
	if err != nil || info.Dead == 0 || info.DeadRaw == 0 || info.Data+info.Parity != info.Stored || info.Raw < info.Data {
		t.Errorf("info %+v, %v", info, err)
	}
	tv.holds(most, chunks[:55])
}

func TestCollectMergesManySmallPacks(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, manySmall, 50_000)
	for i := range chunks {
		chunks[i] = append(chunks[i], make([]byte, 50_000-len(chunks[i]))...)
		w := tv.writer(WriterOptions{})
		ids := tv.put(w, chunks[i:i+1])
		if err := errors.Join(w.Commit(t.Context(), key(fmt.Sprint("v", i)), flatRecord(ids)), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if c := tv.collect(); c.Repacked != manySmall || c.Written != 1 || c.Freed <= 0 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(idsAt(tv, chunks), chunks)
	if c := tv.collect(); c.Repacked != 0 {
		t.Errorf("and again: %+v", c)
	}
}

func TestCollectSparesWhatAnOpenWriterPut(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 50_000)
	w := tv.writer(WriterOptions{})
	ids := tv.put(w, chunks)
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := tv.collect(); c.Dropped != 0 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(ids, chunks)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if c := tv.collect(); c.Dropped != 1 {
		t.Errorf("without a commit: %+v", c)
	}
	tv.lacks(ids)
}

// A writer that finds stored what only a deleted version had keeps it from being collected, whether it is found before gc, while it marks,
// or after.
func TestCollectSparesWhatAnOpenWriterFound(t *testing.T) {
	for _, when := range []string{"before", "during", "during, and is closed", "after"} {
		t.Run(when, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(1, 30, 50_000)
			tv.version("v1", chunks)
			keep := tv.version("v2", chunks[:2])
			w := tv.writer(WriterOptions{})
			var ids []ID
			commit := func() {
				if err := errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(ids)), w.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if when == "before" {
				ids = tv.put(w, chunks[5:15])
			}
			tv.delete("v1")
			marked := false
			_, err := tv.Collect(t.Context(), CollectOptions{Mark: func(ctx context.Context, record []byte, visit Visit) error {
				if !marked && strings.HasPrefix(when, "during") {
					ids = tv.put(w, chunks[5:15])
				}
				if !marked && strings.HasSuffix(when, "closed") {
					commit()
				}
				marked = true
				return flat(ctx, record, visit)
			}})
			if err != nil {
				t.Fatal(err)
			}
			if when == "after" {
				ids = tv.put(w, chunks[5:15])
			}
			if !strings.HasSuffix(when, "closed") {
				tv.collect()
				commit()
			}
			tv.collect()
			for range 2 {
				tv.uncached(ids, chunks[5:15])
				tv.uncached(keep, chunks[:2])
				tv.reopen()
			}
		})
	}
}

// What an open writer relies on may be moved, and is relied on where it is then.
func TestCollectSparesWhatAnOpenWriterFoundAndWasMoved(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 50_000)
	tv.version("v1", chunks)
	tv.version("v2", chunks[:2])
	tv.delete("v1")
	w := tv.writer(WriterOptions{})
	ids := tv.put(w, chunks[5:9])
	if c := tv.collect(); c.Repacked != 1 {
		t.Errorf("collected %+v", c)
	}
	tv.delete("v2")
	tv.holding.deleted = nil // it would be held for the writer, and all of it marked
	if c := tv.collect(); c.Dropped+c.Repacked != 0 {
		t.Errorf("collected again: %+v", c)
	}
	if err := errors.Join(w.Commit(t.Context(), key("v3"), flatRecord(ids)), w.Close()); err != nil {
		t.Fatal(err)
	}
	tv.collect()
	tv.uncached(ids, chunks[5:9])
}

// Two writers may store the same chunk, as neither can see what the other has not finished. Whichever copy the index knows must stay while one of
// them is open.
func TestCollectSparesWhatTwoWritersPut(t *testing.T) {
	for name, second := range map[string]int{"the first commits": 0, "the second commits": 1} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(1, 30, 50_000)
			w := []*Writer{tv.writer(WriterOptions{}), tv.writer(WriterOptions{})}
			ids := tv.put(w[0], chunks)
			tv.put(w[1], chunks)
			for i := range w {
				if err := w[i].Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			tv.collect()
			if err := w[1-second].Close(); err != nil {
				t.Fatal(err)
			}
			tv.collect()
			tv.collect()
			if err := errors.Join(w[second].Commit(t.Context(), key("v1"), flatRecord(ids)), w[second].Close()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				tv.uncached(ids, chunks)
				tv.collect()
			}
			if len(tv.packPaths()) != 1 {
				t.Error("both packs stay")
			}
			tv.clean()
		})
	}
}

// A backup takes over folders of its parent without putting them, and the parent may be deleted meanwhile.
func TestCollectSparesTheDeletedParentOfAnOpenWriter(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 50_000)
	w := tv.writer(WriterOptions{})
	ids := tv.version("v1", chunks)
	tv.delete("v1")
	if c := tv.collect(); c.Dropped != 0 {
		t.Errorf("collected %+v", c)
	}
	if err := errors.Join(w.Commit(t.Context(), key("v2"), flatRecord(ids)), w.Close()); err != nil {
		t.Fatal(err)
	}
	tv.collect()
	tv.uncached(ids, chunks)
	tv.delete("v2")
	if c := tv.collect(); c.Dropped != 1 {
		t.Errorf("in the end: %+v", c)
	}
	if len(tv.holding.deleted)+len(tv.holding.writers) != 0 {
		t.Error("versions are held for nobody")
	}
}

func TestCollectRemovesNothingInDoubt(t *testing.T) {
	doubt := errors.New("a page cannot be read")
	harm := map[string]struct {
		mark Mark
		harm func(tv *testVault)
		want error
	}{
		"a page is lost": {func(context.Context, []byte, Visit) error { return doubt }, func(*testVault) {}, doubt},
		"a record is damaged": {flat, func(tv *testVault) {
			if err := os.WriteFile(tv.vaultDir()+"/"+key("v2").file(), make([]byte, 20_000), 0o600); err != nil {
				tv.t.Fatal(err)
			}
		}, ErrCorrupt},
		"a record is gone": {flat, func(tv *testVault) {
			if err := os.Remove(tv.vaultDir() + "/" + key("v2").file()); err != nil {
				tv.t.Fatal(err)
			}
		}, os.ErrNotExist},
		"a stranger's record": {flat, func(tv *testVault) {
			if err := os.WriteFile(tv.vaultDir()+"/"+key("v7").file(), make([]byte, 20_000), 0o600); err != nil {
				tv.t.Fatal(err)
			}
		}, ErrCorrupt},
	}
	for name, h := range harm {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(1, 30, 50_000)
			tv.version("v1", chunks)
			tv.version("v2", chunks[:1])
			tv.delete("v1")
			h.harm(tv)
			if c, err := tv.Collect(t.Context(), CollectOptions{Mark: h.mark}); !errors.Is(err, h.want) || c.Dropped+c.Repacked != 0 {
				t.Errorf("%+v, %v", c, err)
			}
			tv.uncached(idsAt(tv, chunks), chunks)
		})
	}
}

// An index that has lost entries must not cost chunks: they are found in the pack that was about to go.
func TestCollectFindsWhatTheIndexHasLost(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 30, 50_000)
	ids := tv.version("v1", chunks)
	if err := tv.index.removeChunks(0, ids); err != nil {
		t.Fatal(err)
	}
	w := tv.writer(WriterOptions{})
	if err := errors.Join(w.Commit(t.Context(), key("v2"), flatRecord([]ID{{1}})), w.Close()); err != nil { // which is nowhere
		t.Fatal(err)
	}
	if c := tv.collect(); c.Dropped != 0 || c.Recovered != 30 || c.Missing != 1 {
		t.Errorf("collected %+v", c)
	}
	tv.uncached(ids, chunks)
}

func TestCollectIsDoneOnceAtATime(t *testing.T) {
	tv := newVault(t)
	tv.version("v1", someChunks(1, 1, 100))
	_, err := tv.Collect(t.Context(), CollectOptions{Mark: func(context.Context, []byte, Visit) error {
		_, err := tv.Collect(t.Context(), CollectOptions{Mark: flat})
		return err
	}})
	if !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

func TestCancelledCollectGoesOnLater(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(1, 40, 50_000)
	for i := range 4 {
		tv.version(fmt.Sprint("v", i), chunks[10*i:10*i+10])
	}
	for i := range 3 {
		tv.delete(fmt.Sprint("v", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := tv.Collect(ctx, CollectOptions{Mark: flat, Progress: func(step string, done, total int) {
		if step == "drop" && done == 1 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || c.Dropped != 1 {
		t.Errorf("cancelled: %+v, %v", c, err)
	}
	if c := tv.collect(); c.Dropped != 2 {
		t.Errorf("later: %+v", c)
	}
	tv.uncached(idsAt(tv, chunks[30:]), chunks[30:])
}

// disturbed is a place that lets something happen before a file is opened.
type disturbed struct {
	place.Place
	before func()
}

func (p *disturbed) Open(ctx context.Context, name string) (place.File, error) {
	if f := p.before; f != nil {
		p.before = nil
		f()
	}
	return p.Place.Open(ctx, name)
}

func TestReaderOfAMovedChunkLooksAgain(t *testing.T) {
	p := &disturbed{Place: place.NewMem(1)}
	v := openNew(t, Options{Places: []place.Place{p}, Log: slog.New(slog.DiscardHandler), Reserve: 1, Cache: 1})
	tv := &testVault{Vault: v, t: t}
	chunks := someChunks(1, 30, 50_000)
	gone := tv.version("v1", chunks)
	ids := tv.version("v2", chunks[:5])
	tv.delete("v1")
	p.before = func() {
		if c := tv.collect(); c.Repacked != 1 {
			t.Errorf("collected %+v", c)
		}
	}
	if b, err := v.Get(t.Context(), ids[0]); err != nil || !bytes.Equal(b, chunks[0]) {
		t.Errorf("moved while it was read: %v", err)
	}
	tv.delete("v2")
	p.before = func() {
		if c := tv.collect(); c.Dropped != 1 {
			t.Errorf("collected %+v", c)
		}
	}
	v.files.close()
	if _, err := v.Get(t.Context(), ids[1]); !errors.Is(err, ErrNotFound) {
		t.Errorf("dropped while it was read: %v", err)
	}
	tv.lacks(gone)
	if n := len(v.files.files); n > 0 {
		t.Errorf("%d packs are open, of none", n)
	}
}
