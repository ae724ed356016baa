package fs

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// In a very wide directory, late names come bare until someone looks for one of them.
func TestLateNamesOfAWideFolderComeBareUntilTheyAreLookedFor(t *testing.T) {
	v, root := testView(t, "wide")
	v.fullNames = 2000
	look := func(dir nodeID, name string) nodeID {
		var out fuse.EntryOut
		if st := v.Lookup(nil, &fuse.InHeader{NodeId: uint64(dir)}, name, &out); st != fuse.OK || out.NodeId == 0 {
			t.Fatal(name, st)
		}
		return nodeID(out.NodeId)
	}
	dir := look(root, "wide")
	full := func(name int) bool {
		list := dirList{buf: make([]byte, 0, 4096), plus: true}
		in := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: uint64(dir)}, Offset: firstOffset + uint64(name)}
		if st := v.readDir(nil, in, &list); st != fuse.OK || len(list.buf) < entrySize {
			t.Fatal(st, len(list.buf))
		}
		out := (*fuse.EntryOut)(unsafe.Pointer(unsafe.SliceData(list.buf)))
		if got := string(list.buf[entrySize+direntSize:][:12]); got != fmt.Sprintf("entry-%06d", name) {
			t.Fatalf("name %d is %q", name, got)
		}
		return out.NodeId != 0 && out.Ino != 0
	}
	if look(dir, "entry-000500"); !full(0) || !full(1500) || full(5000) || full(99_999) {
		t.Error("at first:", full(0), full(1500), full(5000), full(99_999))
	}
	if look(dir, "entry-050000"); !full(0) || !full(5000) || !full(99_999) {
		t.Error("after a lookup:", full(0), full(5000), full(99_999))
	}
}
