package alert

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"yester/control"
)

// mailful is how many alerts go in one mail at most: those that waited for the server, or came while the last mail was sent.
const mailful = 50

// patience is for how long a recipient whom the server does not take just now, as one that greylists does, is tried again, when others were served.
const patience = 15 * time.Minute

// A refusal says whom a mail server does not take mail for, while it does for others. They are passed over.
type refusal struct{ error }

// served is when recipients got alerts that others did not get yet, by servedKey.
type served map[string]time.Time

func servedKey(a *control.Alert, to string) string { return a.ID + " " + to }

// sendMail sends alerts in one mail to each recipient who was not served yet, and notes who is. It returns a refusal if the others are not to be tried again.
func (b *Outbox) sendMail(ctx context.Context, s *control.SMTP, password string, alerts []control.Alert, got served) error {
	c, err := mailClient(ctx, s, password)
	if err != nil {
		return err
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseWithSMTPClient(conn) }() // what was taken is taken, however the server says goodbye
	var refused []error
	later := false
	for _, to := range s.To {
		left := slices.DeleteFunc(slices.Clone(alerts), func(a control.Alert) bool { return !got[servedKey(&a, to)].IsZero() })
		if len(left) == 0 {
			continue
		}
		m, err := b.letter(s.From, to, left)
		if err != nil {
			return err
		}
		if err := c.SendWithSMTPClient(conn, m); !m.IsDelivered() { // what comes after the server took it is no matter
			final, answered, err := refusedBy(err)
			if !answered {
				return err
			}
			refused, later = append(refused, err), later || !final
			_ = c.ResetWithSMTPClient(conn) // if that fails, so does what comes next
			continue
		}
		for i := range left {
			got[servedKey(&left[i], to)] = b.o.Now().UTC()
		}
	}
	err = errors.Join(refused...)
	var last time.Time // that somebody got one of these that others wait for
	for _, at := range got {
		if at.After(last) {
			last = at
		}
	}
	if err != nil && len(refused) < len(s.To) && (!later || b.o.Now().Sub(last) >= patience) {
		return &refusal{err}
	}
	return err
}

// refusedBy tells whether the server said no, for good even, and says so.
func refusedBy(err error) (final, answered bool, says error) {
	e, ok := errors.AsType[*mail.SendError](err)
	if !ok || e.Msg() == nil {
		return false, false, err
	}
	return e.ErrorCode() >= 500, e.ErrorCode() > 0, fmt.Errorf("the mail server refuses: %w", err)
}

// mailClient is who talks to a mail server.
func mailClient(ctx context.Context, s *control.SMTP, password string) (*mail.Client, error) {
	host, port, err := net.SplitHostPort(s.Server)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	policy := mail.NoTLS // TLS from the begin is between dial and server
	if s.Security == control.SecurityStartTLS {
		policy = mail.TLSMandatory
	}
	options := []mail.Option{
		// The library has a longer limit: that of ctx counts, and says so.
		mail.WithPort(n), mail.WithTimeout(2 * sendTimeout), mail.WithTLSConfig(trust(s.CA, host)), mail.WithTLSPolicy(policy), mail.WithDialContextFunc(dialer(ctx, s, host)),
	}
	if isASCII(s.From + strings.Join(s.To, "")) { // else a server on the way that knows no SMTPUTF8 would refuse what has no need of it
		options = append(options, mail.WithoutSMTPUTF8())
	}
	if s.Username != "" {
		options = append(options, mail.WithSMTPAuthCustom(&login{user: s.Username, password: password, host: host}))
	}
	return mail.NewClient(host, options...)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// dialer connects to the mail server. The connection ends with ctx: the library knows it while it connects only.
func dialer(ctx context.Context, s *control.SMTP, host string) mail.DialContextFunc {
	return func(dial context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dial, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // closed twice is closed
		if s.Security != control.SecurityTLS {
			return conn, nil
		}
		secure := tls.Client(conn, trust(s.CA, host))
		if err := secure.HandshakeContext(dial); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}
}

// letter writes alerts as a mail.
func (b *Outbox) letter(from, to string, alerts []control.Alert) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(m.FromFormat("yester on "+b.o.Instance.Name, from), m.To(to)); err != nil {
		return nil, err
	}
	m.Subject(b.subject(alerts))
	m.SetDateWithValue(b.o.Now().In(b.o.Zone()))
	m.SetMessageIDWithValue(b.messageID(mailID(alerts)))
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("User-Agent", "yester/"+b.o.Version)
	if first, ok := strings.CutSuffix(alerts[0].ID, "/"+control.EventRecovered); ok { // in one thread with what it ends
		m.SetGenHeader("References", "<"+b.messageID(first+"/"+control.EventRaised)+">")
	}
	var text strings.Builder
	for i := range alerts {
		text.WriteString(paragraph(&alerts[i], b.o.Zone()))
	}
	fmt.Fprintf(&text, "\n-- \nyester on %s (%s). `yester status` shows how things are, `yester messages` all of this.\n", b.o.Instance.Name, b.o.Instance.ID)
	m.SetBodyString(mail.TypeTextPlain, text.String())
	return m, nil
}

