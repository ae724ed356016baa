package fs

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
)

// A tree is a file as a test wants it in a version. The server's process stores it and the test's process, which makes the
// same one, compares.
type tree struct {
	snapshot.Entry
	parts  []part
	xattrs []snapshot.Xattr
	kids   []*tree

	spoil func(context.Context, *store.Writer, *snapshot.Entry) error // changes the entry once the rest is stored
}

// A part is a chunk of pseudo-random bytes, or a hole.
type part struct {
	seed uint64 // 0: a hole
	n    uint64
}

func (p part) bytes() []byte {
	b := make([]byte, p.n)
	r := rand.NewPCG(p.seed, p.n)
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// content returns the bytes of a tree without large holes.
func (t *tree) content() []byte {
	var all []byte
	for _, p := range t.parts {
		if p.seed == 0 {
			all = append(all, make([]byte, p.n)...)
		} else {
			all = append(all, p.bytes()...)
		}
	}
	return all
}

func (t *tree) named(name string) *tree { t.Name = []byte(name); return t }

func (t *tree) mode(mode uint32) *tree { t.Mode = t.Mode&syscall.S_IFMT | mode; return t }

func (t *tree) owner(uid, gid uint32) *tree { t.UID, t.GID = uid, gid; return t }

func (t *tree) xattr(name, value string) *tree {
	t.xattrs = append(t.xattrs, snapshot.Xattr{Name: name, Value: []byte(value)})
	return t
}

func (t *tree) times(m, c, b snapshot.Time) *tree { t.Mtime, t.Ctime, t.Btime = m, c, b; return t }

// child returns what lies at a path.
func (t *tree) child(path string) *tree {
	for name := range strings.SplitSeq(path, "/") {
		i := slices.IndexFunc(t.kids, func(k *tree) bool { return string(k.Name) == name })
		t = t.kids[i]
	}
	return t
}

// maker numbers inodes in the order things are made.
type maker struct{ ino uint64 }

func (m *maker) thing(mode uint32) *tree {
	m.ino++
	t := &tree{Entry: snapshot.Entry{Mode: mode, Nlink: 1, Ino: m.ino + 100}}
	t.Mtime = snapshot.Time{Sec: 1700000000 + int64(m.ino), Nsec: uint32(m.ino)}
	t.Ctime = snapshot.Time{Sec: 1700000000 + int64(m.ino), Nsec: 999999999}
	return t
}

func (m *maker) dir(kids ...*tree) *tree {
	t := m.thing(syscall.S_IFDIR | 0o755)
	t.kids, t.Size, t.Nlink = kids, 4096, 2
	return t
}

func (m *maker) file(parts ...part) *tree {
	t := m.thing(syscall.S_IFREG | 0o644)
	t.parts = parts
	for _, p := range parts {
		t.Size += p.n
	}
	return t
}

func (m *maker) link(target string) *tree {
	t := m.thing(syscall.S_IFLNK | 0o777)
	t.Target, t.Size = []byte(target), uint64(len(target))
	return t
}

func (m *maker) device(mode uint32, rdev uint64) *tree {
	t := m.thing(mode)
	t.Rdev = rdev
	return t
}

// store puts a tree into the vault and returns its entry.
func (t *tree) store(ctx context.Context, w *store.Writer) (*snapshot.Entry, error) {
	e := t.Entry
	if err := snapshot.PutXattrs(ctx, w, &e, snapshot.EncodeXattrs(slices.Clone(t.xattrs))); err != nil {
		return nil, err
	}
	var err error
	switch t.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		err = t.storeContent(ctx, w, &e)
	case syscall.S_IFDIR:
		e.Tree, e.Totals, err = t.storeKids(ctx, w)
	}
	if err == nil && t.spoil != nil {
		err = t.spoil(ctx, w, &e)
	}
	return &e, err
}

