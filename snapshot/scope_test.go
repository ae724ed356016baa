package snapshot_test

import (
	"reflect"
	"testing"

	"yester/snapshot"
)

// Paths and patterns are bytes, though a record is JSON: what is not UTF-8 comes back as it was, and so does what looks as if it were quoted.
func TestScopeOfAVersionIsBytes(t *testing.T) {
	want := &snapshot.Scope{
		Paths: []string{"/a\xff"}, Never: []string{"/\xfe", "/vault"}, Excludes: []string{"*\xff.bad", `"a"`, `"a`, "\ufffd", `/a\*"\xff`, "*.iso"},
		Nodump: true,
	}
	v := &snapshot.Version{Scope: want}
	v.SetRoot(&snapshot.Entry{Mode: 0o40755})
	b, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := snapshot.ParseVersion(b)
	if err != nil || !reflect.DeepEqual(got.Scope, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
