package alert

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"yester/control"
)

// A desk is a Keeper and a Mailroom in memory.
type desk struct {
	kept
	mu         sync.Mutex
	channels   map[string]control.Channel
	deliveries map[string]control.Delivery
}

func newDesk() *desk {
	return &desk{kept: kept{}, channels: map[string]control.Channel{}, deliveries: map[string]control.Delivery{}}
}

func (d *desk) PutMessage(m control.Message, to ...control.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range to {
		d.deliveries[x.Channel+"/"+x.ID] = x
	}
	return d.kept.PutMessage(m)
}

func (d *desk) Channels() (all []control.Channel, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.channels {
		all = append(all, c)
	}
	return all, nil
}

func (d *desk) Deliveries() (all []control.Delivery, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.deliveries {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b control.Delivery) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (d *desk) PutChannel(c control.Channel, done ...control.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.channels[c.Name] = c
	for _, x := range done {
		delete(d.deliveries, x.Channel+"/"+x.ID)
	}
	return nil
}

func (d *desk) ForgetChannel(name string, waiting ...control.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.channels, name)
	for _, x := range waiting {
		delete(d.deliveries, x.Channel+"/"+x.ID)
	}
	return nil
}

// waiting is how many deliveries are kept.
func (d *desk) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.deliveries)
}

var here = control.Instance{ID: "0123456789abcdef0123456789abcdef", Name: "web1"}

// openOutbox opens what a desk has kept.
func openOutbox(t *testing.T, d *desk, o Options) *Outbox {
	t.Helper()
	o.Instance, o.Version, o.Log = here, "test", slog.New(slog.DiscardHandler)
	if o.Secrets == "" {
		o.Secrets = filepath.Join(t.TempDir(), "alerts")
	}
	b, err := OpenOutbox(d, o)
	must(t, err)
	return b
}

// add adds a channel.
func add(t *testing.T, b *Outbox, c control.Channel, secret string) (key string) {
	t.Helper()
	_, key, err := b.Add(c, secret)
	must(t, err)
	return key
}

// A letter is a mail as the server got it.
type letter struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	TLS  bool     `json:"tls"`
	UTF8 bool     `json:"utf8"` // the server was asked for SMTPUTF8
	User string   `json:"user"`
	Data string   `json:"data"`
}

// A mailServer is a running testdata/smtpd.py.
type mailServer struct {
	port  string
	mails chan letter
}

// serveMail runs a mail server until the test ends; port "0" is a free one.
func serveMail(t *testing.T, mode, port string, cert ...string) *mailServer {
	t.Helper()
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	if exec.Command(python, "-c", "import aiosmtpd").Run() != nil {
		t.Skip("it needs the package python3-aiosmtpd (make packages)")
	}
	cmd := exec.Command(python, append([]string{"testdata/smtpd.py", mode, port}, cert...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	s := &mailServer{mails: make(chan letter, 100)}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	must(t, err)
	s.port = strings.TrimSpace(first)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for d := json.NewDecoder(lines); ; {
			var l letter
			if err := d.Decode(&l); err != nil {
				return
			}
			s.mails <- l
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the mail server: %v", err)
		}
		if t.Failed() {
			t.Logf("the mail server says:\n%s", &said)
		}
	})
	return s
}

// got waits for a mail.
func (s *mailServer) got(t *testing.T) letter {
	t.Helper()
	select {
	case l := <-s.mails:
		return l
	case <-time.After(time.Minute):
		t.Fatal("no mail came")
		return letter{}
	}
}

// certificate makes one for 127.0.0.1 that signs itself, and returns its PEM and the files of it and its key.
func certificate(t *testing.T) (ca string, files []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	k, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	files = []string{filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	must(t, os.WriteFile(files[0], []byte(ca), 0o600))
	must(t, os.WriteFile(files[1], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}), 0o600))
	return ca, files
}

// silent listens and says nothing until the test ends.
func silent(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return l.Addr().String()
}

// closed is an address that nobody listens on.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
