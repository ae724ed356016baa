package restore

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// inodeFlags are the flags of a file or folder.
func inodeFlags(t *testing.T, path string) uint32 {
	t.Helper()
	f, err := unix.IoctlGetUint32(openDir(t, path), unix.FS_IOC_GETFLAGS)
	must(t, err)
	return f
}

// A file has the flags that the version says, and not those that its folder passes on, also where they can be changed only while it is empty.
func TestFilesGetNoFlagsFromTheirFolder(t *testing.T) {
	const noCopyOnWrite = 0x800000
	g := newRig(t)
	flagged := func(e snapshot.Entry) snapshot.Entry {
		e.Flags = noCopyOnWrite
		return e
	}
	large := text(1, 6*pieceLen)
	v := g.version(
		flagged(g.dir("d", flagged(g.file("with", large)), g.file("without", large), g.file("changed", large), g.dir("plain", g.file("f", large)))),
		g.dir("p", flagged(g.file("with", large))),
	)
	dir := mountImage(t, newImage(t, 120, "mkfs.btrfs"))
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("d/changed"), large[:3*pieceLen]+"X"+large[3*pieceLen+1:])
	command(t, "chattr", "+C", path("d"))
	r := g.restore(v, dir, overwrite)
	wantLeft(t, "failed", r.Failed)
	wantLeft(t, "noted", r.Notes)
	for name, want := range map[string]uint32{
		"d": noCopyOnWrite, "d/with": noCopyOnWrite, "d/without": 0, "d/changed": 0, "d/plain": 0, "d/plain/f": 0, "p": 0, "p/with": noCopyOnWrite,
	} {
		if have := inodeFlags(t, path(name)); have&noCopyOnWrite != want {
			t.Errorf("the flags of %s are %x", name, have)
		}
	}
	wantSame(t, g, v, dir)
}
