package snapshot

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"yester/store"
	"yester/store/place"
)

// recorder keeps what is read through it, by what it was read as.
type recorder struct {
	*store.Vault
	chunks [][]byte
}

func (r *recorder) Get(ctx context.Context, id store.ID) ([]byte, error) {
	b, err := r.Vault.Get(ctx, id)
	r.chunks = append(r.chunks, b)
	return b, err
}

// golden reads what the golden vault has: its records, and its pages of trees and lists.
func golden(t testing.TB) (records, pages [][]byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../integration/testdata/vaults/v1")); err != nil {
		t.Fatal(err)
	}
	p, err := place.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := store.Open(t.Context(), store.Options{Places: []place.Place{p}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r := &recorder{Vault: v}
	all, err := v.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		for _, k := range v.Versions(in.ID) {
			b, err := v.Record(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, b)
			version, err := ParseVersion(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := Affected(t.Context(), r, version, func(store.ID) bool { return false }, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(records) == 0 || len(r.chunks) == 0 {
		t.Fatalf("%d records and %d pages in %s", len(records), len(r.chunks), filepath.Base(dir))
	}
	return records, r.chunks
}

// What the golden vault's records and pages are made of is encoded to the same bytes again.
func TestGoldenRecordsAndPagesEncodeToTheSame(t *testing.T) {
	records, pages := golden(t)
	for _, b := range records {
		v, err := ParseVersion(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Encode()
		if err != nil || string(again) != string(b) {
			t.Errorf("a record becomes %s, and was %s", again, b)
		}
		var fields map[string]any
		if err := json.Unmarshal(b, &fields); err != nil || fields["format"] != float64(Format) {
			t.Errorf("format %v, %v", fields["format"], err)
		}
	}
	trees := 0
	for _, b := range pages {
		p, err := ParsePage(b)
		if err != nil {
			continue // a list
		}
		trees++
		again := pageBuf{}
		for i := range p.Len() {
			var e Entry
			var item []byte
			if p.Leaf() {
				if err := p.Entry(i, &e); err != nil {
					t.Fatal(err)
				}
				item = appendEntry(nil, &e)
			} else {
				ref, err := p.Ref(i)
				if err != nil {
					t.Fatal(err)
				}
				item = appendPageRef(nil, ref)
			}
			again.add(p.Name(i), item, 1)
		}
		if got := again.appendTo(nil, p[0]); string(got) != string(p) {
			t.Errorf("a page becomes %x, and was %x", got, p)
		}
	}
	if lists := len(pages) - trees; trees < 10 || lists < 1 {
		t.Errorf("%d pages of trees and %d of lists", trees, lists)
	}
}
