package snapshot_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"yester/snapshot"
)

// A mount point is bytes too, and of the same bytes in the record as ever where it is UTF-8.
func TestMountPointOfAVersionIsBytes(t *testing.T) {
	for point, text := range map[string]string{"/mnt/a\xff": `"\"/mnt/a\\xff\""`, "/mnt/\ufffd": "\"/mnt/\ufffd\"", `/mnt/"ä"`: `"/mnt/\"ä\""`, "": `""`} {
		v := &snapshot.Version{Partition: snapshot.Partition{Name: "data", MountPoint: point, Size: 7, Covered: []uint64{3}}}
		v.SetRoot(&snapshot.Entry{Mode: 0o40755})
		b, err := v.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(`"partition":{"name":"data","mount_point":`+text+`,"device":`)) {
			t.Errorf("%q: record %s", point, b)
		}
		got, err := snapshot.ParseVersion(b)
		if err != nil || !reflect.DeepEqual(got.Partition, v.Partition) {
			t.Errorf("%q: got %+v, %v", point, got, err)
		}
	}
	if v, err := snapshot.ParseVersion([]byte(`{"format":1,"partition":{"mount_point":"\"/mnt"}}`)); !errors.Is(err, snapshot.ErrFormat) {
		t.Errorf("quoted by half: %+v, %v", v, err)
	}
}

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
