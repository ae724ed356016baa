package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const mailPassword = "s3cret pass"

// mailServer runs the mail server of daemon/alert's tests, with STARTTLS and login, on a port, and returns what it writes: a line for each mail.
func mailServer(t *testing.T, port, cert, key string) (mails *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "../daemon/alert/testdata/smtpd.py", "starttls", port, cert, key)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		must(t, cmd.Wait())
	})
	mails = bufio.NewReader(out)
	if first, err := mails.ReadString('\n'); err != nil || strings.TrimSpace(first) != port {
		t.Fatalf("the mail server says %q, %v", first, err)
	}
	return mails
}

// nextMail waits for a mail and returns its text.
func nextMail(t *testing.T, mails *bufio.Reader) string {
	t.Helper()
	line, err := mails.ReadString('\n')
	must(t, err)
	var mail struct {
		User, Data string
		TLS        bool
	}
	must(t, json.Unmarshal([]byte(line), &mail))
	if !mail.TLS || mail.User != "yester" {
		t.Errorf("not encrypted, or without login: %s", line)
	}
	return mail.Data
}

// An alert finds the mail server dead and the daemon killed in the middle of its tries, and arrives once both are back; and so does that it is over.
func TestAlertsArriveAfterServerAndDaemonWereDead(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	if exec.Command("/usr/bin/python3", "-c", "import aiosmtpd").Run() != nil {
		t.Skip("it needs the package python3-aiosmtpd (make packages)")
	}
	p := newPartition(t, "ext4", gib)
	source := p.path("source")
	must(t, os.Mkdir(source, 0o755))
	must(t, os.WriteFile(filepath.Join(source, "file"), []byte("yesterday"), 0o644))
	cert, key, secret, noted := p.path("cert"), p.path("key"), p.path("secret"), p.path("noted")
	command(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
		"-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert)
	must(t, os.WriteFile(secret, []byte(mailPassword+"\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	must(t, l.Close())

	expected := regexp.MustCompile("an alert was not delivered|task failed|backup failed|is not there|daemon was killed")
	d := start(t, home)
	d.expected = expected
	explained(t, at(t, home, "alerts", "test"), failed, "no channel", "alerts add")
	explained(t, at(t, home, "alerts", "add", "smtp", "--server", "x", "--from", "a@b", "--to", "nobody"), wrongUse, "nobody", "mail address")
	if s := d.run(done, "activate", "--path", source, "--priority", "max").stdout; !strings.Contains(s, "\nTo be told of what goes wrong: yester ") {
		t.Errorf("activate does not say that nobody is told:\n%s", s)
	}
	if s := d.run(done, "status").stdout; !strings.Contains(s, "nobody is told of what goes wrong") {
		t.Errorf("status does not say that nobody is told:\n%s", s)
	}
	d.run(done, "alerts", "add", "smtp", "--server", "127.0.0.1:"+port, "--username", "yester", "--password-file", secret, "--ca-file", cert,
		"--from", "yester@example.org", "--to", "ops@example.org")
	d.run(done, "alerts", "add", "command", "--kind", "backup", "--", "/bin/sh", "-c", `echo "$YESTER_EVENT $YESTER_TEXT" >> `+noted)
	explained(t, at(t, home, "alerts", "test", "smtp"), failed, "smtp does not take alerts", "refused")
	must(t, os.Rename(source, source+".away"))
	d.run(failed, "backup", "--wait")
	type channel struct {
		Name              string
		Waiting, Failures int
		Error             string
	}
	mail := func() (c channel) {
		var list []channel
		d.json(&list, "alerts", "list")
		return list[1]
	}
	d.wait("a try", func() bool { return mail().Failures > 0 })
	d.wait("the command", func() bool { b, _ := os.ReadFile(noted); return bytes.HasPrefix(b, []byte("raised the backup b-")) })
	if s := d.run(done, "status").stdout; !strings.Contains(s, "the channel smtp takes no alerts since") || strings.Contains(s, "nobody is told") {
		t.Errorf("status does not tell:\n%s", s)
	}
	d.kill()

	d = start(t, home)
	d.expected = expected
	if c := mail(); c.Waiting != 1 || c.Failures == 0 || !strings.Contains(c.Error, "refused") {
		t.Errorf("after kill -9: %+v", c)
	}
	mails := mailServer(t, port, cert, key)
	d.run(done, "alerts", "test", "smtp")
	both := nextMail(t, mails) + nextMail(t, mails)
	if !strings.Contains(both, "this is a test") || !strings.Contains(both, "source is not there") {
		t.Errorf("got %s", both)
	}
	must(t, os.Rename(source+".away", source))
	d.run(done, "backup", "--wait")
	if m := nextMail(t, mails); !strings.Contains(m, "recovered: the backup") || !strings.Contains(m, "References: ") {
		t.Errorf("got %s", m)
	}
	d.wait("the command again", func() bool { b, _ := os.ReadFile(noted); return bytes.Contains(b, []byte("\nrecovered the backup b-")) })

	if a := at(t, home, "alerts", "list", "--json"); strings.Contains(a.stdout+d.run(done, "status", "--json").stdout, mailPassword) {
		t.Error("the password is shown")
	}
	var have []string
	for _, dir := range []string{home, d.log} {
		b, _ := exec.Command("grep", "-rlF", mailPassword, dir).Output()
		have = append(have, strings.Fields(string(b))...)
	}
	if len(have) != 1 || have[0] != filepath.Join(home, "alerts", "smtp") {
		t.Errorf("the password is in %q", have)
	}
	if info, err := os.Stat(have[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	d.run(done, "alerts", "remove", "smtp")
	if _, err := os.Stat(have[0]); !os.IsNotExist(err) {
		t.Errorf("the password is still there: %v", err)
	}
	explained(t, at(t, home, "alerts", "remove", "smtp"), failed, "no channel")
}

// The webhook's signature is verified as docs/ALERTS.md tells it, by its own example.
func TestWebhookIsVerifiedByTheExampleOfTheDocs(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	docs, err := os.ReadFile("../docs/ALERTS.md")
	must(t, err)
	_, example, _ := strings.Cut(string(docs), "```python\n")
	example, _, _ = strings.Cut(example, "```")
	type request struct{ signature, body string }
	got := make(chan request, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // cut off, it is not verified
		got <- request{r.Header.Get("Yester-Signature"), string(body)}
	}))
	defer s.Close()
	ca := filepath.Join(home, "ca")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	d := start(t, home)
	var added struct{ Key string }
	d.json(&added, "alerts", "add", "webhook", "--url", s.URL, "--ca-file", ca)
	d.run(done, "alerts", "test")
	r := <-got
	verified := func(key, body string) string {
		cmd := exec.Command("/usr/bin/python3", "-c", "import hashlib, hmac, sys, time\n"+example+"\nprint(verified(sys.argv[1].encode(), sys.argv[2], sys.argv[3].encode()))",
			key, r.signature, body)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if verified(added.Key, r.body) != "True" || verified("other", r.body) != "False" || verified(added.Key, r.body+" ") != "False" {
		t.Errorf("%q is not as %q says", r, example)
	}
}