// subject is the first alert's sentence, and how many more there are.
func (b *Outbox) subject(alerts []control.Alert) string {
	a := &alerts[0]
	s := "yester on " + b.o.Instance.Name + ": "
	if a.Event == control.EventRecovered {
		s += "recovered: "
	}
	s = cut(s+line(a.Text), 150, " …")
	if len(alerts) > 1 {
		s += fmt.Sprintf(" (and %d more)", len(alerts)-1)
	}
	return s
}

// paragraph says what an alert is about.
func paragraph(a *control.Alert, zone *time.Location) string {
	s := ""
	if a.Event == control.EventRecovered {
		s = "Recovered: "
	}
	s += line(a.Text) + "\n  " + strings.TrimSpace(a.Kind+" since "+a.Time.In(zone).Format(time.RFC1123))
	if a.Resolved != nil {
		s += ", over since " + a.Resolved.In(zone).Format(time.RFC1123)
	}
	return s + "\n\n"
}

// mailID is that of its alert, or tells one mail with several from another.
func mailID(alerts []control.Alert) string {
	id := alerts[0].ID
	if len(alerts) == 1 {
		return id
	}
	all := sha256.New()
	for i := range alerts {
		fmt.Fprintln(all, alerts[i].ID)
	}
	return fmt.Sprintf("%s.%x", id, all.Sum(nil)[:8])
}

// messageID is the same at each try of a mail.
func (b *Outbox) messageID(id string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return strings.ReplaceAll(id, "/", ".") + "." + b.o.Instance.ID + "@" + host
}

// login logs in by the best way that the server offers; never without encryption.
type login struct {
	user, password, host string
	way                  smtp.Auth
}

// Start begins to log in.
func (l *login) Start(s *smtp.ServerInfo) (proto string, toServer []byte, err error) {
	switch {
	case slices.Contains(s.Auth, "SCRAM-SHA-256"):
		l.way = smtp.ScramSHA256Auth(l.user, l.password)
	case slices.Contains(s.Auth, "PLAIN"):
		l.way = smtp.PlainAuth("", l.user, l.password, l.host, false)
	case slices.Contains(s.Auth, "LOGIN"):
		l.way = smtp.LoginAuth(l.user, l.password, l.host, false)
	case slices.Contains(s.Auth, "CRAM-MD5"):
		l.way = smtp.CRAMMD5Auth(l.user, l.password)
	default:
		return "", nil, errors.New("the mail server offers no login that is known here")
	}
	return l.way.Start(s)
}

// Next goes on with what the server said.
func (l *login) Next(fromServer []byte, more bool) ([]byte, error) {
	return l.way.Next(fromServer, more)
}
