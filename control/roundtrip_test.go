package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"yester/control"
)

// serve answers on a new socket with what register adds, and returns a client for it.
func serve(t *testing.T, register func(m *control.Mux)) *control.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	serveAt(t, socket, register)
	return client(t, socket)
}

func client(t *testing.T, socket string) *control.Client {
	c := control.Dial(socket)
	t.Cleanup(c.Close)
	return c
}

func serveAt(t *testing.T, socket string, register func(m *control.Mux)) {
	t.Helper()
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	m := control.NewMux(slog.New(slog.DiscardHandler))
	register(m)
	s, done := m.Server(t.Context()), make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestCallsCarryWhatTheyTakeAndAnswer(t *testing.T) {
	c := serve(t, func(m *control.Mux) {
		control.Handle(m, control.ActivateRoute, func(_ context.Context, r control.ActivateRequest) (control.Activation, error) {
			return control.Activation{Outcome: control.Activated, Policy: control.Policy{Paths: r.Paths, Start: r.Start}}, nil
		})
		control.Handle(m, control.VersionsRoute, func(_ context.Context, r control.VersionsRequest) (control.VersionList, error) {
			return control.VersionList{Versions: []control.Version{{Partition: r.Partition, Bytes: 1 << 60}}}, nil
		})
	})
	a, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{"/a b", "/ü"}, Start: "03:17"})
	if err != nil || a.Outcome != control.Activated || a.Policy.Start != "03:17" || len(a.Policy.Paths) != 2 || a.Policy.Paths[1] != "/ü" {
		t.Errorf("got %+v, %v", a, err)
	}
	vs, err := c.Versions(t.Context(), control.VersionsRequest{Partition: "a&b=c d"})
	if err != nil || len(vs) != 1 || vs[0].Partition != "a&b=c d" || vs[0].Bytes != 1<<60 {
		t.Errorf("got %+v, %v", vs, err)
	}
}

func TestCallsOnTheVaultCarryWhatTheyTakeAndAnswer(t *testing.T) {
	offset := int64(0)
	task := control.Task{ID: "c-1", Kind: control.KindCheck, Report: &control.Report{
		ReadBytes: 1 << 60, Freed: -1, ProblemCount: 1, LostCount: 1,
		Problems: []control.Problem{{Pack: "00", Offset: &offset, What: "damaged"}}, Lost: []control.Lost{{Path: "/ü", Bytes: 7}},
	}}
	c := serve(t, func(m *control.Mux) {
		control.Handle(m, control.VaultCheckRoute, func(_ context.Context, r control.CheckRequest) (control.Task, error) {
			if r.ReadData != 0.1 {
				return control.Task{}, errors.New("not what was asked for")
			}
			return task, nil
		})
		control.Handle(m, control.ForgetRoute, func(_ context.Context, r control.ForgetRequest) (control.Forgotten, error) {
			return control.Forgotten{Partition: r.Partition, Version: r.Version, Task: &task}, nil
		})
		control.Handle(m, control.KeyAddRoute, func(_ context.Context, r control.KeyAddRequest) (control.AddedKey, error) {
			return control.AddedKey{Key: control.Key{ID: "7", Kind: r.Kind}, Recovery: "G20R"}, nil
		})
	})
	if got, err := c.VaultCheck(t.Context(), control.CheckRequest{ReadData: 0.1}); err != nil || !reflect.DeepEqual(got, task) {
		t.Errorf("got %+v, %v", got, err)
	}
	f, err := c.Forget(t.Context(), control.ForgetRequest{Partition: "root", Version: "v"})
	if err != nil || f.Partition != "root" || f.Version != "v" || !reflect.DeepEqual(*f.Task, task) {
		t.Errorf("got %+v, %v", f, err)
	}
	k, err := c.KeyAdd(t.Context(), control.KeyAddRequest{Kind: control.KeyRecovery})
	if err != nil || k.ID != "7" || k.Kind != control.KeyRecovery || k.Recovery != "G20R" {
		t.Errorf("got %+v, %v", k, err)
	}
}

func TestErrorsKeepKindMessageAndHint(t *testing.T) {
	kinds := []control.Kind{
		control.Internal, control.BadRequest, control.NotFound, control.Denied, control.Busy, control.NotActive,
		control.Exists, control.Conflict, control.NoVault, control.NoSpace, control.ReadOnly, control.Damaged, control.WrongKey, control.Format, control.Stopping,
	}
	for _, k := range kinds {
		c := serve(t, func(m *control.Mux) {
			control.Handle(m, control.StatusRoute, func(context.Context, control.None) (control.Status, error) {
				return control.Status{}, control.Errorf(k, "this is %s", k).WithHint("do that")
			})
		})
		_, err := c.Status(t.Context())
		e, ok := errors.AsType[*control.Error](err)
		if !errors.Is(err, k) || !ok || e.Message != "this is "+string(k) || e.Hint != "do that" {
			t.Errorf("%s: got %#v", k, err)
		}
	}
}

