package store

import (
	"encoding/base32"
	"fmt"
	"strings"
	"unicode"
)

// A recovery key is 32 random bytes. A person sees, writes down and types it as 14 groups of 4 characters:
//
//	G20R-50W4-GP38-F249-HA5R-S3CE-HY89-34MK-JJAS-D5WR-K6D9-Q74X-KTFN-0EYE
//
// which is 80 81 .. 9f. These are 35 bytes in Crockford's base32 (no I, L, O and U): the key, and its CRC-24 as in RFC 9580, section
// 6.1. So every error within one group, and any two neighbouring characters swapped, is told, and any other with a probability of
// 1 - 2⁻²⁴.
const (
	recoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	recoveryChars    = 56
	recoveryGroup    = 4
	recoveryBytes    = 32
)

var recoveryEncoding = base32.NewEncoding(recoveryAlphabet).WithPadding(base32.NoPadding)

// FormatRecovery writes a recovery key for a person: 69 characters in one line.
func FormatRecovery(key [32]byte) string {
	sum := crc24(key[:])
	text := recoveryEncoding.EncodeToString(append(key[:], byte(sum>>16), byte(sum>>8), byte(sum)))
	var b strings.Builder
	for i := 0; i < len(text); i += recoveryGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[i : i+recoveryGroup])
	}
	return b.String()
}

// ParseRecovery reads what FormatRecovery wrote, as a person may type it: upper or lower case, with any or no white space and
// dashes, O for 0, I or L for 1. The error is ErrKey and says what to look at, naming the group if it can; it does not quote the
// key.
func ParseRecovery(text string) (key [32]byte, err error) {
	chars, odd := recoveryCharsOf(text)
	if odd != 0 {
		return key, secretError(fmt.Sprintf("the recovery key is mistyped: %q does not occur in one", odd))
	}
	if len(chars) != recoveryChars {
		return key, secretError(fmt.Sprintf("the recovery key is mistyped: it has %d characters, not %d (%d groups of %d)",
			len(chars), recoveryChars, recoveryChars/recoveryGroup, recoveryGroup))
	}
	key, ok := decodeRecovery(chars)
	if ok {
		return key, nil
	}
	if group := mistypedGroup(chars); group > 0 {
		return [32]byte{}, secretError(fmt.Sprintf("the recovery key is mistyped: look at group %d", group))
	}
	return [32]byte{}, secretError("the recovery key is mistyped: more than one character is wrong")
}

// recoveryCharsOf returns the characters of a recovery key in their one form, and the first that cannot be one, else 0.
func recoveryCharsOf(text string) (chars []byte, odd rune) {
	for _, r := range text {
		u := unicode.ToUpper(r)
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r):
			continue
		case u == 'O':
			u = '0'
		case u == 'I' || u == 'L':
			u = '1'
		}
		if r > unicode.MaxASCII || !strings.ContainsRune(recoveryAlphabet, u) {
			return chars, r
		}
		if chars = append(chars, byte(u)); len(chars) > 2*recoveryChars {
			break // it is wrong already, and may be a whole file
		}
	}
	return chars, 0
}

// looksLikeRecovery tells whether a text seems to be meant for a recovery key, a few characters more or less.
func looksLikeRecovery(text string) bool {
	chars, odd := recoveryCharsOf(text)
	return odd == 0 && len(chars) > recoveryChars-2*recoveryGroup && len(chars) < recoveryChars+2*recoveryGroup
}

func decodeRecovery(chars []byte) (key [32]byte, ok bool) {
	var b [recoveryBytes + 3]byte
	if n, err := recoveryEncoding.Decode(b[:], chars); err != nil || n != len(b) {
		return key, false
	}
	key = [32]byte(b[:recoveryBytes])
	sum := uint32(b[32])<<16 | uint32(b[33])<<8 | uint32(b[34])
	return key, crc24(key[:]) == sum
}

// mistypedGroup returns the number of the group, from 1, in which another character would make the key right. 0 if there is no
// such group, or more than one. It changes chars and puts them back.
func mistypedGroup(chars []byte) (group int) {
	for i, was := range chars {
		for _, c := range []byte(recoveryAlphabet) {
			chars[i] = c
			if _, ok := decodeRecovery(chars); !ok {
				continue
			}
			if found := i/recoveryGroup + 1; group == 0 || group == found {
				group = found
			} else {
				chars[i] = was
				return 0
			}
		}
		chars[i] = was
	}
	return group
}

// crc24 is the CRC-24 of OpenPGP.
func crc24(b []byte) uint32 {
	sum := uint32(0xB704CE)
	for _, c := range b {
		sum ^= uint32(c) << 16
		for range 8 {
			sum <<= 1
			if sum&(1<<24) != 0 {
				sum ^= 0x1864CFB
			}
		}
	}
	return sum
}
