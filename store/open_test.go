package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"yester/store/pack"
	"yester/store/place"
)

// packFilesOf lists the pack files of a vault.
func (tv *testVault) packPaths() []string {
	tv.t.Helper()
	paths, err := filepath.Glob(filepath.Join(tv.vaultDir(), "instances", machine, "packs", "*", "*"))
	if err != nil || len(paths) == 0 {
		tv.t.Fatalf("packs: %v, %v", paths, err)
	}
	return paths
}

func TestIndexIsMadeAnew(t *testing.T) {
	harm := map[string]func(t *testing.T, tv *testVault){
		"removed": func(t *testing.T, tv *testVault) {
			if err := os.RemoveAll(tv.indexDir()); err != nil {
				t.Fatal(err)
			}
		},
		"without its manifest's tables": func(t *testing.T, tv *testVault) {
			removeMatching(t, tv.indexDir(), "*.sst")
		},
		"garbage": func(t *testing.T, tv *testVault) {
			if err := os.WriteFile(filepath.Join(tv.indexDir(), "MANIFEST"), []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a byte flipped": func(t *testing.T, tv *testVault) {
			for _, f := range matching(t, tv.indexDir(), "*.sst") {
				flip(t, f, 100)
			}
		},
		"of another vault": func(t *testing.T, tv *testVault) {
			other := newVault(t)
			other.store("v1", WriterOptions{}, someChunks(9, 3, 100))
			other.reopen()
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(tv.indexDir()), os.CopyFS(tv.indexDir(), os.DirFS(other.indexDir()))); err != nil {
				t.Fatal(err)
			}
			other.open()
		},
	}
	for name, f := range harm {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			chunks := someChunks(5, 100, 10_000)
			ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
			if err := tv.Close(); err != nil {
				t.Fatal(err)
			}
			f(t, tv)
			tv.open()
			tv.holds(ids, chunks)
		})
	}
}

// After a kill nothing tells what the index's files should be but their own checksums: no byte of a table may be wrong unseen, and no wrong
// byte may end the process.
func TestEveryByteOfAnIndexTableCounts(t *testing.T) {
	tv := newVault(t)
	tv.store("v1", WriterOptions{}, someChunks(5, 300, 100))
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range matching(t, tv.indexDir(), "*.sst") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyTable(b, 1); err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 0x84
			if verifyTable(b, 1) == nil {
				t.Errorf("byte %d of %d is wrong and not missed", i, len(b))
			}
			b[i] ^= 0x84
			if i%16 == 0 && verifyTable(b[:i], 1) == nil {
				t.Errorf("cut off at %d of %d, and not missed", i, len(b))
			}
		}
	}
	tv.open()
}

func TestIndexOfAKilledDaemonIsMadeAnewIfDamaged(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(5, 100, 10_000)
	ids, _ := tv.store("v1", WriterOptions{Encoding: pack.LZ4}, chunks)
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(tv.indexDir(), cleanFile)); err != nil {
		t.Fatal(err)
	}
	for _, f := range matching(t, tv.indexDir(), "*.sst") {
		flip(t, f, 100)
	}
	tv.open()
	tv.holds(ids, chunks)
	if !strings.Contains(tv.log.String(), "made anew") {
		t.Errorf("it is not told: %s", tv.log)
	}
}

func matching(t *testing.T, dir, glob string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s in %s: %v, %v", glob, dir, files, err)
	}
	return files
}

