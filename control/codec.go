package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// encodeQuery makes a query of a flat struct of strings.
func encodeQuery(req any) (string, error) {
	b, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	var flat map[string]string
	if err := json.Unmarshal(b, &flat); err != nil {
		return "", fmt.Errorf("not flat: %w", err)
	}
	q := url.Values{}
	for k, v := range flat {
		q.Set(k, v)
	}
	return q.Encode(), nil
}

// decodeQuery is the reverse of encodeQuery. Unknown names are refused.
func decodeQuery(raw string, req any) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return err
	}
	flat := make(map[string]string, len(q))
	for k := range q {
		flat[k] = q.Get(k)
	}
	b, err := json.Marshal(flat)
	if err != nil {
		return err
	}
	return strict(bytes.NewReader(b), req)
}

// strict decodes exactly one JSON value without unknown fields.
func strict(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// decodeBody reads the body within bodyTimeout. The server's own read timeout would not do: it goes on while the call is at work, and ends
// the call.
func decodeBody(w http.ResponseWriter, r *http.Request, req any) error {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) // a connection that has no deadlines has none to keep
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	return strict(http.MaxBytesReader(w, r.Body, maxRequest), req)
}

// decodeRequest reads what a call takes. Every error is a BadRequest.
func decodeRequest(w http.ResponseWriter, r *http.Request, req any) error {
	var err error
	if r.Method == http.MethodGet {
		err = decodeQuery(r.URL.RawQuery, req)
	} else {
		err = decodeBody(w, r, req)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return Errorf(BadRequest, "the request is larger than %d bytes", maxRequest)
	}
	if err != nil {
		return Errorf(BadRequest, "the request makes no sense: %v", err)
	}
	return nil
}
