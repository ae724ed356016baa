package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A tree makes files that are hard to keep.
type tree struct {
	t    testing.TB
	fs   string
	dir  string
	rand *rand.ChaCha8
}

// socket is the one file of a hostile tree that no version has.
const socket = "modes/socket"

// hostileTree fills the partition with everything a file system can hold that a backup may lose. scale 1 is the whole of it, with 100,000
// entries in one folder and a file of 2 GiB; less is less of those.
func hostileTree(t testing.TB, p *partition, scale float64) {
	t.Helper()
	tr := &tree{t: t, fs: p.fs, dir: p.dir, rand: newStream(1)}
	tr.sizes()
	tr.links()
	tr.names()
	tr.attributes()
	tr.modes()
	tr.holes()
	tr.deep(200)
	tr.broad("broad", int(100_000*scale))
	tr.big("big", int64(2*gib*scale))
	tr.flags()
	tr.times()
}

// newStream returns random bytes, the same for the same seed.
func newStream(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func (tr *tree) must(err error) {
	tr.t.Helper()
	must(tr.t, err)
}

// path joins and makes the folder above.
func (tr *tree) path(elem ...string) string {
	tr.t.Helper()
	path := filepath.Join(tr.dir, filepath.Join(elem...))
	tr.must(os.MkdirAll(filepath.Dir(path), 0o755))
	return path
}

func (tr *tree) folder(elem ...string) string {
	tr.t.Helper()
	path := tr.path(elem...)
	tr.must(os.MkdirAll(path, 0o755))
	return path
}

func (tr *tree) file(content string, elem ...string) string {
	tr.t.Helper()
	path := tr.path(elem...)
	tr.must(os.WriteFile(path, []byte(content), 0o644))
	return path
}

func (tr *tree) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = tr.rand.Read(b)
	return b
}

// sizes makes files around every size at which something changes: blocks, the shortest and longest chunk, lists of chunks.
func (tr *tree) sizes() {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 32767, 32768, 32769, 131072, 524287, 524288, 524289, 5*mib + 1} {
		tr.file(string(tr.bytes(n)), "sizes", fmt.Sprintf("random-%d", n))
		tr.file(strings.Repeat("It was the best of times. ", n/26+1)[:n], "sizes", fmt.Sprintf("text-%d", n))
	}
	// The same bytes again, and shifted.
	b := tr.bytes(2 * mib)
	tr.file(string(b), "sizes", "twice-1")
	tr.file(string(b), "sizes", "twice-2")
	tr.file("x"+string(b), "sizes", "shifted")
	tr.file(strings.Repeat("\x00", 3*mib), "sizes", "zeros")
	tr.folder("empty", "folder", "in folder")
	tr.folder("empty", "other")
}

// longestLink is the longest target of a symlink.
func (tr *tree) longestLink() int {
	switch tr.fs {
	case "xfs":
		return 1023
	case "btrfs":
		return 3900 // what fits beside its header into a leaf
	}
	return 4095
}