func (t *tree) storeContent(ctx context.Context, w *store.Writer, e *snapshot.Entry) error {
	b := snapshot.NewFileBuilder(w)
	for _, p := range t.parts {
		ref := snapshot.Ref{Len: p.n}
		if p.seed != 0 {
			id, _, err := w.Put(ctx, pack.KindFile, p.bytes())
			if err != nil {
				return err
			}
			ref.ID = id
		}
		if err := b.Add(ctx, ref); err != nil {
			return err
		}
	}
	return b.Finish(ctx, e)
}

func (t *tree) storeKids(ctx context.Context, w *store.Writer) (store.ID, snapshot.Totals, error) {
	slices.SortFunc(t.kids, func(a, b *tree) int { return bytes.Compare(a.Name, b.Name) })
	b := snapshot.NewBuilder(w)
	for _, k := range t.kids {
		e, err := k.store(ctx, w)
		if err != nil {
			return store.ID{}, snapshot.Totals{}, err
		}
		if err := b.Add(ctx, e); err != nil {
			return store.ID{}, snapshot.Totals{}, err
		}
	}
	return b.Finish(ctx)
}

// trees are what a server can be told to commit.
var trees = map[string]func() *tree{
	"small":       smallTree,
	"hostile":     hostileTree,
	"wide":        func() *tree { return wideTree(100_000) },
	"vast":        vastTree,
	"deep":        deepTree,
	"long paths":  longTree,
	"shapes":      shapesTree,
	"files":       func() *tree { return fileTree(300, 100) },
	"few files":   func() *tree { return fileTree(20, 100) },
	"large":       largeTree,
	"broken":      brokenTree,
	"wider":       func() *tree { return wideTree(100_001) },
	"whole":       wholeTree,
	"nameless":    namelessTree,
	"odd links":   oddLinksTree,
	"covered":     coveredTree,
	"guards 1":    func() *tree { return guardsTree(1) },
	"guards 2":    func() *tree { return guardsTree(2) },
	"door open":   func() *tree { return doorTree(0o755, "old") },
	"door closed": func() *tree { return doorTree(0o700, "old", "new") },
	"past 1":      func() *tree { return dayTree(1) },
	"past 2":      func() *tree { return dayTree(2) },
	"past 3":      func() *tree { return dayTree(3) },
	"past 4":      func() *tree { return dayTree(4) },
}

func smallTree() *tree {
	var m maker
	return m.dir(
		m.file(part{7, 1000}).named("hello"),
		m.dir(m.file().named("empty")).named("folder"),
	)
}

const nobody = 65534

