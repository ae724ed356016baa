package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yester/control"
)

// verified is the reading of docs/ALERTS.md: it returns the body if its signature is that of the key and not older than five minutes.
func verified(t *testing.T, r *http.Request, key string) (a control.Alert) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	at, mac, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Yester-Signature"), "t="), ",v1=")
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(at + "." + string(body)))
	sent, err := time.Parse("2006-01-02", "1970-01-01")
	must(t, err)
	var seconds time.Duration
	must(t, json.Unmarshal([]byte(at), &seconds))
	if age := time.Since(sent.Add(seconds * time.Second)); !ok || mac != hex.EncodeToString(h.Sum(nil)) || age < -time.Minute || age > 5*time.Minute {
		t.Errorf("the signature %q is wrong for %s", r.Header.Get("Yester-Signature"), body)
	}
	must(t, json.Unmarshal(body, &a))
	if r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Yester-Id") != a.ID {
		t.Errorf("got %s %v", r.Method, r.Header)
	}
	return a
}

func TestWebhookGetsSignedJSON(t *testing.T) {
	key := ""
	got := make(chan control.Alert, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- verified(t, r, key) }))
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	secrets := filepath.Join(t.TempDir(), "alerts")
	b := openOutbox(t, newDesk(), Options{Secrets: secrets})
	key = add(t, b, control.Channel{Name: "hook", Webhook: &control.Webhook{URL: s.URL + "/yester", CA: ca}}, "")
	if tests, err := b.Test(t.Context(), ""); err != nil || len(tests) != 1 || tests[0].Error != "" {
		t.Fatalf("%+v, %v", tests, err)
	}
	if a := <-got; a.Event != control.EventTest || a.Instance != here || !strings.Contains(a.Text, "web1") {
		t.Errorf("got %+v", a)
	}
	info, err := os.Stat(filepath.Join(secrets, "hook"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v, %v", info, err)
	}
	must(t, b.Remove("hook"))
	if left, err := os.ReadDir(secrets); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := b.Remove("hook"); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Test(t.Context(), ""); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestSignature(t *testing.T) { // made with: printf '1795615200.{"id":"m-1/raised"}' | openssl dgst -sha256 -hmac secret
	const want = "t=1795615200,v1=28850c2440d67cd1041377e039f0e4021fb83adb784a112b350d2269ef86acd0"
	if got := Sign("secret", time.Unix(1795615200, 0), []byte(`{"id":"m-1/raised"}`)); got != want {
		t.Errorf("got %s", got)
	}
}

func TestWebhooksThatDoNotTakeIt(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/hangs":
			<-release
		default:
			http.Error(w, "no", http.StatusInternalServerError)
		}
	}))
	defer s.Close()
	defer close(release)
	for url, says := range map[string]string{
		s.URL + "/moved": "307", s.URL + "/fails": "500", "http://" + closed(t) + "/token": "refused", strings.Replace(s.URL, "http:", "https:", 1): "HTTP",
	} {
		b := openOutbox(t, newDesk(), Options{})
		add(t, b, control.Channel{Name: "hook", Webhook: &control.Webhook{URL: url}}, "k")
		tests, err := b.Test(t.Context(), "hook")
		if err != nil || len(tests) != 1 || !strings.Contains(tests[0].Error, says) || strings.Contains(tests[0].Error, "token") {
			t.Errorf("%s: %+v, %v", url, tests, err)
		}
	}
	if asked != 0 {
		t.Error("it followed")
	}
	b := openOutbox(t, newDesk(), Options{})
	add(t, b, control.Channel{Name: "hook", Webhook: &control.Webhook{URL: s.URL + "/hangs"}}, "k")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Test(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
