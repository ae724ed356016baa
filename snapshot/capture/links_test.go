package capture

import (
	"os"
	"strings"
	"testing"

	"yester/snapshot"
)

func TestHardLinksAreReadOnceAndOneFile(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/a", strings.Repeat("x", 10_000))
	must(t, os.Link(dir+"/a", dir+"/b"))
	must(t, os.Link(dir+"/a", dir+"/c"))
	reads := 0
	r.o.trace = func(op, path string) {
		if op == "read" {
			reads++
		}
	}
	v := r.run()
	if reads != 1 || v.ReadBytes != 10_000 {
		t.Errorf("read %d times, %d bytes", reads, v.ReadBytes)
	}
	write(t, dir+"/a", "changed")
	reads = 0
	v = r.run()
	all := r.entries(v)
	for _, n := range []string{"a", "b", "c"} {
		e := all[n]
		if data, _ := r.content(&e); string(data) != "changed" || e.Nlink != 3 || e.Ino != all["a"].Ino {
			t.Errorf("%s: %q, %d links", n, data, e.Nlink)
		}
	}
	if reads != 1 || v.Changed != 3 {
		t.Errorf("read %d times, %d changed", reads, v.Changed)
	}
}

func TestLinksForgetsWhatIsComplete(t *testing.T) {
	var l links
	st := stat{btime: snapshot.Time{Sec: 5}, size: 1}
	e := snapshot.Entry{Name: []byte("a"), Nlink: 3, Btime: st.btime, Size: 1}
	l.keep(fileID{1, 2}, &e)
	if l.find(fileID{1, 3}, &st) != nil || l.find(fileID{1, 2}, &st) == nil {
		t.Error("not found")
	}
	changed := st
	changed.size = 2
	if l.find(fileID{1, 2}, &changed) == nil || len(l.open) != 0 {
		t.Error("one file, one content; and complete")
	}
	l.keep(fileID{1, 2}, &e)
	reborn := st
	reborn.btime.Sec++
	if l.find(fileID{1, 2}, &reborn) != nil || len(l.open) != 0 {
		t.Error("another file with its number")
	}
	for i := range uint64(2 * maxLinks) {
		l.keep(fileID{1, i}, &e)
	}
	if len(l.open) != maxLinks {
		t.Errorf("%d kept", len(l.open))
	}
}