// hostileTree has everything that a file can have.
func hostileTree() *tree {
	var m maker
	twin := m.file(part{2, 5000}).named("twin")
	twin.Nlink = 2
	other := *twin
	sparse := m.file(part{0, 5 << 30}, part{3, 128 << 10}, part{0, 5<<30 - 128<<10}).named("sparse")
	raw := m.file(part{4, 10}).named("\xff\xfe not text")
	return m.dir(
		m.file(part{1, 3000}).named("plain"),
		m.file().named("empty"),
		raw, sparse, twin, m.dir(other.named("other")).named("links"),
		m.file().named("new\nline"), m.file().named(strings.Repeat("ä", 127)+"x"),
		m.file(part{5, 1}).named(strings.Repeat("n", 256)), m.file(part{6, 2}).named(strings.Repeat("n", 300)), m.file().named(strings.Repeat("€", 255)),
		m.dir(m.file(part{7, 3}).named(strings.Repeat("m", snapshot.MaxName))).named(strings.Repeat("n", snapshot.MaxName)),
		m.file(slicedParts(4<<20, 512)...).named("sliced"),
		m.file(chunks(11, 9<<20+123)...).named("big"),
		m.link("plain").named("symlink"), m.link("no/where").named("dangling"), m.link(strings.Repeat("x/", 2047)).named("long"),
		m.thing(syscall.S_IFIFO|0o600).named("fifo"), m.thing(syscall.S_IFSOCK|0o600).named("socket"),
		m.device(syscall.S_IFCHR|0o666, 1<<8|3).named("null"), m.device(syscall.S_IFBLK|0o660, 0x12<<20|259<<8|0x34).named("disk"),
		m.file().named("setuid").mode(0o6755), m.dir().named("sticky").mode(0o1777),
		m.file().named("before").times(snapshot.Time{Sec: -2, Nsec: 500000000}, snapshot.Time{Sec: -3e9}, snapshot.Time{Sec: 5, Nsec: 6}),
		m.file().named("after").times(snapshot.Time{Sec: 16725225600, Nsec: 1}, snapshot.Time{Sec: 1, Nsec: 1}, snapshot.Time{}),
		m.file().named("attrs").xattr("user.some", "value").xattr("user.none", "").xattr("trusted.root", "r").xattr("security.capability", capability),
		m.file().named("many attrs").xattr("user.large", strings.Repeat("v", 30000)).xattr("user.small", "s"),
		m.file(part{5, 100}).named("private").mode(0o600),
		m.file(part{5, 100}).named("shared").mode(0o640).xattr("system.posix_acl_access", acl(0, 4)),
		m.file(part{5, 100}).named("masked").mode(0o600).xattr("system.posix_acl_access", acl(0, 0)),
		m.dir(m.file(part{5, 100}).named("inside")).named("closed").mode(0o700),
		m.dir().named("defaults").xattr("system.posix_acl_default", acl(7, 7)),
		m.file(part{5, 100}).named("theirs").mode(0o400).owner(nobody, nobody),
		m.file().named("flagged").flags(0x10|0x40),
	)
}

func (t *tree) flags(f uint32) *tree { t.Flags = f; return t }

// capability is cap_net_raw=ep as setcap writes it.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// acl lets nobody read and write as far as the mask goes.
func acl(owner, mask uint16) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner | 6, ^uint32(0)}, {2, 6, nobody}, {4, 0, ^uint32(0)}, {0x10, mask, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, e.tag), e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// slicedParts alternate data and holes.
func slicedParts(size, each uint64) (parts []part) {
	for at := uint64(0); at < size; at += each {
		parts = append(parts, part{at / each % 2 * (at + 1), each})
	}
	return parts
}

// chunks cut a file of pseudo-random bytes as a backup does on average.
func chunks(seed, size uint64) (parts []part) {
	const mean = 128 << 10
	for ; size > mean; size -= mean {
		parts = append(parts, part{seed, mean})
		seed++
	}
	return append(parts, part{seed, size})
}

func wideTree(n int) *tree {
	var m maker
	top := m.dir()
	for i := range n {
		top.kids = append(top.kids, m.file().named(fmt.Sprintf("entry-%06d", i)))
	}
	return m.dir(top.named("wide"))
}

// vastTree has ten million files in a hundred thousand folders, all alike.
func vastTree() *tree {
	var m maker
	files := wideTree(100).kids[0].kids
	top := m.dir()
	for i := range 1000 {
		d := m.dir().named(fmt.Sprintf("folder-%03d", i))
		for j := range 100 {
			sub := m.dir().named(fmt.Sprintf("folder-%02d", j))
			sub.kids = files
			d.kids = append(d.kids, sub)
		}
		top.kids = append(top.kids, d)
	}
	return top
}

func deepTree() *tree {
	var m maker
	t := m.file(part{1, 100}).named("bottom")
	for i := range 200 {
		t = m.dir(t).named(fmt.Sprintf("level-%d", 199-i))
	}
	return m.dir(t)
}

// longTree has folders in one another, with the longest names.
func longTree() *tree {
	var m maker
	t := m.dir()
	for range 40 {
		t = m.dir(t.named(strings.Repeat("n", maxName)))
	}
	return t
}

