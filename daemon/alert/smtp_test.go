package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"yester/control"
)

const password = "s3cret pass"

func channelTo(s *mailServer, security, ca string) control.Channel {
	c := control.Channel{Name: "smtp", SMTP: &control.SMTP{
		Server: "127.0.0.1:" + s.port, Security: security, Username: "yester", From: "yester@example.org", To: []string{"ops@example.org"}, CA: ca,
	}}
	return c
}

// testOf sends a test alert by the channel and returns what came of it.
func testOf(ctx context.Context, t *testing.T, b *Outbox) string {
	t.Helper()
	tests, err := b.Test(ctx, "smtp")
	if err != nil && !errors.Is(err, context.Canceled) || len(tests) != 1 {
		t.Fatalf("%+v, %v", tests, err)
	}
	return tests[0].Error
}

func TestMailGoesWithEncryptionAndLogin(t *testing.T) {
	for _, mode := range []string{control.SecurityStartTLS, control.SecurityTLS} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			ca, cert := certificate(t)
			s := serveMail(t, mode, "0", cert...)
			b := openOutbox(t, newDesk(), Options{})
			add(t, b, channelTo(s, mode, ca), password)
			if says := testOf(t.Context(), t, b); says != "" {
				t.Fatal(says)
			}
			l := s.got(t)
			if !l.TLS || l.UTF8 || l.User != "yester" || l.From != "yester@example.org" || len(l.To) != 1 || l.To[0] != "ops@example.org" {
				t.Errorf("got %+v", l)
			}
			for _, want := range []string{"Subject: yester on web1: this is a test", "Auto-Submitted: auto-generated", "Date: ", "<test-20", "\"yester on web1\" <yester@example.org>"} {
				if !strings.Contains(l.Data, want) {
					t.Errorf("no %q in %s", want, l.Data)
				}
			}
		})
	}
}

func TestMailWithoutLoginToAServerOfThisMachine(t *testing.T) {
	s := serveMail(t, "none", "0")
	b := openOutbox(t, newDesk(), Options{})
	c := channelTo(s, control.SecurityNone, "")
	c.SMTP.Username, c.SMTP.To = "", []string{"müller@example.org"}
	add(t, b, c, "")
	if says := testOf(t.Context(), t, b); says != "" {
		t.Fatal(says)
	}
	if l := s.got(t); l.TLS || l.User != "" || !l.UTF8 || l.To[0] != "müller@example.org" {
		t.Errorf("got %+v", l)
	}
}

func TestMailServersThatAreNotAsTheyShouldGetNothing(t *testing.T) {
	ca, cert := certificate(t)
	other, _ := certificate(t)
	good := serveMail(t, "starttls", "0", cert...)
	for name, c := range map[string]struct {
		server   *mailServer
		security string
		ca       string
		password string
		says     string
	}{
		"wrong password":        {good, "starttls", ca, "wrong pass", "535"},
		"certificate of others": {good, "starttls", other, password, "certificate"},
		"no STARTTLS":           {serveMail(t, "none", "0"), "starttls", ca, password, "STARTTLS"},
		"no TLS":                {good, "tls", ca, password, "tls"},
		"nobody there":          {&mailServer{port: strings.Split(closed(t), ":")[1]}, "starttls", ca, password, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openOutbox(t, newDesk(), Options{})
			add(t, b, channelTo(c.server, c.security, c.ca), c.password)
			says := testOf(t.Context(), t, b)
			if !strings.Contains(says, c.says) || strings.Contains(says, c.password) || strings.Contains(says, "\n") {
				t.Errorf("got %q", says)
			}
			t.Log(says)
			select {
			case l := <-c.server.mails:
				t.Errorf("it got %+v", l)
			default:
			}
		})
	}
}

func TestMailThatIsRefusedSaysWhy(t *testing.T) {
	s := serveMail(t, "refuse", "0")
	b := openOutbox(t, newDesk(), Options{})
	c := channelTo(s, control.SecurityNone, "")
	c.SMTP.Username = ""
	add(t, b, c, "")
	if says := testOf(t.Context(), t, b); !strings.Contains(says, "refuses") || !strings.Contains(says, "nobody here is called so") {
		t.Errorf("got %q", says)
	}
}

// openTo is an outbox with a channel to a server without login, for some people, and its book.
func openTo(t *testing.T, s *mailServer, o Options, to ...string) (*Outbox, *Book) {
	t.Helper()
	d, now := newDesk(), time.Now
	if o.Now != nil {
		now = o.Now
	}
	b := openOutbox(t, d, o)
	c := channelTo(s, control.SecurityNone, "")
	c.SMTP.Username, c.SMTP.To = "", to
	add(t, b, c, "")
	book, err := Open(d, b, now, now)
	must(t, err)
	return b, book
}

// wantMail waits for a mail to somebody, with a text.
func (s *mailServer) wantMail(t *testing.T, to, text string) letter {
	t.Helper()
	l := s.got(t)
	if len(l.To) != 1 || l.To[0] != to || !strings.Contains(l.Data, "To: <"+to+">") || !strings.Contains(l.Data, text) {
		t.Errorf("got %+v, want one to %s", l, to)
	}
	return l
}

