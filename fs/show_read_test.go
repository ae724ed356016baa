package fs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRandomReadsReturnTheRightBytes(t *testing.T) {
	_, dir := mounted(t, "hostile")
	seed := rand.Uint64()
	t.Log("seed", seed)
	var wg sync.WaitGroup
	for _, name := range []string{"big", "sliced"} {
		want := hostileTree().child(name).content()
		for i := range uint64(4) {
			wg.Go(func() { randomReads(t, filepath.Join(dir, name), want, rand.New(rand.NewPCG(seed, i))) })
		}
	}
	wg.Wait()
}

func randomReads(t *testing.T, path string, want []byte, r *rand.Rand) {
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	buf := make([]byte, 3<<20)
	for range 60 {
		off := r.IntN(len(want) + 1000)
		n := 1 + r.IntN(1<<r.IntN(21))
		got, err := f.ReadAt(buf[:n], int64(off))
		end := min(off+n, len(want))
		if off = min(off, len(want)); !bytes.Equal(buf[:got], want[off:end]) {
			t.Errorf("%s: %d bytes at %d differ, %v", path, n, off, err)
			return
		}
		if r.IntN(10) == 0 {
			unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		}
	}
}

func TestDirectReads(t *testing.T) {
	_, dir := mounted(t, "hostile")
	want := hostileTree().child("big").content()
	fd, err := unix.Open(filepath.Join(dir, "big"), unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "big")
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestHolesAreFound(t *testing.T) {
	_, dir := mounted(t, "hostile")
	const data, end = 5 << 30, 5<<30 + 128<<10
	tests := []struct {
		file   string
		off    int64
		whence int
		want   int64
		err    error
	}{
		{"sparse", 0, unix.SEEK_DATA, data, nil},
		{"sparse", 0, unix.SEEK_HOLE, 0, nil},
		{"sparse", data + 1, unix.SEEK_DATA, data + 1, nil},
		{"sparse", data, unix.SEEK_HOLE, end, nil},
		{"sparse", end, unix.SEEK_DATA, 0, unix.ENXIO},
		{"sparse", end + 5, unix.SEEK_HOLE, end + 5, nil},
		{"sparse", 10 << 30, unix.SEEK_HOLE, 0, unix.ENXIO},
		{"sparse", -1, unix.SEEK_DATA, 0, unix.ENXIO},
		{"big", 0, unix.SEEK_HOLE, 9<<20 + 123, nil},
		{"big", 777, unix.SEEK_DATA, 777, nil},
		{"empty", 0, unix.SEEK_DATA, 0, unix.ENXIO},
		{"sliced", 1, unix.SEEK_DATA, 512, nil},
		{"sliced", 512, unix.SEEK_HOLE, 1024, nil},
		{"sliced", 3 << 20, unix.SEEK_DATA, 3<<20 + 512, nil},
	}
	for _, tt := range tests {
		f, err := os.Open(filepath.Join(dir, tt.file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := unix.Seek(int(f.Fd()), tt.off, tt.whence)
		if f.Close(); !errors.Is(err, tt.err) || err == nil && got != tt.want {
			t.Errorf("%s: seek %d from %d: %d, %v, not %d, %v", tt.file, tt.whence, tt.off, got, err, tt.want, tt.err)
		}
	}
}

func TestSparseFileReadsAsZerosAndTakesLittle(t *testing.T) {
	_, dir := mounted(t, "hostile")
	f, err := os.Open(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Blocks != 128<<10/512 {
		t.Errorf("%d blocks, %v", st.Blocks, err)
	}
	want := hostileTree().child("sparse").parts[1].bytes()
	buf := make([]byte, 4<<20)
	for _, off := range []int64{0, 1 << 30, 5<<30 - 1<<20, 10<<30 - 4<<20} {
		clean := make([]byte, len(buf))
		if at := 5<<30 - off; at > 0 && at < int64(len(buf)) {
			copy(clean[at:], want)
		}
		if n, err := f.ReadAt(buf, off); n != len(buf) || err != nil || !bytes.Equal(buf, clean) {
			t.Errorf("%d bytes at %d differ, %v", n, off, err)
		}
	}
}

func TestBlocksAreThoseOfTheDataWithoutTheHoles(t *testing.T) {
	_, dir := mounted(t, "hostile")
	for _, name := range []string{"big", "sliced"} {
		data := uint64(0)
		for _, p := range hostileTree().child(name).parts {
			if p.seed != 0 {
				data += p.n
			}
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, name), &st); err != nil || uint64(st.Blocks) != (data+511)/512 {
			t.Errorf("%s: %d blocks for %d bytes of data, %v", name, st.Blocks, data, err)
		}
	}
}
