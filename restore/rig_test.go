package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
	"yester/store/place"
)

// A rig is a vault in memory with versions that a test makes, however odd they are.
type rig struct {
	t     *testing.T
	vault *store.Vault
	w     *store.Writer
	ino   uint64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("owners and devices are root's to give")
	}
	o := store.Options{Places: []place.Place{place.NewMem(1)}, Log: slog.New(slog.DiscardHandler), Reserve: 1}
	must(t, store.Init(t.Context(), o))
	v, err := store.Open(t.Context(), o)
	must(t, err)
	w, err := v.Writer("i", store.WriterOptions{Encoding: pack.LZ4})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()); must(t, v.Close()) })
	return &rig{t: t, vault: v, w: w}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *rig) entry(name string, mode uint32) snapshot.Entry {
	g.ino++
	return snapshot.Entry{
		Name: []byte(name), Mode: mode, Nlink: 1, Ino: g.ino, UID: 1000, GID: 1001,
		Mtime: snapshot.Time{Sec: 1_600_000_000 + int64(g.ino), Nsec: 123456789},
	}
}

// pieceLen is the length of the pieces that files are cut into here.
const pieceLen = 40 << 10

// file stores content in pieces; those that are all zeros are holes.
func (g *rig) file(name, content string) snapshot.Entry {
	g.t.Helper()
	e := g.entry(name, unix.S_IFREG|0o644)
	e.Size = uint64(len(content))
	b := snapshot.NewFileBuilder(g.w)
	for p := range slices.Chunk([]byte(content), pieceLen) {
		ref := snapshot.Ref{Len: uint64(len(p))}
		if strings.Trim(string(p), "\x00") != "" {
			id, _, err := g.w.Put(g.t.Context(), pack.KindFile, p)
			must(g.t, err)
			ref.ID = id
		}
		must(g.t, b.Add(g.t.Context(), ref))
	}
	must(g.t, b.Finish(g.t.Context(), &e))
	return e
}

func (g *rig) dir(name string, kids ...snapshot.Entry) snapshot.Entry {
	g.t.Helper()
	e := g.entry(name, unix.S_IFDIR|0o750)
	b := snapshot.NewBuilder(g.w)
	slices.SortFunc(kids, func(a, b snapshot.Entry) int { return bytes.Compare(a.Name, b.Name) })
	for i := range kids {
		must(g.t, b.Add(g.t.Context(), &kids[i]))
	}
	var err error
	e.Tree, e.Totals, err = b.Finish(g.t.Context())
	must(g.t, err)
	return e
}

func (g *rig) symlink(name, to string) snapshot.Entry {
	e := g.entry(name, unix.S_IFLNK|0o777)
	e.Target, e.Size = []byte(to), uint64(len(to))
	return e
}

func (g *rig) xattrs(e snapshot.Entry, set ...snapshot.Xattr) snapshot.Entry {
	e.Xattrs = snapshot.EncodeXattrs(set)
	return e
}

// version is one with these names in its root.
func (g *rig) version(kids ...snapshot.Entry) *snapshot.Version {
	g.t.Helper()
	root := g.dir("", kids...)
	v := &snapshot.Version{Instance: "i", Partition: snapshot.Partition{Name: "data", MountPoint: "/data"}, Name: "v"}
	v.SetRoot(&root)
	must(g.t, g.w.Flush(g.t.Context()))
	return v
}

// restore restores to a folder.
func (g *rig) restore(v *snapshot.Version, to string, change ...func(*Options)) *Result {
	g.t.Helper()
	r, err := g.try(g.t.Context(), v, to, change...)
	must(g.t, err)
	return r
}

func (g *rig) try(ctx context.Context, v *snapshot.Version, to string, change ...func(*Options)) (*Result, error) {
	g.t.Helper()
	fd, err := unix.Open(to, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(g.t, err)
	defer unix.Close(fd)
	o := Options{Vault: g.vault, Version: v, Target: fd, Workers: 3}
	for _, f := range change {
		f(&o)
	}
	return Run(ctx, o)
}

func overwrite(o *Options) { o.OnConflict = Overwrite }

// listing is all that lies below a folder, a line for each: type, mode, owner, time, and what it holds.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%q %o %d:%d %d.%09d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			c, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&b, " %d %x", len(c), sha256.Sum256(c))
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			must(t, err)
			fmt.Fprintf(&b, " -> %q", to)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// text is n bytes in which no two pieces are equal.
func text(seed, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%d: line %d of it\n", seed, b.Len())
	}
	return b.String()[:n]
}

// wantLeft fails the test unless a list names just these paths.
func wantLeft(t testing.TB, what string, l List, paths ...string) {
	t.Helper()
	var got []string
	for _, i := range l.Items {
		got = append(got, i.Path)
	}
	slices.Sort(got)
	slices.Sort(paths)
	if !slices.Equal(got, paths) || l.Count != uint64(len(paths)) {
		t.Errorf("%s are %v, want %q", what, l.Items, paths)
	}
}
