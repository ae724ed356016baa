package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// only is what of a manifest is at or below one of the paths, with the folders on the way if lead is set.
func (m manifest) only(lead bool, paths ...string) manifest {
	kept := manifest{}
	for path, r := range m {
		for _, p := range paths {
			if path == p || strings.HasPrefix(path, p+"/") || lead && strings.HasPrefix(p, path+"/") {
				kept[path] = r
			}
		}
	}
	return kept
}

// without is a manifest but for the paths and what is below them.
func (m manifest) without(paths ...string) manifest {
	kept, out := manifest{}, m.only(false, paths...)
	for path, r := range m {
		if _, is := out[path]; !is {
			kept[path] = r
		}
	}
	return kept
}

// A version comes back exactly: all of it, and parts, where it was and elsewhere, whether what is in the way is skipped or overwritten.
func TestRestoreBringsEverythingBackExactly(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			p := newPartition(t, fs, 16*gib)
			hostileTree(t, p, 0.005)
			d := start(t, newHome(t))
			d.activate("max", p)
			d.backup(p)
			want := read(t, p.dir, socket)
			drill := at(t, d.home, "drill", "--files", "100000", "--size", "100Gi", "--wait") // to ext4, which cannot hold all that the others can
			if drill.code != done && (drill.code != warned || fs == "ext4") || !strings.Contains(drill.stdout, "came back as they were") {
				t.Errorf("a drill with all files ends with %d\n%s%s", drill.code, drill.stdout, drill.stderr)
			}
			if left, err := os.ReadDir(filepath.Join(d.home, "drill")); err != nil || len(left) > 0 {
				t.Errorf("the drill left %v, %v", left, err)
			}

			q := newPartition(t, fs, 16*gib)
			d.run(done, "restore", "latest", "--partition", p.name, "--to", q.dir, "--wait")
			same(t, "all of it elsewhere", want, read(t, q.dir))
			holesKept(t, want, read(t, q.dir))
			d.run(done, "restore", "latest", "--partition", p.name, "--to", q.dir, "--verify-only", "--wait")

			spoil(t, q)
			spoilt := read(t, q.dir)
			d.run(warned, "restore", "latest", "--partition", p.name, "--to", q.dir, "--verify-only", "--wait")
			d.run(done, "restore", "latest", "--partition", p.name, "--to", q.dir, "--wait")
			skipped := read(t, q.dir)
			same(t, "what was there and is skipped", spoilt.only(false, "sizes"), skipped.only(false, "sizes"))
			same(t, "what lacked, and skipping restored", want.only(false, "names/folders"), skipped.only(false, "names/folders"))
			d.run(done, "restore", "latest", "--partition", p.name, "--to", q.dir, "--on-conflict", "overwrite", "--yes", "--delete", "--wait")
			same(t, "all of it elsewhere, overwritten", want, read(t, q.dir))

			part := q.path("part")
			must(t, os.Mkdir(part, 0o755))
			d.run(done, "restore", "latest", "--to", part, "--wait", p.path("attributes"), p.path("holes"), p.path("times", "2038"))
			got := read(t, part)
			delete(got, ".")
			expected := want.only(true, "attributes", "holes", "times/2038")
			delete(expected, "times") // it is on the way, and its time as well
			delete(got, "times")
			same(t, "some paths elsewhere", expected, got)

			some := q.path("some")
			must(t, os.Mkdir(some, 0o755))
			d.run(done, "restore", "latest", "--partition", p.name, "--to", some, "--include", "random-*", "--include", p.path("attributes"), "--exclude", "*-4096", "--exclude", "acl*", "--wait")
			got = read(t, some)
			expected = manifest{}
			for path, r := range want {
				base := filepath.Base(path)
				switch {
				case base == "random-4096" || strings.HasPrefix(path, "attributes/acl"):
				case strings.HasPrefix(path, "attributes"), strings.HasPrefix(path, "sizes/random-"), path == "sizes":
					expected[path] = r
				}
			}
			delete(got, ".")
			same(t, "what is included elsewhere", expected, got)

			spoil(t, p)
			d.run(done, "restore", "latest", p.path("names"), "--exclude", "folders", "--wait")
			if _, err := os.Lstat(p.path("names", "folders")); err == nil {
				t.Error("what was excluded came back")
			}
			d.run(done, "restore", "latest", "--partition", p.name, "--on-conflict", "overwrite", "--yes", "--wait")
			same(t, "all of it where it was", want.without("."), read(t, p.dir, socket, ".", "surplus", "surplus/folder"))
			d.run(done, "restore", "latest", p.path("sizes"), p.path("links"), "--verify-only", "--wait")
		})
	}
}

// spoil changes a tree in every way that a restore has to make good.
func spoil(t testing.TB, p *partition) {
	t.Helper()
	must(t, os.RemoveAll(p.path("names", "folders")))
	must(t, os.WriteFile(p.path("sizes", "text-4096"), []byte("shorter"), 0o600))
	must(t, os.Truncate(p.path("sizes", "random-4095"), 100_000))
	f, err := os.OpenFile(p.path("sizes", "random-5242881"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("changed"), 3*mib)
	must(t, err)
	must(t, f.Close())
	must(t, os.Remove(p.path("links", "two")))
	must(t, os.WriteFile(p.path("links", "two"), []byte("one file, four names"), 0o644))
	must(t, os.Remove(p.path("links", "fifo-2")))
	must(t, os.Remove(p.path("links", "relative")))
	must(t, os.Symlink("elsewhere", p.path("links", "relative")))
	must(t, unix.Lremovexattr(p.path("attributes", "file"), "user.binary"))
	must(t, unix.Lsetxattr(p.path("attributes", "file"), "user.new", []byte("x"), 0))
	must(t, os.Chmod(p.path("attributes", "acl"), 0o777))
	must(t, os.Chown(p.path("modes", "owner-1000"), 7, 7))
	must(t, os.Chtimes(p.path("times", "folder 2038"), time.Unix(5, 0), time.Unix(5, 0)))
	must(t, os.MkdirAll(p.path("surplus", "folder"), 0o755))
}

// holesKept fails the test if a restored file takes more than its source did.
func holesKept(t testing.TB, want, got manifest) {
	t.Helper()
	for path, w := range want {
		if strings.HasPrefix(path, "holes/") && got[path].data > w.data+64*kib {
			t.Errorf("%s has %d bytes of data, %d at the source", path, got[path].data, w.data)
		}
	}
}
