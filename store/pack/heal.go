package pack

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/reedsolomon"
)

// A Source is one file of a pack, and what ReadMeta said of it.
type Source struct {
	R    io.ReaderAt
	Meta *Meta
}

func (s Source) reader() *blockReader {
	return &blockReader{r: s.R, size: s.Meta.Header.FileSize() + s.Meta.Shift}
}

// Salvage returns all of the file as far as it can be read. Zeros stand for what the medium does not give, and fail their checksums as that would. Any other
// error says nothing about the bytes, and is returned.
func (s Source) Salvage() ([]byte, error) {
	f := s.reader()
	b := make([]byte, f.size)
	f.read(b, 0)
	return b, f.lost
}

// Sources are files of one pack: one of all shards, or files of single shards, in any number and order. What one has
// not intact is taken from another, and what none has is computed from parity.
type Sources []Source

// ReadData returns bytes [off, off+n) of the data region, checked against their checksums, and the numbers of the
// blocks that had to be computed. The error is ErrDamaged if more is lost than parity covers, and that of a file that
// could not be read, if that file is needed.
func (s Sources) ReadData(off, n uint32) (data []byte, healed []int, err error) {
	p, err := s.open()
	if err != nil {
		return nil, nil, err
	}
	h := &p.meta.Header
	if off > h.DataLen || n > h.DataLen-off {
		return nil, nil, fmt.Errorf("read data of pack %v: bytes %d to %d of %d", h.Pack, off, uint64(off)+uint64(n), h.DataLen)
	}
	if n == 0 {
		return nil, nil, nil
	}
	first := int(off) / BlockSize
	buf := make([]byte, (ceil(int(off)+int(n), BlockSize)-first)*BlockSize)
	healed = p.load(buf, first)
	if err := p.heal(buf, first, healed); err != nil {
		return nil, nil, fmt.Errorf("read data of pack %v: %w", h.Pack, err)
	}
	return buf[int(off)-first*BlockSize:][:n], healed, nil
}

// Repair returns the whole pack, which gives the bytes of any of its files, and the numbers of the blocks that had to
// be computed because no source had them. Errors are as for ReadData. It takes memory for all shards.
func (s Sources) Repair() (p *Built, healed []int, err error) {
	f, err := s.open()
	if err != nil {
		return nil, nil, err
	}
	h := f.meta.Header
	h.Shard = AllShards
	grid, healed, err := f.rows(0, h.ShardBlocks())
	if err != nil {
		return nil, nil, fmt.Errorf("repair pack %v: %w", h.Pack, err)
	}
	data := h.firstParity() * BlockSize
	return &Built{header: h, data: grid[:data:data], parity: grid[data:], payload: f.meta.payload}, healed, nil
}

// openPack is the sources while they are read.
type openPack struct {
	meta  *Meta // any of them: they agree in geometry and payload
	metas []*Meta
	files []*blockReader
}

func (s Sources) open() (*openPack, error) {
	if len(s) == 0 {
		return nil, errors.New("no file of the pack")
	}
	p := &openPack{meta: s[0].Meta}
	for _, f := range s {
		if !f.Meta.Agrees(p.meta) {
			return nil, fmt.Errorf("files of pack %v do not belong together: %w", p.meta.Header.Pack, ErrDamaged)
		}
		p.metas = append(p.metas, f.Meta)
		p.files = append(p.files, f.reader())
	}
	return p, nil
}

// Agrees says whether two files are of the same pack and say the same of it, whichever shards they hold.
func (m *Meta) Agrees(o *Meta) bool {
	h, want := m.Header, o.Header
	h.Shard, want.Shard = 0, 0
	return h == want && slices.Equal(m.payload, o.payload)
}

// load reads blocks from first on into buf, from whichever source has them intact, and returns the numbers of those
// that none has.
func (p *openPack) load(buf []byte, first int) (bad []int) {
	for b := first; b < first+len(buf)/BlockSize; b++ {
		if p.meta.Header.virtual(b) {
			clear(buf[(b-first)*BlockSize:][:BlockSize])
			continue
		}
		bad = append(bad, b)
	}
	for i, f := range p.files {
		m := p.metas[i]
		bad = f.gather(buf, first, bad, m.Header.BlockOffset, m.CheckBlock)
		if m.Shift == 0 {
			continue
		}
		bad = f.gather(buf, first, bad, func(b int) (int64, bool) {
			off, ok := m.Header.BlockOffset(b)
			return off + m.Shift, ok
		}, m.CheckBlock)
	}
	return bad
}

// healBytes is how much memory heal may take for the rows it heals together.
const healBytes = 8 << 20