func (tr *tree) links() {
	one := tr.file("one file, four names", "links", "one")
	tr.must(os.Link(one, tr.path("links", "two")))
	tr.must(os.Link(one, tr.path("links", "far", "away", "three")))
	tr.must(os.Link(one, tr.path("z-four")))

	symlink := func(target, name string) string {
		tr.t.Helper()
		path := tr.path("links", name)
		tr.must(os.Symlink(target, path))
		return path
	}
	symlink("one", "relative")
	symlink("far/away", "to-folder")
	symlink("/etc/hostname", "absolute")
	symlink("no/such/file", "dangling")
	symlink("itself", "itself")
	symlink("new\nline \xff\xfe", "odd-target")
	symlink(strings.Repeat("0123456789/", 400)[:tr.longestLink()], "longest")
	twice := symlink("one", "symlink-1")
	tr.must(os.Link(twice, tr.path("links", "symlink-2")))
	tr.must(os.Lchown(twice, 1234, 5678))

	fifo := tr.path("links", "fifo-1")
	tr.must(unix.Mkfifo(fifo, 0o640))
	tr.must(os.Link(fifo, tr.path("links", "fifo-2")))
	node := tr.path("links", "node-1")
	tr.must(unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	tr.must(os.Link(node, tr.path("links", "node-2")))
}

func (tr *tree) names() {
	for i, name := range []string{
		"new\nline", "\xff\xfe not UTF-8 \x80", "tab\tbell\aescape\x1b[31m", strings.Repeat("n", 255), strings.Repeat("\xc3\xa9", 127) + "e",
		"caf\u00e9", "cafe\u0301", " blank ", "-rf", "--", "*", "?[a]{b,c}", "back\\slash", "quote'\"`$(x)", "...", ".hidden", "~", "#", "%s%n",
		"latest", "2026-11-22T031705Z", "\u202eevil", "a:b", "COM1.", "\x01",
	} {
		tr.file(fmt.Sprint(i), "names", name)
		tr.file("in it", "names", "folders", name, name)
	}
}

func (tr *tree) attributes() {
	set := func(path, name string, value []byte) {
		tr.t.Helper()
		if err := unix.Lsetxattr(path, name, value, 0); err != nil {
			tr.t.Fatalf("set %s of %q: %v", name, path, err)
		}
	}
	f := tr.file("attributes", "attributes", "file")
	set(f, "user.empty", nil)
	set(f, "user.binary", []byte{0, 1, 0xff, '\n', 0})
	set(f, "user."+strings.Repeat("n", 250), []byte("the longest name"))
	set(f, "user.caf\u00e9", []byte("a name with an accent"))
	set(f, "trusted.yester", []byte("root only"))
	set(f, "security.yester", []byte("for a security module"))
	largest := map[string]int{"ext4": 3000, "xfs": 64 * kib, "btrfs": 12_000}[tr.fs]
	set(tr.file("", "attributes", "large"), "user.large", tr.bytes(largest))
	many := tr.file("", "attributes", "many")
	for i := range 80 {
		set(many, fmt.Sprintf("user.n%d", i), []byte("v"))
	}
	for _, path := range []string{tr.folder("attributes", "folder"), tr.dir} {
		set(path, "user.folder", []byte("of a folder"))
		set(path, "trusted.folder", []byte("of a folder"))
	}
	link := tr.path("attributes", "symlink")
	tr.must(os.Symlink("file", link))
	set(link, "trusted.link", []byte("of a symlink"))
	set(link, "security.link", []byte("of a symlink"))

	acl := tr.file("acl", "attributes", "acl")
	command(tr.t, "setfacl", "-m", "u:1001:rw,u:1002:-,g:2001:r,m::rw", acl)
	folder := tr.folder("attributes", "acl-folder")
	command(tr.t, "setfacl", "-m", "u:1001:rwx,g:2001:rx", folder)
	command(tr.t, "setfacl", "-d", "-m", "u:1001:rwx,g:2001:rx,o::-", folder)
	tr.file("inherits", "attributes", "acl-folder", "inherits")
	tr.folder("attributes", "acl-folder", "inherits too")
	command(tr.t, "setfacl", "-d", "-m", "u:1003:r", tr.folder("attributes", "only a default"))

	ping := tr.file("#!/bin/true", "attributes", "capable")
	tr.must(os.Chmod(ping, 0o755))
	command(tr.t, "setcap", "cap_net_raw,cap_net_admin=ep", ping)
}

func (tr *tree) modes() {
	for _, mode := range []uint32{0, 0o400, 0o200, 0o100, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777} {
		f := tr.file("mode", "modes", fmt.Sprintf("file-%o", mode))
		tr.must(unix.Chmod(f, mode))
		d := tr.folder("modes", fmt.Sprintf("folder-%o", mode))
		tr.file("in it", "modes", filepath.Base(d), "file")
		tr.must(unix.Chmod(d, mode))
	}
	for _, id := range []int{1, 1000, 65534, 65535, 65536, 2_147_483_648, 4_294_967_294} {
		f := tr.file("owned", "modes", fmt.Sprintf("owner-%d", id))
		tr.must(os.Chown(f, id, id-1))
	}
	// An owner's setuid file: changing the owner drops the bit, so the order in which it is put back matters.
	f := tr.file("setuid", "modes", "setuid of another")
	tr.must(os.Chown(f, 1000, 1000))
	tr.must(unix.Chmod(f, 0o6755))

	node := func(name string, mode uint32, major, minor uint32) {
		tr.t.Helper()
		tr.must(unix.Mknod(tr.path("modes", name), mode, int(unix.Mkdev(major, minor))))
	}
	node("char", unix.S_IFCHR|0o620, 5, 1)
	node("block", unix.S_IFBLK|0o660, 7, 200)
	node("large numbers", unix.S_IFCHR|0o600, 511, 1<<18-1) // the most that xfs holds
	node("overlay whiteout", unix.S_IFCHR, 0, 0)
	node("fifo", unix.S_IFIFO|0o606, 0, 0)
	node(filepath.Base(socket), unix.S_IFSOCK|0o755, 0, 0)
}

// holes makes sparse files: 10 GiB with little data, holes at both ends, and nothing but a hole.
func (tr *tree) holes() {
	sparse := func(name string, size int64, at ...int64) {
		tr.t.Helper()
		f, err := os.Create(tr.path("holes", name))
		tr.must(err)
		defer f.Close()
		tr.must(f.Truncate(size))
		for _, off := range at {
			_, err := f.WriteAt(tr.bytes(int(min(size-off, 100_000))), off)
			tr.must(err)
		}
	}
	sparse("10 GiB", 10*gib, 0, 1*gib+12345, 5*gib, 5*gib+mib, 10*gib-1)
	sparse("hole only", 1*gib)
	sparse("hole at the end", 100*mib, 0)
	sparse("hole at the front", 100*mib+77, 100*mib-50)
	sparse("many", 64*mib, 0, 8*mib, 16*mib, 24*mib, 32*mib, 40*mib, 48*mib, 56*mib)
	sparse("small hole", 200*kib, 0, 150*kib)
	sparse("one byte", 1)

	// Reserved and never written: no hole to the disk, and zeros to a reader.
	f, err := os.Create(tr.path("holes", "reserved"))
	tr.must(err)
	tr.must(unix.Fallocate(int(f.Fd()), 0, 0, 10*mib))
	_, err = f.WriteAt(tr.bytes(1000), 5*mib)
	tr.must(errors.Join(err, f.Close()))
}

func (tr *tree) deep(levels int) {
	path := []string{"deep"}
	for i := range levels {
		path = append(path, fmt.Sprintf("level-%03d", i))
		if i%10 == 0 {
			tr.file(fmt.Sprint(i), append(path, "file")...)
		}
	}
	tr.file("the lowest", append(path, "file")...)
}

// broad makes a folder of n entries, most of them small or empty.
func (tr *tree) broad(name string, n int) {
	dir := tr.folder(name)
	for i := range n {
		path := fmt.Sprintf("%s/entry-%d-%x", dir, i, i*7919)
		switch {
		case i%1000 == 1:
			tr.must(os.Mkdir(path, 0o711))
		case i%100 == 2:
			tr.must(os.Symlink(path, path))
		case i%20 == 3:
			tr.must(os.WriteFile(path, []byte(path), 0o600))
		default:
			tr.must(unix.Mknod(path, unix.S_IFREG|0o644, 0))
		}
	}
}

// big makes a file in which a mebibyte that compresses and one that does not alternate; no two are equal.
func (tr *tree) big(name string, size int64) {
	f, err := os.Create(tr.path(name))
	tr.must(err)
	defer f.Close()
	text := bytes.Repeat([]byte("It was the age of wisdom, it was the age of foolishness, line 00000000.\n"), mib/72+1)[:mib]
	for off := int64(0); off < size; off += 2 * mib {
		for b := 0; b < mib; b += 4 * kib {
			copy(text[b:], fmt.Sprintf("%016x", off+int64(b)))
		}
		_, err := f.Write(append(text, tr.bytes(mib)...)[:min(2*mib, size-off)])
		tr.must(err)
	}
}

// What chattr sets; from linux/fs.h.
const (
	flagImmutable  = 0x10
	flagAppendOnly = 0x20
	flagNoDump     = 0x40
)

// flags sets what chattr sets. It comes last but for times: what is immutable changes no more.
func (tr *tree) flags() {
	for name, flag := range map[string]int{"immutable": flagImmutable, "append only": flagAppendOnly, "no dump": flagNoDump} {
		setFlag(tr.t, tr.file(name, "flags", name), flag)
	}
}

func setFlag(t testing.TB, path string, flag int) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	others, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, others|flag))
}

