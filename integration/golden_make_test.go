package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// goldenEnv names a folder, not there yet, into which TestMakeGoldenVaults makes what testdata/vaults holds. Nothing else ever does:
// what is there was written by the yester that was current then, and every later one must read it. It is added to when the format
// gets a new number, never replaced.
const goldenEnv = "YESTER_MAKE_GOLDEN"

// What the golden vaults are made with.
const (
	goldenName       = "golden" // of the instance and of the partition
	goldenPassphrase = "correct horse battery staple"
)

func TestMakeGoldenVaults(t *testing.T) {
	to := os.Getenv(goldenEnv)
	if to == "" {
		t.Skip("golden vaults are made only when " + goldenEnv + " says where")
	}
	need(t)
	must(t, os.Mkdir(to, 0o755))
	p := newPartitionAt(t, "ext4", gib, "/"+goldenName)
	tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(1)}
	tr.goldenFirst()

	home := newHome(t)
	passphrase := filepath.Join(filepath.Dir(home), "passphrase")
	must(t, os.WriteFile(passphrase, []byte(goldenPassphrase), 0o600))
	d := startNamed(t, home, "named-otherwise")
	d.activate("low", p)
	d.run(done, "vault", "key", "add", "--kind", "passphrase", "--passphrase-file", passphrase)
	var recovery struct {
		Recovery string `json:"recovery"`
	}
	d.json(&recovery, "vault", "key", "add", "--kind", "recovery")
	must(t, os.WriteFile(filepath.Join(to, "v1.keys"), []byte(goldenPassphrase+"\n"+recovery.Recovery+"\n"), 0o644))
	var manifest strings.Builder
	take := func(d *daemon) {
		v := d.backup(p)
		want := lines(t, p.dir)
		sameLines(t, "the new version", want, lines(t, v.Path))
		fmt.Fprintf(&manifest, "%s\n%s\n\n", v.Version, strings.Join(want, "\n"))
	}
	take(d)
	tr.goldenSecond()
	d.wait("the next second, which names a version of its own", func() bool {
		return time.Now().UTC().Format(versionLayout) > d.versions(p)[0].Version
	})
	d.stop()
	d = startNamed(t, home, goldenName) // so that instance.json is written again
	d.activate("max", p)
	take(d)
	d.stop()
	must(t, os.WriteFile(filepath.Join(to, "v1.manifest"), []byte(manifest.String()), 0o644))
	keepVault(t, filepath.Join(home, "vault"), filepath.Join(to, "v1"))

	home = newHome(t)
	args := []string{"vault", "init", "--survive", "1"}
	for _, place := range goldenPlaces {
		args = append(args, "--place", filepath.Join(home, place))
	}
	at(t, home, args...)
	d = startNamed(t, home, goldenName)
	d.activate("max", p)
	manifest.Reset()
	take(d)
	d.stop()
	must(t, os.WriteFile(filepath.Join(to, "v1-spread.manifest"), []byte(manifest.String()), 0o644))
	for _, place := range goldenPlaces {
		keepVault(t, filepath.Join(home, place), filepath.Join(to, "v1-spread", place))
	}
}

// startNamed starts a daemon on a host of a name.
func startNamed(t testing.TB, home, name string) *daemon {
	t.Helper()
	return startIn(t, home, "unshare", "--uts", "sh", "-c", `hostname "$0" && exec "$@"`, name)
}

// goldenPlaces are the places of the vault that lies in three.
var goldenPlaces = []string{"a", "b", "c"}

// keepVault copies a vault for git, which knows no empty folders.
func keepVault(t testing.TB, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(to), 0o755))
	command(t, "cp", "-r", from, to)
	command(t, "find", to, "-type", "d", "-empty", "-delete")
	command(t, "find", to, "-name", "owner.json*", "-delete") // or no other daemon might write to it
	command(t, "chmod", "-R", "u=rwX,go=rX", to)
}

