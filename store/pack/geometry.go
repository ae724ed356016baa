package pack

import "fmt"

const (
	// BlockSize is the unit of checksums and of healing, in bytes.
	BlockSize = 4096
	// MaxData is the longest data region, in bytes.
	MaxData = 256 << 20
	// MaxFile is the most bytes that data and parity shards may come to.
	MaxFile = 1 << 30
	// AllShards is the Shard of a file that holds the whole pack.
	AllShards = 255

	headerSize  = 64
	payloadSize = BlockSize - headerSize
)

// Shape says how a pack's data region is protected: Data+Parity shards, each as long as the next multiple of
// BlockSize.
type Shape struct {
	Data   int `json:"data"`
	Parity int `json:"parity"`
}

// Check returns nil for a shape that a pack can have: at least one data shard, and at most 255 shards in all. Without
// parity, damage is found but not healed.
func (s Shape) Check() error {
	if s.Data < 1 || s.Parity < 0 || s.Data > AllShards || s.Data+s.Parity > AllShards {
		return fmt.Errorf("shape of %d data and %d parity shards: want 1 or more and 0 or more, at most %d together",
			s.Data, s.Parity, AllShards)
	}
	return nil
}

// Shards is the number of shards, data and parity.
func (s Shape) Shards() int { return s.Data + s.Parity }

// Blocks are numbered through the shards: block b is row b%S of shard b/S, where S is ShardBlocks. So the blocks of
// the data region are 0 to B-1, B being DataBlocks; those from B to Data*S are virtual, all zero; and those from
// Data*S on are parity.

// DataBlocks is the number of blocks the data region takes.
func (h *Header) DataBlocks() int { return ceil(int(h.DataLen), BlockSize) }

// ShardBlocks is the number of blocks of each shard, and so the number of rows.
func (h *Header) ShardBlocks() int { return ceil(h.DataBlocks(), h.Shape.Data) }

// ParityBlocks is the number of blocks of all parity shards.
func (h *Header) ParityBlocks() int { return h.Shape.Parity * h.ShardBlocks() }

// Blocks is the number of blocks of all shards, virtual ones included: the numbers a block can have.
func (h *Header) Blocks() int { return h.Shape.Shards() * h.ShardBlocks() }

// MetaBlocks is the number of meta blocks at each end of the file.
func (h *Header) MetaBlocks() int { return int(h.Count) }

// FileSize is the size of this file of the pack, in bytes.
func (h *Header) FileSize() int64 {
	return int64(2*h.MetaBlocks()+h.storedBlocks()) * BlockSize
}

// BlockOffset is where in this file block b begins, or false if the file does not hold it: it is virtual, or of
// another shard.
func (h *Header) BlockOffset(b int) (int64, bool) {
	pos, ok := h.position(b)
	return int64(h.MetaBlocks()+pos) * BlockSize, ok
}

// storedBlocks is the number of blocks between the meta blocks.
func (h *Header) storedBlocks() int {
	if h.Shard != AllShards {
		return h.ShardBlocks()
	}
	return h.DataBlocks() + h.ParityBlocks()
}

// position is the place of block b among the stored ones.
func (h *Header) position(b int) (int, bool) {
	if h.Shard != AllShards {
		first := int(h.Shard) * h.ShardBlocks()
		return b - first, b >= first && b < first+h.ShardBlocks()
	}
	if b < h.DataBlocks() {
		return b, b >= 0
	}
	return b - h.virtualBlocks(), b >= h.firstParity() && b < h.Blocks()
}

// firstParity is the number of the first block of parity.
func (h *Header) firstParity() int { return h.Shape.Data * h.ShardBlocks() }

func (h *Header) virtualBlocks() int { return h.firstParity() - h.DataBlocks() }

func (h *Header) virtual(b int) bool { return b >= h.DataBlocks() && b < h.firstParity() }

// sums is the number of checksums in the payload.
func (h *Header) sums() int { return h.DataBlocks() + h.ParityBlocks() }

// metaBlocks is the Count that the other fields call for.
func (h *Header) metaBlocks() int {
	return max(1, ceil(int(h.TableLen)+4*h.sums(), payloadSize))
}

// check says whether the header is one that a Builder can write.
func (h *Header) check() error {
	if err := h.Shape.Check(); err != nil {
		return err
	}
	switch {
	case h.Shard != AllShards && int(h.Shard) >= h.Shape.Shards():
		return fmt.Errorf("shard %d of %d", h.Shard, h.Shape.Shards())
	case h.DataLen > MaxData, h.Frames > MaxFrames, h.Frames > 0 && h.DataLen < Overhead, h.Frames == 0 && h.DataLen != 0:
		return fmt.Errorf("%d chunks in %d bytes", h.Frames, h.DataLen)
	case h.TableLen != h.Frames*lineSize+Overhead:
		return fmt.Errorf("table of %d bytes for %d frames", h.TableLen, h.Frames)
	case h.Blocks() > MaxFile/BlockSize:
		return fmt.Errorf("%d blocks", h.Blocks())
	case h.MetaBlocks() != h.metaBlocks() || h.Index >= h.Count:
		return fmt.Errorf("meta block %d of %d, want %d", h.Index, h.Count, h.metaBlocks())
	}
	return nil
}

func ceil(n, unit int) int { return (n + unit - 1) / unit }
