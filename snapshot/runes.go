package snapshot

import (
	"strings"
	"unicode/utf8"
)

// Runes returns a pattern, or what is matched with one, with a rune of its own for each byte that is not UTF-8: names are bytes, and patterns know runes only, of which all such bytes
// would be the same one. These runes are the last for private use, U+10FF80 to U+10FFFF. Text that is UTF-8 is returned as it is.
func Runes(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			r = 0x10FF00 + rune(s[0])
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}
