package capture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
	"yester/store/place"
)

// A rig captures one partition into a vault in memory, each version against the one before.
type rig struct {
	t     testing.TB
	vault *store.Vault
	mem   *place.Mem
	o     Options
	start time.Time
	last  *snapshot.Version

	workers int // that store beside the walkers
}

func newRig(t testing.TB, point string) *rig {
	needRoot(t)
	mem := place.NewMem(1)
	vo := store.Options{Places: []place.Place{mem}, Reserve: 1}
	if err := store.Init(t.Context(), vo); err != nil {
		t.Fatal(err)
	}
	v, err := store.Open(t.Context(), vo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	m := mountOf(t, point)
	r := &rig{t: t, vault: v, mem: mem, start: time.Now().UTC().Truncate(time.Second)}
	r.o = Options{Partition: m.Partition, Instance: store.Instance{ID: strings.Repeat("ab", 16), Name: "web1"}, Tool: "yester test", Walkers: 3}
	// Files of a test are young; clocks that are ahead make them old, and tests need not wait.
	r.o.clock = func() time.Time { return time.Now().Add(time.Minute) }
	return r
}

// mountOf finds the mount that a path lies on.
func mountOf(t testing.TB, path string) Mount {
	t.Helper()
	mounts, err := Discover()
	must(t, err)
	m, ok := MountOf(mounts, path)
	if !ok || m.Excluded != "" {
		t.Fatalf("%s lies on what cannot be backed up: %s", path, m.Excluded)
	}
	return m
}

// emptyRig is a rig of a new ext4 partition with nothing in it.
func emptyRig(t testing.TB) (r *rig, point string) {
	point = partition(t, "ext4")
	must(t, os.Remove(point+"/lost+found"))
	return newRig(t, point), point
}

func needRoot(t testing.TB) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a partition is opened by cloning its mount")
	}
}

// try captures the next version.
func (r *rig) try(ctx context.Context) (*snapshot.Version, error) {
	w, err := r.vault.Writer(r.o.Instance.ID, store.WriterOptions{Encoding: pack.LZ4, Workers: r.workers})
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			r.t.Error(err)
		}
	}()
	o := r.o
	o.Parent = r.last
	if o.Now == nil {
		r.start = r.start.Add(time.Hour)
		o.Now = func() time.Time { return r.start }
	}
	return Run(ctx, r.vault, w, o)
}

// run captures the next version, which must come out whole: as warned as told.
func (r *rig) run(warnings ...string) *snapshot.Version {
	r.t.Helper()
	v, err := r.try(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if len(warnings) != int(v.WarningCount) {
		r.t.Errorf("warnings %v, want %q", v.Warnings, warnings)
	}
	for i := range min(len(warnings), len(v.Warnings)) {
		if got := v.Warnings[i].Path + ": " + v.Warnings[i].What; !strings.Contains(got, warnings[i]) {
			r.t.Errorf("warning %q, want %q", got, warnings[i])
		}
	}
	record, err := r.vault.Record(r.t.Context(), v.Key())
	if err != nil {
		r.t.Fatal(err)
	}
	if r.last, err = snapshot.ParseVersion(record); err != nil {
		r.t.Fatal(err)
	}
	return r.last
}

// entries returns all of a version by path, the root as "".
func (r *rig) entries(v *snapshot.Version) map[string]snapshot.Entry {
	r.t.Helper()
	root, err := v.RootEntry()
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]snapshot.Entry{"": root}
	if t := r.below(all, "", root.Tree); t != root.Totals || t != v.Totals {
		r.t.Errorf("totals are %+v and %+v, counted %+v", root.Totals, v.Totals, t)
	}
	return all
}

func (r *rig) below(all map[string]snapshot.Entry, dir string, tree store.ID) (t snapshot.Totals) {
	r.t.Helper()
	rd := snapshot.NewReader(r.vault, tree)
	for {
		var e snapshot.Entry
		if !rd.Next(r.t.Context(), &e) {
			break
		}
		path := strings.TrimPrefix(dir+"/"+string(e.Name), "/")
		all[path] = e
		if !e.IsDir() {
			t.Files++
			if e.IsRegular() {
				t.Bytes += e.Size
			}
			continue
		}
		sub := r.below(all, path, e.Tree)
		if sub != e.Totals {
			r.t.Errorf("totals of %q are %+v, counted %+v", path, e.Totals, sub)
		}
		t.Files, t.Dirs, t.Bytes = t.Files+sub.Files, t.Dirs+sub.Dirs+1, t.Bytes+sub.Bytes
	}
	if err := rd.Err(); err != nil {
		r.t.Fatal(err)
	}
	return t
}

// paths lists what a version has below dir, relative to it, folders with a slash at the end.
func (r *rig) paths(v *snapshot.Version, dir string) []string {
	r.t.Helper()
	rel := strings.TrimPrefix(strings.TrimPrefix(dir, r.o.Partition.MountPoint), "/")
	var got []string
	for p, e := range r.entries(v) {
		if rest, ok := below("/"+p, "/"+rel); ok && rest != "" {
			if e.IsDir() {
				rest += "/"
			}
			got = append(got, rest)
		}
	}
	return sorted(got)
}

// content reads a captured file back; the holes are where spans say so.
func (r *rig) content(e *snapshot.Entry) (data []byte, holes []string) {
	r.t.Helper()
	data = make([]byte, e.Size)
	err := snapshot.Spans(r.t.Context(), r.vault, e, 0, e.Size, func(s snapshot.Span) bool {
		if s.Hole() {
			holes = append(holes, fmt.Sprintf("%d+%d", s.Off, s.Len))
			return true
		}
		raw, err := r.vault.Get(r.t.Context(), s.ID)
		if err != nil || uint64(len(raw)) != s.Len {
			r.t.Errorf("chunk at %d: %d bytes, %v; want %d", s.Off, len(raw), err, s.Len)
		}
		copy(data[s.Off:], raw)
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return data, holes
}

// partition makes a file system of the type in a file and mounts it until the test ends.
func partition(t testing.TB, fstype string, options ...string) (point string) {
	needRoot(t)
	if _, err := exec.LookPath("mkfs." + fstype); err != nil {
		t.Skipf("needs mkfs.%s", fstype)
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "point")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 600<<20))
	must(t, os.Mkdir(point, 0o755))
	quiet := map[string]string{"btrfs": "-q", "ext4": "-q", "xfs": "-q"}[fstype]
	command(t, append(append([]string{"mkfs." + fstype, quiet}, options...), image)...)
	mount(t, point, "mount", "-o", "loop", image, point)
	return point
}

// mount runs a mount command and undoes it when the test ends.
func mount(t testing.TB, point string, args ...string) {
	command(t, args...)
	t.Cleanup(func() {
		err := unix.Unmount(point, 0)
		for begin := time.Now(); err == unix.EBUSY && time.Since(begin) < 5*time.Second; err = unix.Unmount(point, 0) {
			time.Sleep(20 * time.Millisecond) // a process that is just being started has all descriptors until it is another program
		}
		if err != nil {
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", point, err)
			}
			t.Errorf("%s was still in use", point)
		}
	})
}

func command(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(bytes.TrimSpace(out))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// letThrough opens to everybody what a path in a folder of the test lies in.
func letThrough(t testing.TB, path string) {
	t.Helper()
	own := filepath.Clean(os.TempDir()) + "/"
	for p := filepath.Dir(path); strings.HasPrefix(p, own); p = filepath.Dir(p) {
		must(t, os.Chmod(p, 0o755))
	}
}

// write makes a file with the folders above it.
func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}
