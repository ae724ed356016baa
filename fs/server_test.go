package fs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
	"yester/store/place"
)

// Whoever serves a mount must not touch it, so the server is another process: this binary, told by childEnv. It obeys an order
// a line, each answered with a line.
const childEnv = "YESTER_FS_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(serveOrders(os.Stdin, os.Stdout))
	}
	flag.Parse()
	os.Exit(m.Run())
}

type order struct {
	Do   string
	Key  store.VersionKey
	Name string // of an instance, a tree or an operation, or a folder
	N    int
}

type answer struct {
	Err   string
	Text  string
	Count int
}

// A farPlace is one that may answer no more, for as long as anyone waits; reading from it does not even look whether anyone does.
type farPlace struct {
	*place.Mem
	away    atomic.Pointer[absence]
	waiting atomic.Int32
}

type absence struct {
	back chan struct{} // closed when it ends
	of   string        // what is in the names of the files that are away
}

func (p *farPlace) wait(name string, given <-chan struct{}) {
	away := p.away.Load()
	if away == nil || !strings.Contains(name, away.of) {
		return
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	select {
	case <-away.back:
	case <-given:
	}
}

func (p *farPlace) Space(ctx context.Context) (free, total uint64, err error) {
	if p.wait("", ctx.Done()); ctx.Err() != nil {
		return 0, 0, ctx.Err()
	}
	return p.Mem.Space(ctx)
}

func (p *farPlace) Open(ctx context.Context, name string) (place.File, error) {
	p.wait(name, nil)
	f, err := p.Mem.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &farFile{f, p, name}, nil
}

type farFile struct {
	place.File
	place *farPlace
	name  string
}

func (f *farFile) ReadAt(b []byte, off int64) (int, error) {
	f.place.wait(f.name, nil)
	return f.File.ReadAt(b, off)
}

// testServer is the serving process.
type testServer struct {
	place  *place.Mem
	far    farPlace
	vault  *store.Vault
	mount  *Mount
	closed *bool // see "say"
	covers []uint64
	stuck  chan struct{}
	inStep atomic.Bool
	held   []*preparedPage
	log    syncBuffer // warnings and worse
	trace  syncBuffer
}

func serveOrders(in io.Reader, out io.Writer) int {
	s := &testServer{place: place.NewMem(1)}
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			if s.mount != nil {
				s.mount.Unmount()
			}
			return 0
		}
		var a answer
		if err := s.obey(o, &a); err != nil {
			a.Err = err.Error()
		}
		answers.Encode(a)
	}
}