// times sets times that a careless clock does not hold; also of folders, symlinks and the top.
func (tr *tree) times() {
	set := func(path string, sec, nsec int64) {
		tr.t.Helper()
		ts := []unix.Timespec{{Sec: sec, Nsec: nsec}, {Sec: sec, Nsec: nsec}}
		tr.must(unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW))
	}
	times := map[string][2]int64{
		"1907":                     {-1_982_000_000, 123_456_789},
		"just before 1970":         {-1, 999_999_999},
		"long before 1970, no ns":  {-86_400 * 365, 0},
		"1970":                     {0, 0},
		"1970 and a nanosecond":    {0, 1},
		"2038":                     {1 << 31, 500_000_001},
		"2106":                     {1 << 32, 1},
		"2400":                     {13_569_465_600, 999_999_999},
		"all nine digits":          {1_700_000_000, 987_654_321},
		"a nanosecond before 2026": {1_767_225_599, 999_999_999},
	}
	for name, at := range times {
		set(tr.file("time", "times", name), at[0], at[1])
		link := tr.path("times", "link "+name)
		tr.must(os.Symlink(name, link))
		set(link, at[0], at[1])
	}
	for name, at := range times {
		set(tr.folder("times", "folder "+name), at[0], at[1])
	}
	set(tr.dir, -5_000_000, 5)
}
