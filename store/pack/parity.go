package pack

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// newCodec returns the Reed-Solomon code of a shape: over GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1 (0x11D),
// parity shard p is the sum over the data shards c of shard c times the inverse of (Data+p) XOR c. Any Data of the
// shards give all others. One goroutine does the work, the caller's: it is faster than memory, and the caller counts
// threads.
func newCodec(shape Shape) (reedsolomon.Encoder, error) {
	if err := shape.Check(); err != nil {
		return nil, err
	}
	return reedsolomon.New(shape.Data, shape.Parity, reedsolomon.WithCauchyMatrix(), reedsolomon.WithMaxGoroutines(1))
}

// rebuild fills in the missing entries of one row: data blocks and then parity blocks, all of one length. Those of
// length 0 are computed, into their capacity where it is enough. The error is ErrDamaged if more are missing than
// parity covers. The result is as right as what it was given: compare checksums.
func rebuild(codec reedsolomon.Encoder, row [][]byte) error {
	if err := codec.Reconstruct(row); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// split cuts data into n pieces of equal length.
func split(data []byte, n int) [][]byte {
	size := len(data) / n
	out := make([][]byte, n)
	for i := range out {
		out[i] = data[i*size : (i+1)*size : (i+1)*size]
	}
	return out
}
