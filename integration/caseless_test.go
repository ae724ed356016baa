package integration

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// caselessEnv has this test program serve, at the folder it names, a file system in memory that keeps names as they are written and does not tell upper from
// lower case, as those of USB sticks. It is a program of its own, as a process must not look at its own mount.
const caselessEnv = "YESTER_TEST_CASELESS"

type caseless struct {
	fuse.RawFileSystem
	mu    sync.Mutex
	nodes map[uint64]*caselessNode
}

type caselessNode struct {
	attr fuse.Attr
	data []byte
	kids map[string]caselessKid // by names in lower case
}

type caselessKid struct {
	name string
	node uint64
}

// caselessServe mounts at dir and serves until that is unmounted.
func caselessServe(dir string) int {
	fs := &caseless{RawFileSystem: fuse.NewDefaultRawFileSystem(), nodes: map[uint64]*caselessNode{}}
	fs.add(fuse.S_IFDIR | 0o755)
	server, err := fuse.NewServer(fs, dir, &fuse.MountOptions{FsName: "caseless", Name: "caseless", DirectMountStrict: true, AllowOther: true, DisableReadDirPlus: true})
	if err == nil {
		go server.Serve()
		err = server.WaitMount()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("mounted")
	server.Wait()
	return 0
}

// add makes a node. The first is the root.
func (c *caseless) add(mode uint32) (*caselessNode, uint64) {
	id := uint64(len(c.nodes)) + fuse.FUSE_ROOT_ID
	n := &caselessNode{attr: fuse.Attr{Ino: id, Mode: mode, Nlink: 1}, kids: map[string]caselessKid{}}
	c.nodes[id] = n
	return n, id
}

func (c *caseless) make(in *fuse.InHeader, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.nodes[in.NodeId]
	if _, there := dir.kids[strings.ToLower(name)]; there {
		return fuse.Status(syscall.EEXIST)
	}
	n, id := c.add(mode)
	n.attr.Uid, n.attr.Gid = in.Uid, in.Gid
	dir.kids[strings.ToLower(name)] = caselessKid{name, id}
	out.NodeId, out.Attr = id, n.attr
	return fuse.OK
}

func (c *caseless) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	kid, there := c.nodes[in.NodeId].kids[strings.ToLower(name)]
	if !there {
		return fuse.ENOENT
	}
	out.NodeId, out.Attr = kid.node, c.nodes[kid.node].attr
	return fuse.OK
}

func (c *caseless) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.make(&in.InHeader, name, fuse.S_IFDIR|in.Mode, out)
}

func (c *caseless) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return c.make(&in.InHeader, name, fuse.S_IFREG|in.Mode, &out.EntryOut)
}

func (c *caseless) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes[in.NodeId].kids, strings.ToLower(name))
	return fuse.OK
}

func (c *caseless) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.nodes[in.NodeId]
	if len(c.nodes[dir.kids[strings.ToLower(name)].node].kids) > 0 {
		return fuse.Status(syscall.ENOTEMPTY)
	}
	delete(dir.kids, strings.ToLower(name))
	return fuse.OK
}

func (c *caseless) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, target := c.nodes[in.NodeId], c.nodes[in.Newdir]
	kid := dir.kids[strings.ToLower(from)]
	if old, there := target.kids[strings.ToLower(to)]; there && old.node != kid.node && in.Flags&unix.RENAME_NOREPLACE != 0 {
		return fuse.Status(syscall.EEXIST)
	}
	delete(dir.kids, strings.ToLower(from))
	target.kids[strings.ToLower(to)] = caselessKid{to, kid.node}
	return fuse.OK
}

func (c *caseless) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	out.Attr = c.nodes[in.NodeId].attr
	return fuse.OK
}

func (c *caseless) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[in.NodeId]
	if mode, ok := in.GetMode(); ok {
		n.attr.Mode = n.attr.Mode&syscall.S_IFMT | mode
	}
	if uid, ok := in.GetUID(); ok {
		n.attr.Uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		n.attr.Gid = gid
	}
	if at, ok := in.GetMTime(); ok {
		n.attr.Mtime, n.attr.Mtimensec = uint64(at.Unix()), uint32(at.Nanosecond())
	}
	if size, ok := in.GetSize(); ok {
		n.data = append(n.data[:min(size, uint64(len(n.data)))], make([]byte, size-min(size, uint64(len(n.data))))...)
		n.attr.Size = size
	}
	out.Attr = n.attr
	return fuse.OK
}