func TestRecipientWhoIsRefusedSilencesNoOther(t *testing.T) {
	s := serveMail(t, "none", "0")
	b, book := openTo(t, s, Options{Retry: time.Millisecond}, "nobody@example.org", "grey@example.org", "ops@example.org", "more@example.org")
	must(t, book.Raise("damage", "damage/1", "pack 1 is damaged"))
	running(t, b)
	for _, to := range []string{"ops", "more", "grey"} { // who was served gets nothing at the second try
		s.wantMail(t, to+"@example.org", "pack 1")
	}
	wait(t, "the end", func() bool { return b.Channels()[0].Waiting == 0 })
	if c := b.Channels()[0]; c.Failures != 0 || !strings.Contains(c.Error, "nobody@example.org") || !strings.Contains(c.Error, "nobody here is called so") || strings.Contains(c.Error, "grey") {
		t.Errorf("got %+v", c)
	}
	if says := testOf(t.Context(), t, b); !strings.Contains(says, "nobody@example.org") || len(s.mails) != 3 {
		t.Errorf("got %q and %d mails", says, len(s.mails))
	}
}

func TestRecipientWhoIsNotServedForLongIsPassedOver(t *testing.T) {
	s := serveMail(t, "none", "0")
	var now atomic.Pointer[time.Time]
	begin := time.Now()
	now.Store(&begin)
	b, book := openTo(t, s, Options{Now: func() time.Time { return *now.Load() }}, "busy@example.org", "ops@example.org")
	must(t, book.Raise("damage", "damage/1", "pack 1 is damaged"))
	running(t, b)
	s.wantMail(t, "ops@example.org", "pack 1")
	wait(t, "the failure", func() bool { return b.Channels()[0].Failures > 0 })
	must(t, book.Raise("damage", "damage/2", "pack 2 is damaged"))
	later := begin.Add(patience)
	now.Store(&later)
	b.woken()
	if l := s.wantMail(t, "ops@example.org", "pack 2"); strings.Contains(l.Data, "pack 1") {
		t.Errorf("it came again: %s", l.Data)
	}
	wait(t, "another failure", func() bool { return b.Channels()[0].Failures > 1 })
	if c := b.Channels()[0]; c.Waiting != 2 {
		t.Errorf("the second was given up at once: %+v", c)
	}
	later = later.Add(patience)
	now.Store(&later)
	b.woken()
	wait(t, "the end", func() bool { return b.Channels()[0].Waiting == 0 })
	if c := b.Channels()[0]; c.Failures != 0 || !strings.Contains(c.Error, "450") {
		t.Errorf("got %+v", c)
	}
}

func TestMailThatWasTakenIsDeliveredHoweverTheServerGoesOn(t *testing.T) {
	s := serveMail(t, "rude", "0")
	b, book := openTo(t, s, Options{Retry: time.Millisecond}, "ops@example.org")
	if says := testOf(t.Context(), t, b); says != "" {
		t.Error(says)
	}
	s.got(t)
	must(t, book.Raise("damage", "damage/1", "pack 1 is damaged"))
	running(t, b)
	s.wantMail(t, "ops@example.org", "pack 1")
	wait(t, "the end", func() bool { return b.Channels()[0].Waiting == 0 })
	if c := b.Channels()[0]; c.Failures != 0 || len(s.mails) != 0 {
		t.Errorf("got %+v, and %d mails more", c, len(s.mails))
	}
}

// Else a server that has had the first one takes the second for the same, and drops it.
func TestMessageIDIsOfAllAlertsInTheMail(t *testing.T) {
	b := openOutbox(t, newDesk(), Options{})
	id := func(n int) string {
		t.Helper()
		var alerts []control.Alert
		for i := range n {
			alerts = append(alerts, control.Alert{ID: fmt.Sprintf("m-20261125-%04d/raised", i+1), Event: control.EventRaised})
		}
		m, err := b.letter("yester@example.org", "ops@example.org", alerts)
		must(t, err)
		return m.GetMessageID()
	}
	if one, two, three := id(1), id(2), id(3); one == two || two == three || two != id(2) || !strings.HasPrefix(one, "<m-20261125-0001.raised."+here.ID+"@") || !strings.HasPrefix(two, "<m-20261125-0001.raised.") {
		t.Errorf("got %s, %s, %s", one, two, three)
	}
}

func TestMailServerThatHangsIsLeft(t *testing.T) {
	address := silent(t)
	for _, security := range []string{"tls", "starttls"} {
		b := openOutbox(t, newDesk(), Options{})
		c := channelTo(&mailServer{port: strings.Split(address, ":")[1]}, security, "")
		add(t, b, c, password)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := b.Test(ctx, "smtp"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", security, err)
		}
		cancel()
	}
}

func TestAlertsThatWaitedGoInOneMail(t *testing.T) {
	d, s := newDesk(), serveMail(t, "none", "0")
	b := openOutbox(t, d, Options{})
	c := channelTo(s, control.SecurityNone, "")
	c.SMTP.Username = ""
	add(t, b, c, "")
	book, err := Open(d, b, time.Now, time.Now)
	must(t, err)
	must(t, book.Raise("damage", "damage/1", "pack 1 of Zoë\nis damaged\r\nBcc: eve@example.org"))
	must(t, book.Raise("damage", "damage/2", "pack 2 is damaged"))
	must(t, book.Resolve("damage/1"))
	running(t, b)
	l := s.got(t)
	m, err := mail.ReadMessage(strings.NewReader(l.Data))
	must(t, err)
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	must(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	must(t, err)
	if want := "yester on web1: pack 1 of Zoë is damaged Bcc: eve@example.org (and 2 more)"; subject != want || m.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, headers %v", subject, m.Header)
	}
	for _, want := range []string{"pack 1 of Zoë is damaged", "pack 2 is damaged", "Recovered: pack 1"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	wait(t, "the end", func() bool { return b.Channels()[0].Waiting == 0 })
	if len(s.mails) != 0 {
		t.Error("there is another mail")
	}
}
