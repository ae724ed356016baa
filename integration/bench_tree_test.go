package integration

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A benchTree is what is backed up in benchmarks: many small files, sources, an image of a disk, media that do not shrink, and a long text. It is the same for the
// same scale; at 1 it has 340,000 files and 6.4 GiB.
type benchTree struct {
	dir          string
	small, media int
	image, text  int64
}

const (
	smallMean, smallInFolder = 5000, 100
	imageBlock               = mib
)

func makeBenchTree(b testing.TB, dir string, scale float64) *benchTree {
	b.Helper()
	t := &benchTree{
		dir: dir, small: int(300_000 * scale), media: max(1, int(130*scale)),
		image: int64(2048*scale) * mib, text: int64(512*scale) * mib,
	}
	makeFiles(b, filepath.Join(dir, "small"), 1, t.small, smallInFolder, smallMean)
	makeFiles(b, filepath.Join(dir, "sources"), 3, int(40_000*scale), 12, 9000)
	must(b, os.MkdirAll(filepath.Join(dir, "media"), 0o755))
	sizes := rand.New(newStream(5))
	for i := range t.media {
		makeBig(b, fmt.Sprintf("%s/media/%03d.jpg", dir, i), newStream(byte(10+i)), int64(1+sizes.IntN(30))*mib)
	}
	makeBig(b, filepath.Join(dir, "text"), newProse(6), t.text)
	t.makeImage(b)
	return t
}

// makeImage makes a file like the disk of a virtual machine: of each four MiB one was never written, and one is compressed already.
func (t *benchTree) makeImage(b testing.TB) {
	b.Helper()
	f, err := os.Create(filepath.Join(t.dir, "image"))
	must(b, err)
	defer f.Close()
	must(b, f.Truncate(t.image))
	text, dense := newProse(7), newStream(8)
	buf := make([]byte, imageBlock)
	for off := int64(0); off < t.image; off += imageBlock {
		switch off / imageBlock % 4 {
		case 0:
			continue
		case 1:
			_, _ = dense.Read(buf)
		default:
			_, _ = text.Read(buf)
		}
		_, err := f.WriteAt(buf, off)
		must(b, err)
	}
	must(b, f.Sync())
}

// change makes a day's change, another one for each day: 1 % of the small files get other bytes, pages of 4 KiB here and there in the image
// are overwritten, and a line is inserted in the middle of the long text.
func (t *benchTree) change(b testing.TB, day int) {
	b.Helper()
	rnd := rand.New(newStream(byte(100 + day)))
	p := newProse(byte(200 + day))
	buf := make([]byte, 2*smallMean)
	for range t.small / 100 {
		i := rnd.IntN(t.small)
		size := 1 + rnd.IntN(len(buf))
		_, _ = p.Read(buf[:size])
		must(b, os.WriteFile(smallFile(t.dir, i), buf[:size], 0o644))
	}
	t.overwrite(b, rnd, p)
	t.insert(b, fmt.Sprintf("a line of day %d\n", day))
}

// smallFile is the path of a small file, as makeFiles makes it.
func smallFile(dir string, i int) string {
	folder := i / smallInFolder
	return fmt.Sprintf("%s/small/part-%02d/folder-%05d/file-%06d.txt", dir, folder%30, folder, i)
}

// overwrite overwrites a page in each 8 MiB of the image, in no order.
func (t *benchTree) overwrite(b testing.TB, rnd *rand.Rand, from io.Reader) {
	f, err := os.OpenFile(filepath.Join(t.dir, "image"), os.O_WRONLY, 0)
	must(b, err)
	defer f.Close()
	page := make([]byte, 4*kib)
	for range t.image / (8 * mib) {
		_, _ = from.Read(page)
		_, err := f.WriteAt(page, rnd.Int64N(t.image/int64(len(page)))*int64(len(page)))
		must(b, err)
	}
}

// insert writes the long text anew with a line more in the middle.
func (t *benchTree) insert(b testing.TB, line string) {
	path := filepath.Join(t.dir, "text")
	old, err := os.Open(path)
	must(b, err)
	defer old.Close()
	f, err := os.Create(path + ".new")
	must(b, err)
	defer f.Close()
	_, err = io.CopyN(f, old, t.text/2)
	must(b, err)
	_, err = f.WriteString(line)
	must(b, err)
	_, err = io.Copy(f, old)
	must(b, err)
	must(b, os.Rename(path+".new", path))
}
