package cut

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"
)

// The table and the cuts below are part of the format. A change here is a vault that no longer deduplicates.

func TestGearTableIsPinned(t *testing.T) {
	for i, want := range map[int]uint64{
		0:   0xe220a8397b1dcdaf,
		1:   0x6e789e6aa1b965f4,
		2:   0x06c45d188009454f,
		255: 0x5a5832bb47bcf19e,
	} {
		if gear[i] != want {
			t.Errorf("gear[%d] = %016x, want %016x", i, gear[i], want)
		}
	}
	var b []byte
	for _, g := range gear {
		b = binary.LittleEndian.AppendUint64(b, g)
	}
	sum := sha256.Sum256(b)
	if got, want := hex.EncodeToString(sum[:]), "3843faf2c6540306294b486fda136f53cc592319b024ecb30987d6340908063b"; got != want {
		t.Errorf("table is %s, want %s", got, want)
	}
}

func TestCutsArePinned(t *testing.T) {
	for _, x := range []struct {
		p    Params
		n    int
		want string
	}{
		{Default, 1 << 20, "[129155 86925 89862 127520 118306 110722 36196 110468 195198 44224]"},
		{small, 10_000, "[914 908 562 1124 808 698 1953 340 971 1116 606]"},
	} {
		if got := fmt.Sprint(lengths(split(t, x.p, noise(42, x.n)))); got != x.want {
			t.Errorf("%+v: %s, want %s", x.p, got, x.want)
		}
	}
}

func TestScanStopsAtTheFirstHashBelowLimit(t *testing.T) {
	for n := range 40 {
		b := noise(uint64(n), n)
		wantHash, wantLen := uint64(1), -1
		for i, c := range b {
			if wantHash = roll(wantHash, []byte{c}); wantHash < 1<<60 {
				wantLen = i + 1
				break
			}
		}
		if h, got := scan(1, b, 1<<60); h != wantHash || got != wantLen {
			t.Errorf("%d bytes: %x, %d; want %x, %d", n, h, got, wantHash, wantLen)
		}
	}
}
