package store

import (
	"errors"
	"strings"
	"testing"
)

// numberedRecovery is the key 80 81 .. 9f, and how it is written.
var numberedRecovery = [32]byte(numbered(0x80, 32))

const numberedRecoveryText = "G20R-50W4-GP38-F249-HA5R-S3CE-HY89-34MK-JJAS-D5WR-K6D9-Q74X-KTFN-0EYE"

// numbered is n bytes counting up from first.
func numbered(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestRecoveryKeyIsWrittenLikeThis(t *testing.T) {
	if got := FormatRecovery(numberedRecovery); got != numberedRecoveryText {
		t.Errorf("got %s", got)
	}
	if got := crc24([]byte("123456789")); got != 0x21CF02 { // the check value of CRC-24/OPENPGP
		t.Errorf("CRC-24 %x", got)
	}
}

func TestRecoveryKeyMayBeTypedInManyWays(t *testing.T) {
	for _, text := range []string{
		numberedRecoveryText,
		strings.ToLower(numberedRecoveryText),
		strings.ReplaceAll(numberedRecoveryText, "-", ""),
		strings.ReplaceAll(numberedRecoveryText, "-", " – \n"),
		strings.ReplaceAll(numberedRecoveryText, "0", "O"),
		strings.ReplaceAll(numberedRecoveryText, "0", "o"),
		strings.ReplaceAll(numberedRecoveryText, "1", "I"),
		strings.ReplaceAll(numberedRecoveryText, "1", "l"),
		"\t" + numberedRecoveryText + "\r\n",
	} {
		if key, err := ParseRecovery(text); err != nil || key != numberedRecovery {
			t.Errorf("%q: %x, %v", text, key, err)
		}
	}
}

func TestRecoveryKeyMistypedIsTold(t *testing.T) {
	tests := map[string]string{
		"":                         "0 characters",
		numberedRecoveryText[:68]:  "55 characters",
		numberedRecoveryText + "0": "57 characters",
		strings.Repeat("0", 1<<20): "characters, not 56",
		strings.Replace(numberedRecoveryText, "W", "U", 1):     "'U' does not occur",
		strings.Replace(numberedRecoveryText, "W", "é", 1):     "'é' does not occur",
		strings.Replace(numberedRecoveryText, "W", "ı", 1):     "does not occur",
		strings.Replace(numberedRecoveryText, "8", "B", 1):     "group 3",
		strings.Replace(numberedRecoveryText, "249", "248", 1): "group 4",
		numberedRecoveryText[:68] + "0":                        "group 14",
		strings.Repeat("0", 56):                                "more than one",
	}
	for text, says := range tests {
		if key, err := ParseRecovery(text); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), says) || key != [32]byte{} {
			t.Errorf("%.80q: %x, %v; want %q", text, key, err, says)
		}
	}
}

func TestRecoveryKeyWithOneErrorIsNeverTaken(t *testing.T) {
	chars, _ := recoveryCharsOf(numberedRecoveryText)
	for i, was := range chars {
		for _, c := range []byte(recoveryAlphabet) {
			chars[i] = c
			if _, ok := decodeRecovery(chars); ok != (c == was) {
				t.Fatalf("character %d: %c for %c is taken: %v", i, c, was, ok)
			}
		}
		chars[i] = was
		if i > 0 && chars[i-1] != was {
			chars[i-1], chars[i] = chars[i], chars[i-1]
			if _, ok := decodeRecovery(chars); ok {
				t.Fatalf("characters %d and %d swapped are taken", i-1, i)
			}
			chars[i-1], chars[i] = chars[i], chars[i-1]
		}
	}
}

func FuzzParseRecovery(f *testing.F) {
	f.Add(numberedRecoveryText)
	f.Add(strings.ToLower(numberedRecoveryText[:68]))
	f.Add("0O1IL-U \xff")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseRecovery(text)
		if err != nil {
			if !errors.Is(err, ErrKey) || key != [32]byte{} {
				t.Fatalf("%x, %v", key, err)
			}
			return
		}
		if again, err := ParseRecovery(FormatRecovery(key)); err != nil || again != key {
			t.Fatalf("%x becomes %x, %v", key, again, err)
		}
		if !looksLikeRecovery(text) {
			t.Fatal("does not look like one")
		}
	})
}
