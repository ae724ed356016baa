package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// A Client calls the daemon behind a socket. Its methods may be called from many goroutines. They return an *Error of the daemon, an
// *Error of kind NoDaemon or Denied when it cannot be reached, or the context's error.
type Client struct {
	socket  string
	http    *http.Client
	timeout time.Duration // of a call that is no stream; 0: none
}

// patient is the client for calls that may open a vault, which takes hours if it is large and without its index, or read the record of every version, or wait for who does.
func (c *Client) patient() *Client {
	p := *c
	p.timeout = 0
	return &p
}

// Dial returns a client for the daemon at a socket. It connects with the first call.
func Dial(socket string) *Client {
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
		MaxIdleConns:        2,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 2,
	}
	return &Client{socket: socket, http: &http.Client{Transport: t}, timeout: callTimeout}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call makes a call and decodes its answer.
func call[Req, Resp any](ctx context.Context, c *Client, route Route[Req, Resp], req Req) (resp Resp, err error) {
	slow := Errorf(NoDaemon, "the daemon at %s does not answer", c.socket).WithHint("see its log, or restart it")
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, slow)
		defer cancel()
	}
	body, err := open(ctx, c, route, req)
	if err != nil {
		return resp, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxResponse)).Decode(&resp); err != nil {
		return resp, c.broken(ctx, err)
	}
	return resp, nil
}

// follow makes a call and hands every value of its stream to f, until it ends or f fails.
func follow[Req, Item any](ctx context.Context, c *Client, route Route[Req, Item], req Req, f func(Item) error) error {
	body, err := open(ctx, c, route, req)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var line json.RawMessage
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return c.broken(ctx, err)
		}
		if err := item(line, f); err != nil {
			return err
		}
	}
}

// followAll is follow for a stream that brings several values in a line.
func followAll[Req, Item any](ctx context.Context, c *Client, route Route[Req, []Item], req Req, f func(Item) error) error {
	return follow(ctx, c, route, req, func(items []Item) error {
		for _, it := range items {
			if err := f(it); err != nil {
				return err
			}
		}
		return nil
	})
}

// item decodes a line of a stream: a value, or the error that ends it.
func item[Item any](line []byte, f func(Item) error) error {
	var end struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(line, &end) == nil && bytes.HasPrefix(end.Error, []byte("{")) {
		return decodeError(bytes.NewReader(line))
	}
	var it Item
	if err := json.Unmarshal(line, &it); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return f(it)
}

// open makes a call and returns the body of its answer, which is no error.
func open[Req, Resp any](ctx context.Context, c *Client, route Route[Req, Resp], req Req) (io.ReadCloser, error) {
	r, err := newRequest(ctx, route, req)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, decodeError(io.LimitReader(resp.Body, maxResponse))
	}
	return resp.Body, nil
}

func newRequest[Req, Resp any](ctx context.Context, route Route[Req, Resp], req Req) (*http.Request, error) {
	url, body := "http://yester"+route.Path, io.Reader(nil)
	if route.Method == http.MethodGet {
		q, err := encodeQuery(req)
		if err != nil {
			return nil, err
		}
		url += "?" + q
	} else {
		b, err := json.Marshal(req)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	return http.NewRequestWithContext(ctx, route.Method, url, body)
}

// decodeError reads the error of an answer.
func decodeError(r io.Reader) error {
	var env envelope
	if err := json.NewDecoder(r).Decode(&env); err != nil || env.Error == nil {
		return Errorf(Internal, "the daemon answered with an error that cannot be read")
	}
	return env.Error
}

// unreachable says why a call did not get through.
func (c *Client) unreachable(ctx context.Context, err error) error {
	said, is := errors.AsType[*Error](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case is:
		return said
	case errors.Is(err, fs.ErrPermission):
		return Errorf(Denied, "only root may talk to the daemon at %s", c.socket).WithHint("try again with sudo")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		if pid := holder(c.socket); pid != "" {
			return Errorf(NoDaemon, "the daemon (pid %s) is starting or ending, and does not answer yet", pid).
				WithHint("it opens the vault before it does, which takes hours when the index of a large one is made anew; see its log")
		}
		return Errorf(NoDaemon, "no daemon is running at %s", c.socket).WithHint("start one with `yester daemon`")
	}
	return c.broken(ctx, err)
}

// broken says that the daemon went away in the middle.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return Errorf(NoDaemon, "the daemon at %s broke off (%v)", c.socket, err).WithHint("see its log")
}
