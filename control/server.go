package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// A Mux collects the handlers of a server.
type Mux struct {
	http *http.ServeMux
	log  *slog.Logger
}

// NewMux returns a Mux without handlers: every call is NotFound.
func NewMux(log *slog.Logger) *Mux {
	m := &Mux{http: http.NewServeMux(), log: log}
	m.http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		m.fail(w, r, Errorf(NotFound, "this daemon has no call %s %s", r.Method, r.URL.Path).
			WithHint("command and daemon are of different versions; restart the daemon"))
	})
	return m
}

// Server returns the HTTP server of the mux. Its requests' contexts end with ctx.
func (m *Mux) Server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler:           m.http,
		BaseContext:       baseContext(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
}

// Handle answers a route's calls with f. An error of f that is no Error goes out as Internal, so f translates those it knows.
func Handle[Req, Resp any](m *Mux, route Route[Req, Resp], f func(context.Context, Req) (Resp, error)) {
	m.http.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := decodeRequest(w, r, &req); err != nil {
			m.fail(w, r, err)
			return
		}
		resp, err := f(r.Context(), req)
		if err != nil {
			m.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(resp); err != nil {
			m.log.Debug("answer a call", "path", route.Path, "err", err)
		}
	})
}

// HandleStream answers a route's calls with the values f sends, one a line and each at once. send waits for a caller that does not read, as one that writes into a pager,
// and fails when it is gone or the server is closed.
func HandleStream[Req, Item any](m *Mux, route Route[Req, Item], f func(ctx context.Context, r Req, send func(Item) error) error) {
	m.http.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := decodeRequest(w, r, &req); err != nil {
			m.fail(w, r, err)
			return
		}
		s := &stream{w: w, c: http.NewResponseController(w)}
		if err := f(r.Context(), req, func(it Item) error { return s.send(it) }); err != nil {
			if !s.begun {
				m.fail(w, r, err)
				return
			}
			_ = s.send(envelope{toWire(err)}) // the caller may be gone, which is no news
		}
	})
}

// Raw answers what matches a pattern, as http.ServeMux has it, with h: calls of others, which are no Route.
func (m *Mux) Raw(pattern string, h http.Handler) { m.http.Handle(pattern, h) }

// stream writes values, one a line.
type stream struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

func (s *stream) send(v any) error {
	if !s.begun {
		s.w.Header().Set("Content-Type", "application/x-ndjson")
		s.begun = true
	}
	if err := json.NewEncoder(s.w).Encode(v); err != nil {
		return err
	}
	return s.c.Flush()
}

// fail answers with an error.
func (m *Mux) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := toWire(err)
	m.log.Debug("refuse a call", "path", r.URL.Path, "kind", string(e.Kind), "err", err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Kind.status())
	_ = json.NewEncoder(w).Encode(envelope{e})
}

func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return ctx }
}