// heal computes the bad blocks of buf, which begins with block first.
func (p *openPack) heal(buf []byte, first int, bad []int) error {
	size := p.meta.Header.ShardBlocks()
	atOnce := max(1, healBytes/BlockSize/p.meta.Header.Shape.Shards())
	for _, r := range rowRuns(bad, size, atOnce) {
		grid, _, err := p.rows(r.from, r.to)
		if err != nil {
			return err
		}
		for _, b := range bad {
			if row := b % size; row >= r.from && row < r.to {
				at := b/size*(r.to-r.from) + row - r.from
				copy(buf[(b-first)*BlockSize:][:BlockSize], grid[at*BlockSize:])
			}
		}
	}
	return nil
}

type rowRun struct{ from, to int }

// rowRuns returns the rows of the blocks in runs of neighbours, of at most limit rows.
func rowRuns(blocks []int, shardBlocks, limit int) (runs []rowRun) {
	rows := make([]int, len(blocks))
	for i, b := range blocks {
		rows[i] = b % shardBlocks
	}
	slices.Sort(rows)
	for _, r := range slices.Compact(rows) {
		if n := len(runs); n > 0 && runs[n-1].to == r && r-runs[n-1].from < limit {
			runs[n-1].to++
			continue
		}
		runs = append(runs, rowRun{r, r + 1})
	}
	return runs
}

// rows returns rows [from, to) of all shards, shard after shard, whole, and the numbers of the blocks that were
// computed.
func (p *openPack) rows(from, to int) (grid []byte, healed []int, err error) {
	h := &p.meta.Header
	grid = make([]byte, h.Shape.Shards()*(to-from)*BlockSize)
	if from == to {
		return grid, nil, nil
	}
	lost := make([][]int, to-from) // by row: the shards whose block is bad
	for shard, part := range split(grid, h.Shape.Shards()) {
		bad := p.load(part, shard*h.ShardBlocks()+from)
		for _, b := range bad {
			row := b%h.ShardBlocks() - from
			lost[row] = append(lost[row], shard)
		}
		healed = append(healed, bad...)
	}
	if len(healed) == 0 {
		return grid, nil, nil
	}
	return grid, healed, p.rebuildRows(grid, from, lost)
}

// rebuildRows computes the lost blocks of a grid whose first row is from, and checks them.
func (p *openPack) rebuildRows(grid []byte, from int, lost [][]int) error {
	h := &p.meta.Header
	codec, err := newCodec(h.Shape)
	if err != nil {
		return err
	}
	for i, shards := range lost {
		if len(shards) == 0 {
			continue
		}
		row := gridRow(grid, h.Shape.Shards(), i, len(lost))
		if len(shards) > h.Shape.Parity {
			return failed(fmt.Sprintf("row %d: %d blocks lost, parity covers %d", from+i, len(shards), h.Shape.Parity), p.files...)
		}
		if bad := p.rebuildRow(codec, row, from+i, shards); bad >= 0 && !p.rebuildWithout(codec, row, from+i, shards) {
			return failed(fmt.Sprintf("row %d: block of shard %d is not what it was", from+i, bad), p.files...)
		}
	}
	return nil
}

// rebuildRow computes the lost blocks of a row, and returns the first that is not what it was, or -1.
func (p *openPack) rebuildRow(codec reedsolomon.Encoder, row [][]byte, number int, lost []int) int {
	for _, s := range lost {
		row[s] = row[s][:0]
	}
	err := rebuild(codec, row)
	for _, s := range lost {
		row[s] = row[s][:BlockSize]
	}
	for _, s := range lost {
		if err != nil || !p.meta.CheckBlock(s*p.meta.Header.ShardBlocks()+number, row[s]) {
			return s
		}
	}
	return -1
}

// rebuildWithout is rebuildRow where one of the other blocks is not what it was either, though its checksum is right: it does without each in turn, if there is one to spare.
func (p *openPack) rebuildWithout(codec reedsolomon.Encoder, row [][]byte, number int, lost []int) bool {
	h := &p.meta.Header
	if len(lost) == h.Shape.Parity {
		return false
	}
	for s := range row {
		if slices.Contains(lost, s) || h.virtual(s*h.ShardBlocks()+number) {
			continue
		}
		kept := slices.Clone(row[s])
		if p.rebuildRow(codec, row, number, append(slices.Clip(lost), s)) < 0 {
			return true
		}
		copy(row[s], kept)
	}
	return false
}

// gridRow returns the blocks of row i of a grid of the given number of rows, in its memory.
func gridRow(grid []byte, shards, i, rows int) [][]byte {
	row := make([][]byte, shards)
	for s := range row {
		at := (s*rows + i) * BlockSize
		row[s] = grid[at : at+BlockSize : at+BlockSize]
	}
	return row
}
