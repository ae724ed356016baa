package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// cutOff has a capture be cut off when it opens a file.
func (r *rig) cutOff(at string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	r.o.trace = func(op, path string) {
		if op == "open" && path == at {
			cancel()
		}
	}
	if _, err := r.try(ctx); err != context.Canceled {
		r.t.Fatalf("cut off: %v", err)
	}
	r.o.trace = nil
}

// unfinishedRig has files of 200 kB named by letters, looked at in their order, and notes what was read of them.
func unfinishedRig(t *testing.T, letters string) (r *rig, point string) {
	r, point = emptyRig(t)
	r.o.Walkers = 1
	r.o.Limiter = noLimit // nothing is opened ahead
	r.o.Unfinished = filepath.Join(t.TempDir(), "unfinished")
	for _, c := range letters {
		write(t, point+"/"+string(c), largeOf(string(c)))
	}
	return r, point
}

func largeOf(word string) string {
	return strings.Repeat(fmt.Sprintf("%s and more; ", word), 20_000)[:200_000]
}

// A machine need not stay up as long as the first backup of it takes.
func TestWhatACaptureThatWasCutOffHasReadIsNotReadAgain(t *testing.T) {
	r, point := unfinishedRig(t, "abcdef")
	must(t, unix.Setxattr(point+"/b", "user.much", []byte(strings.Repeat("x", 3000)), 0))
	must(t, os.Truncate(point+"/c", 90<<20)) // so that its pieces are listed in a page
	r.cutOff("d")
	r.cutOff("f")
	v := r.run()
	if v.ReadBytes != 200_000 || v.Added != 7 {
		t.Errorf("read %d bytes of %d added, want those of one file", v.ReadBytes, v.Added)
	}
	for _, c := range "abdef" {
		r.wantContent(string(c), largeOf(string(c)))
	}
	e := r.entries(v)["c"]
	if data, _ := r.content(&e); len(data) != 90<<20 || string(data[:200_000]) != largeOf("c") {
		t.Error("the one with a hole differs")
	}
	if _, err := os.Stat(r.o.Unfinished); !os.IsNotExist(err) {
		t.Errorf("what was noted is there after the version was made: %v", err)
	}
	r.last, r.o.Unfinished = nil, ""
	if again := r.run(); string(again.Root) != string(v.Root) {
		t.Error("read anew the version is another one")
	}
}

func TestFileThatChangedSinceACaptureWasCutOffIsReadAgain(t *testing.T) {
	r, point := unfinishedRig(t, "abcd")
	r.cutOff("d")
	info, err := os.Stat(point + "/b")
	must(t, err)
	write(t, point+"/b", largeOf("B"))
	must(t, os.Chtimes(point+"/b", info.ModTime(), info.ModTime()))
	must(t, os.Chmod(point+"/c", 0o600))
	if v := r.run(); v.ReadBytes != 3*200_000 {
		t.Errorf("read %d bytes", v.ReadBytes)
	}
	r.wantContent("b", largeOf("B"))
	if e := r.entries(r.last)["c"]; e.Mode&0o777 != 0o600 {
		t.Errorf("the mode is %o", e.Mode)
	}
}

// What changed while that capture was at work may have been read before its last change, as doubted has it.
func TestFileThatChangedDuringACaptureThatWasCutOffIsReadAgain(t *testing.T) {
	r, point := unfinishedRig(t, "abc")
	time.Sleep(1500 * time.Millisecond) // so that the others are older than coarseGrain
	write(t, point+"/b", largeOf("B"))
	info, err := os.Stat(point + "/b")
	must(t, err)
	changed := info.ModTime()
	r.o.clock = func() time.Time { return changed.Add(time.Second) }
	r.cutOff("c")
	if v := r.run(); v.ReadBytes != 2*200_000 {
		t.Errorf("read %d bytes", v.ReadBytes)
	}
}

func TestWhatTheVaultHasNoMoreIsReadAgain(t *testing.T) {
	r, _ := unfinishedRig(t, "abcd")
	r.cutOff("d")
	if _, err := r.vault.Collect(t.Context(), store.CollectOptions{Mark: snapshot.Marker(r.vault)}); err != nil {
		t.Fatal(err)
	}
	if v := r.run(); v.ReadBytes != 4*200_000 {
		t.Errorf("read %d bytes", v.ReadBytes)
	}
	for _, c := range "abcd" {
		r.wantContent(string(c), largeOf(string(c)))
	}
}

func TestWhatWasNotedIsTakenAsFarAsItIsWholeAndOfTheFileSystem(t *testing.T) {
	r, _ := unfinishedRig(t, "abcde")
	r.cutOff("e")
	noted, err := os.ReadFile(r.o.Unfinished)
	must(t, err)
	read := func(noted []byte) uint64 {
		t.Helper()
		must(t, os.WriteFile(r.o.Unfinished, noted, 0o600))
		r.last = nil
		return r.run().ReadBytes
	}
	if n := read(noted); n != 200_000 {
		t.Errorf("read %d bytes with all of it", n)
	}
	if n := read(noted[:len(noted)-1]); n != 2*200_000 {
		t.Errorf("read %d bytes without its end", n)
	}
	noted[len(noted)/2] ^= 1
	if n := read(noted); n <= 200_000 || n > 5*200_000 {
		t.Errorf("read %d bytes with a damaged part", n)
	}
	noted[len(noted)/2] ^= 1
	for i := range 12 {
		if n := read(noted[:i]); n != 5*200_000 {
			t.Errorf("read %d bytes with %d of it", n, i)
		}
	}
	r.o.Partition.UUID = "another"
	if n := read(noted); n != 5*200_000 {
		t.Errorf("read %d bytes with what is of another file system", n)
	}
}

// Where nothing can be noted the capture goes on without.
func TestCaptureGoesOnWhereNothingCanBeNoted(t *testing.T) {
	r, _ := unfinishedRig(t, "ab")
	r.o.Unfinished = filepath.Join(t.TempDir(), "not/there")
	r.cutOff("b")
	if v := r.run(); v.ReadBytes != 2*200_000 {
		t.Errorf("read %d bytes", v.ReadBytes)
	}
}

// Anybody can make very many files that seem large, in folders of long names.
func TestWhatIsNotedTakesLittleRoom(t *testing.T) {
	p := &snapshot.Partition{MountPoint: "/m", FSType: "ext4"}
	name := filepath.Join(t.TempDir(), "unfinished")
	u, err := openUnfinished(name, p)
	must(t, err)
	u.begin(time.Now(), p)
	e := &snapshot.Entry{Name: []byte("f"), Mode: unix.S_IFREG, Nlink: 1, Size: minUnfinished}
	u.keep(make([]byte, maxUnfinishedPath+1), e)
	if u.size > 100 {
		t.Errorf("%d bytes with a path that is too long", u.size)
	}
	u.keep(make([]byte, maxUnfinishedPath), e)
	if u.size < maxUnfinishedPath {
		t.Errorf("%d bytes with the longest path", u.size)
	}
	before := u.size
	u.size = maxUnfinishedBytes
	u.keep([]byte("f"), e)
	u.close(false)
	info, err := os.Stat(name)
	must(t, err)
	if info.Size() != before {
		t.Errorf("%d bytes were added beyond the bound", info.Size()-before)
	}
}