// shapesTree has small files of chunks and holes in all orders.
func shapesTree() *tree {
	var m maker
	r := rand.New(rand.NewPCG(1, 2))
	top := m.dir()
	for i := range 20 {
		dir := m.dir().named(fmt.Sprint(i))
		for j := range 100 {
			var parts []part
			for range r.IntN(6) {
				parts = append(parts, part{r.Uint64N(3) * r.Uint64N(1<<40), 1 + r.Uint64N(16<<10)})
			}
			dir.kids = append(dir.kids, m.file(parts...).named(fmt.Sprint(j)))
		}
		top.kids = append(top.kids, dir)
	}
	return top
}

func fileTree(dirs, files int) *tree {
	var m maker
	top := m.dir()
	for i := range dirs {
		d := m.dir().named(fmt.Sprintf("folder-%04d", i))
		for j := range files {
			d.kids = append(d.kids, m.file(part{uint64(i*files + j + 1), 800}).named(fmt.Sprintf("file-%04d", j)))
		}
		top.kids = append(top.kids, d)
	}
	return top
}

const largeSize = 512 << 20

func largeTree() *tree {
	var m maker
	return m.dir(m.file(chunks(1, largeSize)...).named("large"))
}

// wholeTree has what brokenTree should.
func wholeTree() *tree {
	var m maker
	return m.dir(
		m.file(part{1, 5000}).named("good"),
		m.dir(m.file().named("x")).named("junk folder"), m.dir(m.file().named("x")).named("lost folder"), m.file(part{1, 5000}).named("lost file"),
	)
}

// namelessTree has a file without a name, as versions of before do.
func namelessTree() *tree {
	var m maker
	return m.dir(m.file(part{1, 10}).named(""), m.file(part{2, 10}).named("good"))
}

// oddLinksTree has links whose sizes are not the lengths of where they lead.
func oddLinksTree() *tree {
	var m maker
	top := m.dir()
	for i, size := range []uint64{0, 1, 11, 13, 5000} {
		l := m.link("a/dozen/long").named(fmt.Sprint(i))
		l.Size = size
		top.kids = append(top.kids, l)
	}
	return top
}

// coveredTree has two folders that are alike.
func coveredTree() *tree {
	var m maker
	open := func(name string) *tree {
		return m.dir(m.file(part{1, 10}).named("file")).named(name).owner(nobody, nobody).xattr(accessACL, acl(7, 7)).xattr("user.some", "value")
	}
	return m.dir(open("below"), open("beside"))
}

// brokenTree has what a vault never should.
func brokenTree() *tree {
	var m maker
	spoiled := func(t *tree, f func(e *snapshot.Entry, junk store.ID)) *tree {
		t.spoil = func(ctx context.Context, w *store.Writer, e *snapshot.Entry) error {
			junk, _, err := w.Put(ctx, pack.KindTree, []byte("this is no page of a tree"))
			f(e, junk)
			return err
		}
		return t
	}
	return m.dir(
		m.file(part{1, 5000}).named("good"),
		spoiled(m.dir(m.file().named("x")), func(e *snapshot.Entry, junk store.ID) { e.Tree = junk }).named("junk folder"),
		spoiled(m.dir(m.file().named("x")), func(e *snapshot.Entry, _ store.ID) { e.Tree = store.ID{1} }).named("lost folder"),
		spoiled(m.file(part{1, 5000}), func(e *snapshot.Entry, junk store.ID) { e.Content[0].ID = junk }).named("other length"),
		spoiled(m.file(chunks(1, 1<<20)...), func(e *snapshot.Entry, junk store.ID) { e.Content[0].ID = junk }).named("junk list"),
		spoiled(m.file(part{1, 5000}), func(e *snapshot.Entry, _ store.ID) { e.Content[0].ID = store.ID{2} }).named("lost file"),
		spoiled(m.file(), func(e *snapshot.Entry, junk store.ID) { e.XattrRefs = []snapshot.Ref{{ID: junk, Len: 25}} }).named("junk attrs"),
	)
}