func (c *caseless) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (c *caseless) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (c *caseless) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (c *caseless) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

func (c *caseless) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data := c.nodes[in.NodeId].data
	from := min(in.Offset, uint64(len(data)))
	return fuse.ReadResultData(slices.Clone(data[from:min(from+uint64(in.Size), uint64(len(data)))])), fuse.OK
}

func (c *caseless) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[in.NodeId]
	if end := in.Offset + uint64(len(data)); end > uint64(len(n.data)) {
		n.data = append(n.data, make([]byte, end-uint64(len(n.data)))...)
	}
	copy(n.data[in.Offset:], data)
	n.attr.Size = uint64(len(n.data))
	return uint32(len(data)), fuse.OK
}

func (c *caseless) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := c.nodes[in.NodeId]
	for i, key := range slices.Sorted(maps.Keys(dir.kids)) {
		kid := dir.kids[key]
		if uint64(i) >= in.Offset && !out.AddDirEntry(fuse.DirEntry{Name: kid.name, Ino: kid.node, Mode: c.nodes[kid.node].attr.Mode, Off: uint64(i) + 1}) {
			break
		}
	}
	return fuse.OK
}

// newCaseless mounts such a file system for one test.
func newCaseless(t *testing.T) (dir string) {
	t.Helper()
	need(t)
	dir = filepath.Join(work, "caseless")
	must(t, os.Mkdir(dir, 0o755))
	cmd := exec.Command(probeProgram())
	cmd.Env, cmd.Stderr = append(os.Environ(), caselessEnv+"="+dir), os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = exec.Command("umount", "-l", dir).Run()
		must(t, cmd.Wait())
		must(t, os.Remove(dir))
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the file system is not mounted: %q, %v", line, err)
	}
	return dir
}

// Where upper and lower case are not told apart, what the version calls by another name is no surplus, and of two names that are one there the second fails.
func TestRestoreWhereNamesHaveNoCase(t *testing.T) {
	t.Parallel()
	p := newPartition(t, "ext4", 4*gib)
	write := func(path, content string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o644))
	}
	for _, name := range []string{"tree/Docs/one", "tree/Docs/two", "tree/Read.me", "both/A/f", "both/a/f", "both/a/g", "files/X.txt", "files/x.txt", "files/one", "files/ONE"} {
		write(p.path(name), name)
	}
	must(t, os.Remove(p.path("files/ONE"))) // of one file by two names none is lost
	must(t, os.Link(p.path("files/one"), p.path("files/ONE")))
	d := start(t, newHome(t))
	d.activate("max", p)
	d.backup(p)
	to := newCaseless(t)
	restore := func(code int, what string) {
		t.Helper()
		d.run(code, "restore", "latest", p.path(what), "--to", to, "--delete", "--on-conflict", "overwrite", "--yes", "--wait")
	}
	want := func(names ...string) {
		t.Helper()
		got := strings.Fields(command(t, "find", to, "-type", "f", "-printf", "%P\n"))
		slices.Sort(got)
		if !slices.Equal(got, names) {
			t.Errorf("there are %q, want %q", got, names)
		}
	}
	write(filepath.Join(to, "tree/docs/ONE"), "mine")
	write(filepath.Join(to, "tree/docs/surplus"), "mine")
	write(filepath.Join(to, "tree/read.ME"), "mine")
	write(filepath.Join(to, "tree/gone/surplus"), "mine")
	restore(done, "tree")
	want("tree/Read.me", "tree/docs/one", "tree/docs/two")
	if got := command(t, "cat", filepath.Join(to, "tree/docs/one")); got != "tree/Docs/one" {
		t.Errorf("it has %q", got)
	}
	for range 2 { // where nothing was, and where they are
		restore(warned, "both")
		want("both/A/f", "tree/Read.me", "tree/docs/one", "tree/docs/two")
		if got := command(t, "cat", filepath.Join(to, "both/A/f")); got != "both/A/f" {
			t.Errorf("it has %q", got)
		}
	}
	write(filepath.Join(to, "files/x.TXT"), "mine")
	for range 2 {
		a := at(t, d.home, "restore", "latest", p.path("files"), "--to", to, "--on-conflict", "overwrite", "--yes", "--wait")
		if a.code != warned || strings.Count(a.stderr, "failed: ") != 1 || !strings.Contains(a.stderr, "files/x.txt: the version has two names here") {
			t.Errorf("of two files that are one there is told %+v", a)
		}
	}
}