// goldenFirst makes the tree of the first golden version: little of everything that has a form of its own in the vault.
func (tr *tree) goldenFirst() {
	tr.file(tr.text(0), "text")                 // compresses
	tr.file(string(tr.bytes(48*kib)), "random") // does not
	tr.file("", "empty file")                   // no chunk
	tr.folder("empty folder")                   // no page
	tr.file("name of two lines", "names", "new\nline")
	tr.file("name of no text", "names", "\xff\xfe not UTF-8 \x80")
	tr.file("name in UTF-8", "names", "caf\u00e9")

	one := tr.file("one file, two names", "links", "one")
	tr.must(os.Link(one, tr.path("links", "two")))
	tr.must(os.Symlink("../text", tr.path("links", "symlink")))
	tr.must(os.Symlink("no/\xff\n", tr.path("links", "dangling")))
	tr.must(unix.Mkfifo(tr.path("links", "fifo"), 0o640))
	tr.must(unix.Mknod(tr.path("links", "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	tr.must(unix.Mknod(tr.path("links", "disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 65536))))

	f := tr.file("attributes", "attributes", "some")
	tr.must(unix.Lsetxattr(f, "user.binary", []byte{0, 1, 0xff, '\n'}, 0))
	tr.must(unix.Lsetxattr(f, "user.empty", nil, 0))
	tr.must(unix.Lsetxattr(f, "trusted.yester", []byte("root only"), 0))
	tr.must(unix.Lsetxattr(tr.file("", "attributes", "large"), "user.large", tr.bytes(3000), 0)) // in a chunk of its own
	command(tr.t, "setfacl", "-m", "u:1001:rw,g:2001:r", tr.file("acl", "attributes", "acl"))
	command(tr.t, "setfacl", "-d", "-m", "u:1001:rwx", tr.folder("attributes", "default acl"))
	capable := tr.file("#!/bin/true", "attributes", "capable")
	tr.must(os.Chmod(capable, 0o4755))
	command(tr.t, "setcap", "cap_net_raw=ep", capable)
	command(tr.t, "chattr", "+d", tr.file("not dumped", "attributes", "no dump"))
	tr.must(os.Chown(tr.file("owned", "attributes", "owned"), 4_294_967_294, 65536))

	holes, err := os.Create(tr.path("holes"))
	tr.must(err)
	for i := range 6 { // more pieces than an entry holds
		_, err := holes.WriteAt([]byte(strings.Repeat(fmt.Sprintf("piece %d. ", i), 400)), int64(i)*128*kib)
		tr.must(err)
	}
	tr.must(holes.Truncate(mib))
	tr.must(holes.Close())

	// Where a page of a folder ends is in the hash of a name; it is in those of page-297 and page-404, so there are three pages, and one of
	// references to them.
	for _, name := range []string{"page-000", "page-297", "page-298", "page-404", "page-405"} {
		tr.file(name, "pages", name)
	}
	for i := range 100 { // more than one meta block lists
		tr.file(fmt.Sprint(i), "many", fmt.Sprintf("file-%02d", i))
	}
	for name, sec := range map[string]int64{"1907": -1_982_000_000, "2400": 13_569_465_600} {
		ts := []unix.Timespec{{Sec: sec, Nsec: 123_456_789}, {Sec: sec, Nsec: 123_456_789}}
		tr.must(unix.UtimesNanoAt(unix.AT_FDCWD, tr.file(name, "times", name), ts, 0))
	}
}

// goldenSecond changes it to that of the second.
func (tr *tree) goldenSecond() {
	tr.file(tr.text(1), "text")
	tr.must(os.Remove(tr.path("names", "new\nline")))
	tr.must(os.Rename(tr.path("random"), tr.path("random, renamed")))
	tr.file("new", "names", "new")
	tr.must(os.Remove(tr.path("links", "two")))
	tr.must(os.Chmod(tr.path("links", "one"), 0o600))
	for i := range 8 { // which share a frame, in a file pack of their own
		tr.file(fmt.Sprintf("%d: %s", i, tr.text(2)[:2000]), "together", strconv.Itoa(i))
	}
}

// text is some 60 KiB that compress, in an edition.
func (tr *tree) text(edition int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Edition %d.\n", edition)
	for i := range 1000 {
		fmt.Fprintf(&b, "Line %d: it was the best of times, it was the worst of times.\n", i)
	}
	return b.String()
}
