package capture

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// A memory keeps what is put.
type memory map[store.ID][]byte

func (m memory) Put(_ context.Context, _ store.Kind, raw []byte) (id store.ID, isNew bool, err error) {
	id = sha256.Sum256(raw)
	m[id] = append([]byte(nil), raw...)
	return id, true, nil
}

func (m memory) Get(_ context.Context, id store.ID) ([]byte, error) { return m[id], nil }

// An inode has room for more nanoseconds than a second has, and some kernels tell them as they stand there.
func TestTimesOfADamagedInodeCanBeReadBack(t *testing.T) {
	wild := unix.StatxTimestamp{Sec: 1_800_000_000, Nsec: 1<<30 - 1}
	x := unix.Statx_t{Mode: unix.S_IFREG | 0o644, Nlink: 1, Mask: unix.STATX_BTIME, Mtime: wild, Ctime: wild, Btime: wild}
	var st stat
	st.set(&x)
	e := snapshot.Entry{Name: []byte("file")}
	setStat(&e, &st, volume{}, time.Now())
	m := memory{}
	b := snapshot.NewBuilder(m)
	must(t, b.Add(t.Context(), &e))
	tree, _, err := b.Finish(t.Context())
	must(t, err)
	var got snapshot.Entry
	must(t, snapshot.Lookup(t.Context(), m, tree, e.Name, &got))
	want := snapshot.Time{Sec: wild.Sec, Nsec: 999_999_999}
	if got.Mtime != want || got.Ctime != want || got.Btime != want {
		t.Errorf("%v, %v, %v, want %v", got.Mtime, got.Ctime, got.Btime, want)
	}
}

func TestInodeNumbersThatAreNotKeptTellNothing(t *testing.T) {
	for fstype, want := range map[string]bool{"ext4": false, "ntfs3": false, "vfat": true, "msdos": true, "exfat": true} {
		w := &walker{survey: &survey{src: &source{fstype: fstype}, o: &Options{}}}
		old, e := snapshot.Entry{Ino: 1, Size: 1}, snapshot.Entry{Ino: 2, Size: 1}
		if got, err := w.stays(t.Context(), &e, &old); got != want || err != nil {
			t.Errorf("%s: %v, %v", fstype, got, err)
		}
		if e.Size++; w.unchanged(&old, &e) {
			t.Errorf("%s: it has another size", fstype)
		}
	}
}