func (s *testServer) obey(o order, a *answer) (err error) {
	ctx := context.Background()
	if s.vault == nil {
		if err := s.open(ctx, int64(o.N)); err != nil {
			return err
		}
	}
	switch o.Do {
	case "open":
	case "instance":
		return s.vault.PutInstance(ctx, store.Instance{ID: o.Key.Instance, Name: o.Name})
	case "commit":
		return s.commit(ctx, o.Key, trees[o.Name]())
	case "say": // of where versions from now on are from, whether it is closed
		closed := o.N > 0
		s.closed = &closed
	case "cover": // the folder of that inode number, in versions from now on
		s.covers = append(s.covers, uint64(o.N))
	case "spoil": // the record of a version, or the description of an instance with its copy
		name := "instances/" + o.Key.Instance + "/versions/" + o.Key.Partition + "/" + o.Key.Version
		if o.Name != "" {
			name = "instances/" + o.Key.Instance + "/" + o.Name
		}
		return s.place.Damage(name, func(data []byte) []byte { clear(data); return data })
	case "lose": // what is in packs, until it is told so again
		return s.lose("")
	case "commit many":
		return s.commitMany(ctx, o.Key, o.N)
	case "delete":
		return s.vault.Delete(ctx, o.Key)
	case "serve", "serve and trace":
		opts := Options{Dir: o.Name, Vault: s.vault, Own: machine, Log: s.logger()}
		if o.Do != "serve" {
			opts.trace = &s.trace
		}
		begin := time.Now()
		if s.mount, err = Serve(opts); err == nil {
			s.mount.view.ahead.setHeat(time.Hour) // however slow the machine is
		}
		a.Text = time.Since(begin).String()
		return err
	case "unmount":
		return s.mount.Unmount()
	case "ended": // waits until it is
		select {
		case <-s.mount.Ended():
		case <-time.After(20 * time.Second):
			return errors.New("it is served on")
		}
		if a.Text = "unmounted"; s.mount.IsCut() {
			a.Text = "cut"
		}
	case "log":
		a.Text = s.log.take()
	case "trace":
		a.Text = s.trace.take()
	case "memory":
		a.Count, a.Text = peakMemory()
	case "ahead":
		ahead := &s.mount.view.ahead
		ahead.mu.Lock()
		defer ahead.mu.Unlock()
		if a.Count = ahead.put; ahead.running == 0 {
			a.Text = "idle"
		}
	case "stick": // a step does not end until "let go", which tells how many requests were answered meanwhile
		c := s.mount.conn
		stuck := make(chan struct{})
		s.stuck = stuck
		for !c.give(func(func(struct{}) bool) { s.inStep.Store(true); <-stuck }) {
			c.steps.wakeUp() // as if it had just answered
		}
	case "stuck":
		switch {
		case s.inStep.Load() && s.mount.conn.steps.began.Load() != 0:
			a.Text = "yes"
		case s.inStep.Load():
			a.Text = "beside" // there was no pause for long
		}
	case "let go":
		s.inStep.Store(false)
		close(s.stuck)
		c := s.mount.conn
		c.steps.mu.Lock()
		defer c.steps.mu.Unlock()
		a.Count = c.steps.stood
	case "hold": // what is prepared is being added to, as from a place that does not answer, until "release"
		p := &s.mount.view.ahead.prepared
		p.mu.Lock()
		s.held = slices.Clone(p.pages)
		p.mu.Unlock()
		for _, page := range s.held {
			page.mu.Lock()
		}
		a.Count = len(s.held)
	case "step": // when the one began that is being taken, 0 if none is
		a.Count = int(s.mount.conn.steps.began.Load())
	case "release":
		for _, page := range s.held {
			page.mu.Unlock()
		}
	case "away": // all files, or those that have Name in theirs
		s.far.away.CompareAndSwap(nil, &absence{make(chan struct{}), o.Name})
		a.Count = int(s.far.waiting.Load())
	case "back":
		if away := s.far.away.Swap(nil); away != nil {
			close(away.back)
		}
	case "fail": // to read, until it is told 0
		s.place.FailReads(nil)
		if o.N > 0 {
			s.place.FailReads(unix.EIO)
		}
	case "versions":
		f := &s.mount.view.folders
		f.mu.RLock()
		defer f.mu.RUnlock()
		a.Count = len(f.versions)
	case "pages":
		s.mount.view.slots.mu.RLock()
		defer s.mount.view.slots.mu.RUnlock()
		for _, b := range s.mount.view.slots.blocks {
			if b != nil {
				a.Count += len(b.slots)
			}
		}
	case "given up": // jobs that go on; N is how many may
		c := s.mount.conn
		c.mu.Lock()
		defer c.mu.Unlock()
		if o.N > 0 {
			c.most = o.N
		}
		a.Count = c.givenUp
	case "pasts":
		f := &s.mount.view.byFiles
		f.mu.Lock()
		defer f.mu.Unlock()
		if o.N > 0 {
			f.most = o.N
		}
		a.Count, a.Text = len(f.byID), fmt.Sprint(f.last)
	default:
		return fmt.Errorf("no such order: %q", o.Do)
	}
	return nil
}

func (s *testServer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (s *testServer) open(ctx context.Context, cache int64) (err error) {
	s.far.Mem = s.place
	o := store.Options{Places: []place.Place{&s.far}, Log: s.logger(), Reserve: 1, Cache: cache}
	if err := store.Init(ctx, o); err != nil {
		return err
	}
	s.vault, err = store.Open(ctx, o)
	return err
}

func (s *testServer) commit(ctx context.Context, k store.VersionKey, t *tree) error {
	w, err := s.vault.Writer(k.Instance, store.WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		return err
	}
	defer w.Close()
	root, err := t.store(ctx, w)
	if err != nil {
		return err
	}
	return s.commitRoot(ctx, w, k, root)
}

func (s *testServer) commitRoot(ctx context.Context, w *store.Writer, k store.VersionKey, root *snapshot.Entry) error {
	v := snapshot.Version{
		Instance: k.Instance, Name: k.Version,
		Partition: snapshot.Partition{Name: k.Partition, Size: 1 << 40, Used: 1 << 39, Inodes: 1 << 20, Closed: s.closed, Covered: s.covers},
	}
	v.SetRoot(root)
	record, err := v.Encode()
	if err != nil {
		return err
	}
	return w.Commit(ctx, k, record)
}

// commitMany commits n versions, a minute apart.
func (s *testServer) commitMany(ctx context.Context, k store.VersionKey, n int) error {
	w, err := s.vault.Writer(k.Instance, store.WriterOptions{Encoding: pack.LZ4})
	if err != nil {
		return err
	}
	defer w.Close()
	root, err := smallTree().store(ctx, w)
	if err != nil {
		return err
	}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		k.Version = snapshot.Name(start.Add(time.Duration(i) * time.Minute))
		if err := s.commitRoot(ctx, w, k, root); err != nil {
			return err
		}
	}
	return nil
}

