package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// answersWithin is how long a call may take before it counts as one that hangs.
const answersWithin = time.Minute

// A version that is deleted and collected under those who have it open goes on for them as far as it is in memory. For the rest they
// get ESTALE, and nobody waits. Who sits in the list of versions sees it go, and latest move.
func TestDeletedVersionAnswersESTALEToWhoHasItOpen(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p, q := newPartition(t, fs, gib), newPartition(t, "ext4", gib)
			tr := &tree{t: t, fs: fs, dir: p.dir, rand: newStream(4)}
			tr.big("big", 24*mib)
			tr.file(string(tr.bytes(300*kib)), "in memory")
			tr.file("not looked at", "folder", "inside")
			known, err := os.ReadFile(p.path("in memory"))
			must(t, err)
			d := start(t, home)
			d.activate("max", p, q)
			v := d.backup(p)
			for _, name := range []string{"big", "in memory", "folder"} { // so that the next version needs none of it
				must(t, os.RemoveAll(p.path(name)))
			}
			must(t, os.WriteFile(p.path("stays"), []byte("stays"), 0o644))
			kept := d.backup(p)
			sh := sitIn(t, filepath.Dir(v.Path))
			if got := sh.run("ls; readlink latest"); !strings.Contains(got, v.Version) || !strings.HasSuffix(got, kept.Version) {
				t.Errorf("before: %s", got)
			}
			stop := d.underLoad(q, v, kept)
			inside := sitIn(t, v.Path)
			big, err := os.Open(filepath.Join(v.Path, "big"))
			must(t, err)
			defer big.Close()
			small, err := os.Open(filepath.Join(v.Path, "in memory"))
			must(t, err)
			defer small.Close()
			held := hold(t, small, len(known))
			d.run(done, "forget", v.Version, "--partition", p.name, "--yes")
			sh.sees("ls", func(list string) bool {
				return !strings.Contains(list, v.Version) && strings.Contains(list, kept.Version)
			})
			stop()
			d.wait("a collection", func() bool { return at(t, home, "vault", "gc", "--wait").code == done }) // one may be running

			got := soon(t, "a read of what is not in memory", func() error {
				_, err := io.Copy(io.Discard, big)
				return err
			})
			if !errors.Is(got, unix.ESTALE) {
				t.Errorf("a read of what is not in memory ends with %v", got)
			}
			b := make([]byte, len(known))
			if err := soon(t, "a read of what is in memory", func() error {
				_, err := small.ReadAt(b, 0)
				return err
			}); err != nil || !bytes.Equal(b, known) || !bytes.Equal(held, known) {
				t.Errorf("a read of what is in memory: %v, or other bytes", err)
			}
			if _, err := os.Lstat(v.Path); !errors.Is(err, unix.ENOENT) {
				t.Errorf("the deleted version by its name: %v", err)
			}
			for _, line := range []string{"ls -la", "cat folder/inside", "find .", "wc -c big", "getfacl -R ."} {
				if out := inside.run(line); strings.Contains(out, "Input/output error") {
					t.Errorf("who sits in it: %s: %s", line, out)
				}
			}
			if b, err := os.ReadFile(filepath.Join(kept.Path, "stays")); err != nil || string(b) != "stays" {
				t.Errorf("the version that stays: %q, %v", b, err)
			}

			before := sh.run("readlink latest")
			newest := d.backup(p)
			sh.sees("readlink latest", func(target string) bool { return target == newest.Version })
			d.run(done, "forget", newest.Version, "--partition", p.name, "--yes", "--wait")
			sh.sees("readlink latest", func(target string) bool { return target == before })
		})
	}
}

// hold maps the first n bytes of a file and keeps them in memory.
func hold(t *testing.T, f *os.File, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(b)) })
	must(t, unix.Mlock(b))
	return b
}

// soon runs what may fail and must not hang.
func soon(t *testing.T, what string, f func() error) error {
	t.Helper()
	end := make(chan error, 1)
	go func() { end <- f() }()
	select {
	case err := <-end:
		return err
	case <-time.After(answersWithin):
		t.Fatalf("%s takes longer than %v", what, answersWithin)
		return nil
	}
}

// A sitter is a shell whose working directory is a folder, and stays it.
type sitter struct {
	t   *testing.T
	dir *os.File
}

func sitIn(t *testing.T, dir string) sitter {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return sitter{t, f}
}

// run runs a line there, and returns what it printed, complaints too.
func (s sitter) run(line string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), answersWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "cd /proc/self/fd/3 && "+line)
	cmd.ExtraFiles = []*os.File{s.dir}
	out, _ := cmd.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Errorf("%s takes longer than %v", line, answersWithin)
	}
	return strings.TrimSpace(string(out))
}

// sees waits until what a line prints there is so: the kernel is told of a change a moment after it was made.
func (s sitter) sees(line string, so func(string) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(answersWithin); !so(s.run(line)); {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s goes on printing %s", line, s.run(line))
		}
	}
}
