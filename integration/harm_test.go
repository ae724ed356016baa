package integration

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// damageTold matches what the daemon logs about damage that it met.
const damageTold = `the vault is damaged|a damaged file was written anew|read around damage`

// A harm does something to the bytes of a file; other is another file of the vault.
type harm func(r *rand.Rand, b, other []byte) []byte

// harms may befall one file of a pack or record that lies in several places: whatever it is, the others have it.
var harms = []harm{
	flipBits, clearBlock, swapBlocks,
	func(r *rand.Rand, b, _ []byte) []byte { return b[r.IntN(len(b)):] },
	func(r *rand.Rand, b, _ []byte) []byte { return b[:r.IntN(len(b))] },
	func(r *rand.Rand, b, _ []byte) []byte { b = b[r.IntN(len(b)):]; return b[:r.IntN(len(b))] },
	func(r *rand.Rand, b, _ []byte) []byte { clear(b[:block]); clear(b[len(b)-block:]); return b },
	func(_ *rand.Rand, _, other []byte) []byte { return other },
	func(*rand.Rand, []byte, []byte) []byte { return nil },
}

func flipBits(r *rand.Rand, b, _ []byte) []byte {
	for range 1 + r.IntN(20) {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

func blockOf(b []byte, i int) []byte { return b[i*block:][:block] }

func clearBlock(r *rand.Rand, b, _ []byte) []byte {
	clear(blockOf(b, r.IntN(len(b)/block)))
	return b
}

func swapBlocks(r *rand.Rand, b, _ []byte) []byte {
	n := len(b) / block
	one, two := blockOf(b, r.IntN(n)), blockOf(b, r.IntN(n))
	kept := slices.Clone(one)
	copy(one, two)
	copy(two, kept)
	return b
}

// lightHarms may befall the only file of a pack: its own parity covers any of them.
var lightHarms = []func(r *rand.Rand, b []byte, p packLayout) []byte{
	func(r *rand.Rand, b []byte, p packLayout) []byte { // a bit in each of two blocks
		for range 2 {
			blockOf(b, p.meta+r.IntN(p.body))[r.IntN(block)] ^= 1 << r.IntN(8)
		}
		return b
	},
	func(r *rand.Rand, b []byte, p packLayout) []byte {
		return append(b[:p.meta*block:p.meta*block], append(swapBlocks(r, slices.Clone(b[p.meta*block:][:p.body*block]), nil), b[(p.meta+p.body)*block:]...)...)
	},
	func(r *rand.Rand, b []byte, p packLayout) []byte { // a burst
		n := 1 + r.IntN(min(p.rows, p.body))
		clear(b[(p.meta+r.IntN(p.body-n+1))*block:][:n*block])
		return b
	},
	func(r *rand.Rand, b []byte, p packLayout) []byte { return b[1+r.IntN(p.meta*block):] },
	func(r *rand.Rand, b []byte, p packLayout) []byte { return b[:len(b)-1-r.IntN(p.meta*block)] },
	func(r *rand.Rand, b []byte, p packLayout) []byte { // both ends: of each block of the table one copy
		for i := range p.meta {
			clear(blockOf(b, i+r.IntN(2)*(p.meta+p.body)))
		}
		return b
	},
}

// A packLayout says where the parts of a pack's file are, in blocks (docs/FORMAT.md, section 4).
type packLayout struct {
	meta int // at each end
	body int // between them: data and parity
	rows int // of each shard
}

func layoutOf(b []byte) packLayout {
	p := packLayout{meta: int(binary.LittleEndian.Uint16(b[14:]))}
	p.body = len(b)/block - 2*p.meta
	data := (int(binary.LittleEndian.Uint32(b[48:])) + block - 1) / block
	k := int(b[10])
	p.rows = (data + k - 1) / k
	return p
}

// A harmer damages files of a vault, so that nothing is lost: what lies in several places in one of them, what lies in one place within
// its parity.
type harmer struct {
	t      testing.TB
	rand   *rand.Rand
	places []string
}

// vaultFiles lists the packs and version records of the vault, by their names in its places. Those that a kill kept from being written to all
// places are left out.
func (h *harmer) vaultFiles() (names []string) {
	h.t.Helper()
	in := map[string]int{}
	for _, place := range h.places {
		err := filepath.WalkDir(filepath.Join(place, "instances"), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it is just being collected
			}
			name := strings.TrimPrefix(path, place)
			if err == nil && e.Type().IsRegular() && (strings.Contains(name, "/packs/") || strings.Contains(name, "/versions/")) {
				in[name]++
			}
			return err
		})
		must(h.t, err)
	}
	for name, n := range in {
		if n == len(h.places) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// harm damages each file with some likelihood, and returns how many it did.
func (h *harmer) harm(likely float64) (n int) {
	h.t.Helper()
	names := h.vaultFiles()
	for _, name := range names {
		if h.rand.Float64() < likely && h.one(name, names[h.rand.IntN(len(names))]) {
			n++
		}
	}
	return n
}

// one damages a file; other is the name of another one.
func (h *harmer) one(name, other string) (done bool) {
	h.t.Helper()
	place := h.places[h.rand.IntN(len(h.places))]
	b, err := os.ReadFile(place + name)
	swapped, otherErr := os.ReadFile(place + other)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(otherErr, fs.ErrNotExist) {
		return false // it is just being collected
	}
	must(h.t, errors.Join(err, otherErr))
	switch {
	case len(h.places) == 1:
		b = lightHarms[h.rand.IntN(len(lightHarms))](h.rand, b, layoutOf(b))
	case h.rand.IntN(len(harms)+1) == 0:
		must(h.t, os.Remove(place+name))
		return true
	default:
		b = harms[h.rand.IntN(len(harms))](h.rand, b, swapped)
	}
	f, err := os.OpenFile(place+name, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	must(h.t, err)
	_, err = f.Write(b)
	must(h.t, errors.Join(err, f.Close()))
	return true
}
