// Package cut decides where a file is cut into chunks.
//
// Cuts follow the content, so that an insertion moves only the cuts next to it and the rest of the file keeps its
// chunk ids. What the package computes is part of the vault's format: were one cut to move, a file that did not change
// would be stored again.
//
// # The rule
//
// A gear hash runs over the bytes; one byte b makes it
//
//	h = h<<1 + gear[b]   (modulo 2^64)
//
// so that each byte is shifted out after 64 more and h depends on the last 64 bytes only. The low bits depend on fewer
// bytes still (bit i on the last i+1), so cuts are told from the high ones. A chunk ends behind the first byte that
// makes it n bytes long, where n is more than Min and
//
//	n <= Normal   the hash of its last 64 bytes starts with Bits+2 zero bits
//	n >  Normal   … with Bits-2 zero bits
//	n == Max      whatever the hash
//
// or at the end of the file. Bits is log2(Mean) and Normal is Mean - Mean/8 - Min/4, or Min if that is more. With the
// default parameters a cut is looked for behind byte 32769 at the earliest, with 19 bits up to 106496 bytes and 15 bits
// from there on.
//
// Two strengths around a normal length draw the lengths together: fewer small chunks, hardly any that end at Max for
// want of a cut. The paper switches at Mean, which with a minimum of Mean/4 gives chunks 14 % longer than Mean. If the
// loose part is long enough not to be cut off by Max, the expected length is
//
//	Min + 4·Mean·(1-x) + Mean/4·x   with x = exp(-(Normal-Min) / (4·Mean))
//
// and Normal as above keeps that within 3 % of Mean for every Min up to Mean/2.
//
// The method is that of W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
// Deduplication", USENIX ATC 2016: gear hash, the minimum skipped unread, normalized chunking of level 2. Unlike there
// the hash is warm when the first cut may come: it has seen the 64 bytes before, so whether a place is fit for a cut
// depends on the bytes there alone and not on where the chunk began.
package cut

import (
	"errors"
	"fmt"
	"math/bits"
)

// Params are the cutting parameters of a vault, in bytes. They are written to vault.json and never change: other
// parameters would find other cuts, and nothing would deduplicate with what is stored.
type Params struct {
	Min  int `json:"min"`  // no cut before this many bytes
	Mean int `json:"mean"` // a power of two
	Max  int `json:"max"`  // a cut here at the latest
}

// Default are the parameters of new vaults.
var Default = Params{Min: 32 << 10, Mean: 128 << 10, Max: 512 << 10}

// ErrParams is what Check's errors are to errors.Is.
var ErrParams = errors.New("bad cutting parameters")

// maxMax bounds a chunk, as everybody who handles one holds it in memory whole.
const maxMax = 16 << 20

// Check tells whether p can be cut by: 64 <= Min < Mean < Max <= 16 MiB, and Mean is a power of two.
func (p Params) Check() error {
	switch {
	case p.Min < window:
		return fmt.Errorf("%w: min %d is less than %d", ErrParams, p.Min, window)
	case p.Mean <= p.Min:
		return fmt.Errorf("%w: mean %d is not more than min %d", ErrParams, p.Mean, p.Min)
	case bits.OnesCount(uint(p.Mean)) != 1:
		return fmt.Errorf("%w: mean %d is not a power of two", ErrParams, p.Mean)
	case p.Max <= p.Mean:
		return fmt.Errorf("%w: max %d is not more than mean %d", ErrParams, p.Max, p.Mean)
	case p.Max > maxMax:
		return fmt.Errorf("%w: max %d is more than %d", ErrParams, p.Max, maxMax)
	}
	return nil
}

// normal is the length up to which cuts are rarer than one in Mean bytes, and beyond which they are more frequent.
func (p Params) normal() int { return max(p.Min, p.Mean-p.Mean/8-p.Min/4) }

// meanBits is the number of zero bits that one hash in Mean starts with.
func (p Params) meanBits() int { return bits.TrailingZeros(uint(p.Mean)) }