// lose inverts the packs in a folder of the place and below, or puts them back.
func (s *testServer) lose(dir string) error {
	list, err := s.place.List(context.Background(), dir)
	for _, i := range list {
		name := path.Join(dir, i.Name)
		switch {
		case i.Dir:
			err = errors.Join(err, s.lose(name))
		case strings.Contains(name, "/packs/"):
			err = errors.Join(err, s.place.Damage(name, func(data []byte) []byte {
				for i := range data {
					data[i] ^= 0xff
				}
				return data
			}))
		}
	}
	return err
}

// A syncBuffer is written from many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// peakMemory returns the process's peak of resident memory in KiB.
func peakMemory() (kb int, text string) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			break
		}
	}
	return kb, string(b)
}

// server is a serving process as the test sees it.
type server struct {
	t       testing.TB
	dir     string // the mount folder
	cmd     *exec.Cmd
	in      *json.Encoder
	out     *json.Decoder
	stdin   io.Closer
	stopped bool
	noisy   bool // warnings are expected
}

// machine is the instance of most tests, and root the partition.
const machine = "0123456789abcdef0123456789abcdef"

func day(day int) store.VersionKey {
	start := time.Date(2026, 11, day, 3, 17, 5, 0, time.UTC)
	return store.VersionKey{Instance: machine, Partition: "root", Version: snapshot.Name(start)}
}

// newServer starts a process with an empty vault.
func newServer(t testing.TB) *server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no /dev/fuse")
	}
	s := &server{t: t, dir: filepath.Join(mountsDir(t), "mnt")}
	s.cmd = exec.Command("/proc/self/exe")
	s.cmd.Env = append(os.Environ(), childEnv+"=1")
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stdin, s.in, s.out = in, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))
	t.Cleanup(s.stop)
	return s
}

// mountsDir is a folder for mounts that any user can look into.
func mountsDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "yester-fs-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not RemoveAll: should a mount have stayed, this fails and touches nothing.
		os.Remove(filepath.Join(dir, "mnt"))
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// stop ends the process and makes sure that nothing stays mounted.
func (s *server) stop() {
	if !s.stopped {
		if log := s.try(order{Do: "log"}).Text; log != "" && !s.noisy {
			s.t.Errorf("unexpected log:\n%s", log)
		}
		s.stdin.Close()
		if err := s.cmd.Wait(); err != nil {
			s.t.Error(err)
		}
	}
	for unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH) == nil {
		if !s.stopped {
			s.t.Error("the server left its mount behind")
		}
	}
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Wait()
	s.stopped = true
}

// try gives an order.
func (s *server) try(o order) (a answer) {
	if err := errors.Join(s.in.Encode(o), s.out.Decode(&a)); err != nil {
		a.Err = err.Error()
	}
	return a
}

// do gives an order that must be obeyed.
func (s *server) do(o order) answer {
	s.t.Helper()
	a := s.try(o)
	if a.Err != "" {
		s.t.Fatalf("%s: %s", o.Do, a.Err)
	}
	return a
}

// mounted starts a server that shows one version of a tree, and returns the version's folder too.
func mounted(t testing.TB, name string) (s *server, dir string) {
	t.Helper()
	s = newServer(t)
	s.do(order{Do: "instance", Key: day(1), Name: "web1"})
	s.do(order{Do: "commit", Key: day(1), Name: name})
	s.do(order{Do: "serve", Name: s.dir})
	return s, filepath.Join(s.dir, "web1", "root", day(1).Version)
}
