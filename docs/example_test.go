package docs

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// example returns the bytes of the first block of hex digits after some words of the page. "40 41 .. 5f" counts up.
func example(t *testing.T, after string) (b []byte) {
	t.Helper()
	page, err := os.ReadFile("FORMAT.md")
	must(t, err)
	_, rest, found := strings.Cut(string(page), after)
	if !found {
		t.Fatalf("the page has no %q", after)
	}
	_, rest, _ = strings.Cut(rest, "\n```\n")
	block, _, _ := strings.Cut(rest, "\n```")
	for line := range strings.Lines(block) {
		for _, word := range strings.Fields(line) {
			if word == ".." {
				b = append(b, 0)
				continue
			}
			digit, err := hex.DecodeString(word)
			if err != nil || len(digit) != 1 {
				break
			}
			if n := len(b); n > 0 && b[n-1] == 0 && strings.Contains(line, ".. "+word) {
				for b = b[:n-1]; b[len(b)-1]+1 < digit[0]; {
					b = append(b, b[len(b)-1]+1)
				}
			}
			b = append(b, digit...)
		}
	}
	return b
}

// counting is n bytes that count up.
func counting(first byte) []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestExamplesOfThePageAreAsItSays(t *testing.T) {
	a := parseEntry(t, example(t, "Example: the empty file `a`"))
	if a.name != "a" || a.mode != 0o100644 || a.size != 0 || len(a.content) != 0 {
		t.Errorf("the entry is %+v", a)
	}

	page := items(t, example(t, "Example: the folder of the empty file `a`"))
	if len(page) != 2 || !bytes.Equal(page[0], example(t, "Example: the empty file `a`")) {
		t.Fatalf("the leaf page has the items %x", page)
	}
	b := parseEntry(t, page[1])
	if b.name != "b" || b.size != 5 || b.ino != 12 || b.nlink != 1 || len(b.content) != 1 || b.content[0].n != 5 ||
		!bytes.Equal(b.content[0].id, counting(0x40)) {
		t.Errorf("its second entry is %+v", b)
	}

	page = items(t, example(t, "And an index page of two leaf pages"))
	for i, want := range []pageRef{{"a", counting(0x60), 2}, {"m", counting(0x80), 3}} {
		if r := parseRef(t, page[i]); r.first != want.first || !bytes.Equal(r.id, want.id) || r.count != want.count {
			t.Errorf("reference %d of the index page is %+v", i, r)
		}
	}

	list := listed(t, example(t, "Example: the first 135268 bytes of a file"), 0)
	for i, want := range []ref{{counting(0x40), 131072}, {nil, 4096}, {counting(0x60), 100}} {
		if r := list[i]; r.n != want.n || !bytes.Equal(r.id, want.id) {
			t.Errorf("item %d of the list page is %+v", i, r)
		}
	}

	text, err := os.ReadFile("FORMAT.md")
	must(t, err)
	coded := regexp.MustCompile(`"root":"([^"]+)"`).FindSubmatch(text)
	root := example(t, "(its JSON has no line breaks) with the root")
	if got, err := base64.StdEncoding.DecodeString(string(coded[1])); err != nil || !bytes.Equal(got, root) {
		t.Errorf("the root of the record is %x, and as base64 %x", root, got)
	}
	if r := parseEntry(t, root); r.name != "" || r.mode != 0o40755 || r.files != 2 || r.bytes != 5 || !bytes.Equal(r.tree, counting(0x60)) {
		t.Errorf("the root is %+v", r)
	}
}