func TestUnknownErrorsAreInternal(t *testing.T) {
	c := serve(t, func(m *control.Mux) {
		control.Handle(m, control.StatusRoute, func(context.Context, control.None) (control.Status, error) {
			return control.Status{}, errors.New("who knows")
		})
	})
	if _, err := c.Status(t.Context()); !errors.Is(err, control.Internal) || err.Error() != "who knows" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Tasks(t.Context(), control.TasksRequest{}); !errors.Is(err, control.NotFound) {
		t.Errorf("a call that the daemon has not: %v", err)
	}
}

func TestStreamBringsEveryValueAndThenItsError(t *testing.T) {
	c := serve(t, func(m *control.Mux) {
		control.HandleStream(m, control.WatchTaskRoute, func(_ context.Context, r control.TaskRequest, send func(control.Task) error) error {
			if r.ID == "" {
				return control.Errorf(control.NotFound, "no such task")
			}
			for i := range uint64(3) {
				if err := send(control.Task{ID: r.ID, Error: "one partition failed", WarningCount: i}); err != nil {
					return err
				}
			}
			return control.Errorf(control.Stopping, "the daemon stops")
		})
	})
	if err := c.WatchTask(t.Context(), "", nil); !errors.Is(err, control.NotFound) {
		t.Errorf("at the begin: %v", err)
	}
	var got []uint64
	err := c.WatchTask(t.Context(), "b-1", func(task control.Task) error {
		got = append(got, task.WarningCount)
		return nil
	})
	if !errors.Is(err, control.Stopping) || len(got) != 3 || got[2] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	stop := errors.New("enough")
	if err := c.WatchTask(t.Context(), "b-1", func(control.Task) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a caller that has enough: %v", err)
	}
}

func TestStreamEndsWhenTheCallerGoes(t *testing.T) {
	gone := make(chan struct{})
	c := serve(t, func(m *control.Mux) {
		control.HandleStream(m, control.WatchTaskRoute, func(ctx context.Context, _ control.TaskRequest, send func(control.Task) error) error {
			defer close(gone)
			if err := send(control.Task{}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	err := c.WatchTask(ctx, "b-1", func(control.Task) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the handler goes on")
	}
}

func TestNoDaemonIsItsOwnKind(t *testing.T) {
	dir := t.TempDir()
	if _, err := client(t, filepath.Join(dir, "none")).Status(t.Context()); !errors.Is(err, control.NoDaemon) {
		t.Errorf("no socket: %v", err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := client(t, dead).Status(t.Context()); !errors.Is(err, control.NoDaemon) {
		t.Errorf("dead socket: %v", err)
	}
}

func TestSocketIsForItsOwnerOnlyAndGoesAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o666); err != nil { // whatever lies there is replaced
		t.Fatal(err)
	}
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLongSocketPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "yester.sock")
	serveAt(t, socket, func(m *control.Mux) {
		control.Handle(m, control.StatusRoute, func(context.Context, control.None) (control.Status, error) {
			return control.Status{PID: 7}, nil
		})
	})
	if s, err := client(t, socket).Status(t.Context()); err != nil || s.PID != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// post sends raw bytes as a call and returns the answer.
func post(t *testing.T, body io.Reader) (status int, answer string) {
	t.Helper()
	m := control.NewMux(slog.New(slog.DiscardHandler))
	control.Handle(m, control.ActivateRoute, func(_ context.Context, r control.ActivateRequest) (control.Activation, error) {
		return control.Activation{}, nil
	})
	r, err := http.NewRequestWithContext(t.Context(), "POST", control.ActivateRoute.Path, body)
	if err != nil {
		t.Fatal(err)
	}
	w := &recorder{header: http.Header{}, status: 200}
	m.Server(t.Context()).Handler.ServeHTTP(w, r)
	return w.status, w.body.String()
}

// recorder is what a handler writes to.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func TestBadRequestsAreRefused(t *testing.T) {
	for _, body := range []string{"", "{", `{"start":3}`, `{"starts":"03:17"}`, `{} {}`, `[]`, `{"start":"` + strings.Repeat("x", 2<<20) + `"}`} {
		if status, answer := post(t, strings.NewReader(body)); status != 400 || !strings.Contains(answer, `"bad_request"`) {
			t.Errorf("%.20q: %d %s", body, status, answer)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"paths":["/a"],"start":"03:17"}`))
	f.Add([]byte(`{"paths":null} x`))
	f.Add([]byte("{\"\xff\":1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if status, answer := post(t, bytes.NewReader(b)); status != 200 && status != 400 {
			t.Errorf("%d %s", status, answer)
		}
	})
}