func removeMatching(t *testing.T, dir, glob string) {
	t.Helper()
	for _, f := range matching(t, dir, glob) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(t *testing.T, file string, at int64) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 4
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownPacksAreEntered(t *testing.T) {
	tv := newVault(t)
	old := filepath.Join(tv.dir, "old index")
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(old, os.DirFS(tv.indexDir())); err != nil {
		t.Fatal(err)
	}
	tv.open()
	chunks := someChunks(6, 30, 10_000)
	ids, _ := tv.store("v1", WriterOptions{}, chunks)
	if err := errors.Join(tv.Close(), os.RemoveAll(tv.indexDir()), os.Rename(old, tv.indexDir())); err != nil {
		t.Fatal(err)
	}
	tv.open()
	tv.holds(ids, chunks)
	tv.quiet()
}

func TestChunksOfAMissingPackAreStoredAgain(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(7, 30, 10_000)
	ids, _ := tv.store("v1", WriterOptions{}, chunks)
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range tv.packPaths() {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	tv.open()
	if _, err := tv.Get(t.Context(), ids[0]); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	again, s := tv.store("v2", WriterOptions{}, chunks)
	if s.NewChunks != 30 {
		t.Errorf("stats %+v", s)
	}
	tv.holds(again, chunks)
}

func TestDamageIsReadAround(t *testing.T) {
	tv := newVault(t)
	chunks := someChunks(8, 100, 100_000)
	ids, _ := tv.store("v1", WriterOptions{}, chunks)
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range tv.packPaths() {
		flip(t, p, 3*pack.BlockSize+5)
	}
	tv.open()
	tv.holds(ids, chunks)
	if !strings.Contains(tv.log.String(), "read around damage") || tv.healed.Load() == 0 {
		t.Errorf("damage is not told: %s", tv.log)
	}
}

func TestTooMuchDamageIsErrCorrupt(t *testing.T) {
	tv := newVault(t)
	ids, _ := tv.store("v1", WriterOptions{}, someChunks(8, 1, 100))
	if err := tv.Close(); err != nil {
		t.Fatal(err)
	}
	p := tv.packPaths()[0]
	for _, block := range []int64{1, 2, 3} { // the data block and both of parity
		flip(t, p, block*pack.BlockSize+5)
	}
	tv.open()
	_, err := tv.Get(t.Context(), ids[0])
	var c *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &c) || c.Pack.String() != filepath.Base(p) {
		t.Errorf("got %v", err)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	damage := func(glob string) func(t *testing.T, tv *testVault) {
		return func(t *testing.T, tv *testVault) {
			for _, f := range matching(t, tv.vaultDir(), glob) {
				if err := os.WriteFile(f, []byte("{}"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tests := map[string]struct {
		harm func(t *testing.T, tv *testVault)
		want error
		says string
	}{
		"no vault":       {func(t *testing.T, tv *testVault) { removeMatching(t, tv.vaultDir(), "vault.json*") }, ErrNotFound, "vault.json"},
		"damaged":        {damage("vault.json*"), ErrCorrupt, "vault.json"},
		"no key":         {func(t *testing.T, tv *testVault) { removeMatching(t, tv.vaultDir(), "keys/*") }, ErrNoKey, "put back"},
		"damaged key":    {damage("keys/*"), ErrNoKey, "put back"},
		"another's key":  {otherKey, ErrNoKey, "opens this vault"},
		"unknown format": {newerFormat, ErrFormat, "format 7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			if err := tv.Close(); err != nil {
				t.Fatal(err)
			}
			saved := filepath.Join(tv.dir, "saved")
			if err := os.CopyFS(saved, os.DirFS(tv.vaultDir())); err != nil {
				t.Fatal(err)
			}
			test.harm(t, tv)
			_, err := Open(t.Context(), tv.options())
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v saying %q", err, test.want, test.says)
			}
			if err := errors.Join(os.RemoveAll(tv.vaultDir()), os.Rename(saved, tv.vaultDir())); err != nil {
				t.Fatal(err)
			}
			tv.open()
		})
	}
}

// What is said of places of different vaults is the same each time.
func TestOfDifferentVaultsTheFirstPlaceIsNamed(t *testing.T) {
	var all []seenPlace
	for _, name := range []string{"a", "b", "c", "d"} {
		dir, err := place.NewDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, seenPlace{place: dir, desc: description{Vault: name}})
	}
	for range 20 {
		if _, err := ofOneVault(all, ""); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), all[0].place.String()+" and others") {
			t.Fatalf("got %v", err)
		}
	}
}

func otherKey(t *testing.T, tv *testVault) {
	removeMatching(t, tv.vaultDir(), "keys/*")
	other := newVault(t)
	if err := os.RemoveAll(filepath.Join(tv.vaultDir(), "keys")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(tv.vaultDir(), "keys"), os.DirFS(filepath.Join(other.vaultDir(), "keys"))); err != nil {
		t.Fatal(err)
	}
}

func newerFormat(t *testing.T, tv *testVault) {
	d := tv.desc
	d.Format = 7
	if err := writeSmall(t.Context(), tv.place, vaultFile, "vault", d); err != nil {
		t.Fatal(err)
	}
}

func TestOneOfTwoCopiesIsEnough(t *testing.T) {
	for _, glob := range []string{"vault.json", "vault.json.copy", "keys/*.copy", "keys/????????????????"} {
		t.Run(glob, func(t *testing.T) {
			tv := newVault(t)
			if err := tv.Close(); err != nil {
				t.Fatal(err)
			}
			for _, f := range matching(t, tv.vaultDir(), glob) {
				flip(t, f, 60)
			}
			tv.open()
		})
	}
}

func TestInitDoesNotOverwrite(t *testing.T) {
	tv := newVault(t)
	if err := Init(t.Context(), tv.options()); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
}

func TestIndexOpenElsewhereIsErrLocked(t *testing.T) {
	tv := newVault(t)
	if _, err := Open(t.Context(), tv.options()); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

func TestFullAndReadOnlyPlacesAreTold(t *testing.T) {
	for err, want := range map[error]error{syscall.ENOSPC: ErrNoSpace, syscall.EDQUOT: ErrNoSpace, syscall.EROFS: ErrReadOnly} {
		m := place.NewMem(1)
		o := Options{Places: []place.Place{m}, Reserve: 1}
		if err := Init(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		v, openErr := Open(t.Context(), o)
		if openErr != nil {
			t.Fatal(openErr)
		}
		w, _ := v.Writer(machine, WriterOptions{})
		if _, _, err := w.Put(t.Context(), pack.KindFile, []byte("something")); err != nil {
			t.Fatal(err)
		}
		m.FailWrites(err)
		if got := w.Commit(t.Context(), key("v1"), nil); !errors.Is(got, want) {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
		if err := errors.Join(w.Close(), v.Close()); err != nil {
			t.Error(err)
		}
		if len(v.Versions(machine)) != 0 {
			t.Error("committed")
		}
	}
}

func TestReserveIsKeptFree(t *testing.T) {
	tv := newVault(t)
	w := tv.writer(WriterOptions{})
	defer w.Close()
	free, _, err := tv.place.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tv.o.Reserve = free + 1<<30
	if _, _, err := w.Put(t.Context(), pack.KindFile, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), key("v1"), nil); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "reserve") {
		t.Errorf("got %v", err)
	}
}

// What a pack being written takes is not there for another one that is written at the same time.
func TestReserveIsKeptFreeOfPacksBeingWritten(t *testing.T) {
	sv := newSpreadVault(t, shape{1, 0})
	slow := &stalling{Mem: sv.mems[0]}
	sv.reopenWith(slow)
	free, _, err := slow.Space(t.Context())
	must(t, err)
	sv.o.Reserve = free - 3<<20 // one pack is two
	w, err := sv.Writer(machine, WriterOptions{Workers: 2})
	must(t, err)
	end := slow.stall()
	for i, p := range []*packer{w.packers[0], w.packers[1]} {
		must(t, p.append(pack.Frame{Chunk: ID{byte(i)}, Kind: pack.KindFile, Raw: 2 << 20}, make([]byte, 2<<20)))
		p.mu.Lock()
		err = errors.Join(err, p.writeFilling())
		p.mu.Unlock()
	}
	must(t, err)
	for w.err.get() == nil { // of the second one
		time.Sleep(time.Millisecond)
	}
	end()
	if err := w.Flush(t.Context()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	must(t, w.Close())
	if left, _, err := slow.Space(t.Context()); err != nil || left < sv.o.Reserve {
		t.Errorf("%d bytes of the reserve are taken, %v", sv.o.Reserve-left, err)
	}
	if n := sv.underway.Load(); n != 0 {
		t.Errorf("%d bytes are taken for being written", n)
	}
}

// A kill may leave the entries of chunks in the index, and not that of their pack. Their number must not come to be that of another.
func TestNumbersOfPacksAreGivenOnce(t *testing.T) {
	for range 10 { // packs are entered in any order
		tv := newVault(t)
		chunks := someChunks(newSeed(t), 60, 10_000)
		var ids []ID
		last := map[string]uint32{} // by version
		for i, version := range []string{"v1", "v2", "v3"} {
			some, _ := tv.store(version, WriterOptions{}, chunks[20*i:20*(i+1)])
			ids = append(ids, some...)
			l, p, err := tv.lookUp(some[0])
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			last[version] = l.pack
		}
		err := tv.index.db.Update(func(txn *badger.Txn) (err error) {
			for _, version := range []string{"v2", "v3"} {
				err = errors.Join(err, txn.Delete(packKey(last[version])), txn.Delete(useKey(last[version])))
			}
			for _, id := range ids[40:] {
				err = errors.Join(err, txn.Delete(chunkKey(&id)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		tv.reopen()
		tv.holds(ids, chunks)
		for version, number := range last {
			if l, _, err := tv.lookUp(ids[20*int(version[1]-'1')]); err != nil || version != "v1" && l.pack <= last["v3"] {
				t.Errorf("%s was in pack %d and is in %d, %v", version, number, l.pack, err)
			}
		}
	}
}

// What was written before a sync must not be left to the kernel: of several tables in memory only one is being filled.
func TestSyncOfTheIndexIsOfAllItsLogs(t *testing.T) {
	tv := newVault(t)
	var st unix.Statfs_t
	if err := unix.Statfs(tv.indexDir(), &st); err != nil || st.Type == unix.TMPFS_MAGIC {
		t.Skipf("on tmpfs nothing is written, %v", err)
	}
	tv.store("v1", WriterOptions{}, someChunks(1, 1, 100))
	for range 5 {
		w := tv.index.db.NewWriteBatch()
		for i := range uint32(20_000) {
			id := ID{byte(i), byte(i >> 8), byte(i >> 16)}
			if err := w.Set(chunkKey(&id), (&location{pack: reserved - 1, num: i}).append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := tv.index.sync(); err != nil {
			t.Fatal(err)
		}
		logs, dirty := dirtyLogs(t, tv.indexDir())
		if logs == 0 || dirty > 0 {
			t.Errorf("%d kB of %d logs are not on the disk", dirty, logs)
		}
	}
}

// dirtyLogs tells how many logs of badger are mapped, and how many kB of them the kernel has not written.
func dirtyLogs(t *testing.T, dir string) (logs, dirty int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case strings.Contains(f[0], "-"):
			if ours = strings.HasPrefix(f[len(f)-1], dir) && strings.HasSuffix(f[len(f)-1], ".mem"); ours {
				logs++
			}
		case ours && strings.HasSuffix(f[0], "_Dirty:"):
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			dirty += n
		}
	}
	return logs, dirty
}
