package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"yester/control"
)

// SignatureHeader is the header of a webhook's request that proves who sent it, and when:
//
//	Yester-Signature: t=1795615200,v1=<hex>
//
// where t is the time of sending in seconds since 1970 and v1 is HMAC-SHA256, with the channel's key, of t's digits, a dot and the body. Who
// receives computes the same, compares without haste, and refuses what is older than a few minutes, so that nothing can be sent again by others.
const SignatureHeader = "Yester-Signature"

// IDHeader is the header with the alert's id: at each try the same, so that what comes twice is known.
const IDHeader = "Yester-Id"

// Sign returns the value of SignatureHeader for a body that is sent at a time.
func Sign(key string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// post sends an alert to a webhook, which must answer with a status of 200 to 299. It goes nowhere else, whatever the answer says.
func (b *Outbox) post(ctx context.Context, w *control.Webhook, key string, a *control.Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "yester/"+b.o.Version)
	r.Header.Set(IDHeader, a.ID)
	r.Header.Set(SignatureHeader, Sign(key, b.o.Now(), body))
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust(w.CA, r.URL.Hostname()), ForceAttemptHTTP2: true}
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which may be a secret
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	err = fmt.Errorf("the webhook answers %s", resp.Status)
	if resp.StatusCode >= 400 && resp.StatusCode <= 499 && !slices.Contains(ofAll, resp.StatusCode) {
		return &unfit{err}
	}
	return err
}

// ofAll are the statuses from 400 to 499 that say more of the webhook, or of the moment, than of what was sent.
var ofAll = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests,
}
