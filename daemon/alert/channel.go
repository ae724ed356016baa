package alert

import (
	"crypto/rand"
	"crypto/x509"
	"net"
	"net/mail"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yester/control"
)

// prepare fills in defaults of a new channel and refuses one that makes no sense, with BadRequest. A webhook without a secret gets one, and made is true.
func prepare(c *control.Channel, secret *string) (made bool, err error) {
	*c = control.Channel{Name: c.Name, Kinds: c.Kinds, SMTP: c.SMTP, Webhook: c.Webhook, Command: c.Command}
	ways := 0
	for _, is := range []bool{c.SMTP != nil, c.Webhook != nil, len(c.Command) > 0} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return false, bad("a channel is one of smtp, webhook and command")
	}
	if !isName(c.Name) {
		return false, bad("%q is no name for a channel", c.Name).WithHint("up to 32 small letters, digits and hyphens")
	}
	for _, k := range c.Kinds {
		if !slices.Contains(control.MessageKinds, k) {
			return false, bad("there is no kind of message %q", k).WithHint("there are %s", strings.Join(control.MessageKinds, ", "))
		}
	}
	if strings.ContainsAny(*secret, "\r\n\x00") {
		return false, bad("the secret has more than one line")
	}
	switch {
	case c.SMTP != nil:
		return false, prepareSMTP(c.SMTP, *secret)
	case c.Webhook != nil:
		if *secret == "" {
			*secret, made = rand.Text(), true
		}
		return made, checkWebhook(c.Webhook)
	case *secret != "":
		return false, bad("a command has no secret")
	}
	return false, checkCommand(c.Command)
}

func bad(format string, args ...any) *control.Error {
	return control.Errorf(control.BadRequest, format, args...)
}

func isName(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}

// prepareSMTP adds the port that is usual, and brings addresses to their bare form.
func prepareSMTP(s *control.SMTP, password string) error {
	ports := map[string]string{control.SecurityTLS: "465", control.SecurityStartTLS: "587", control.SecurityNone: "25"}
	port, ok := ports[s.Security]
	if !ok {
		return bad("the security %q is none of starttls, tls, none", s.Security)
	}
	if host, p, err := net.SplitHostPort(s.Server); err == nil {
		s.Server, port = host, p
	}
	s.Server = strings.Trim(s.Server, "[]")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || s.Server == "" || strings.ContainsAny(s.Server, " /@[]") {
		return bad("the mail server is no HOST or HOST:PORT")
	}
	s.Server = net.JoinHostPort(s.Server, port)
	switch {
	case s.Username != "" && s.Security == control.SecurityNone:
		return bad("a password is not sent without encryption").WithHint("give --security starttls or tls, or no --username")
	case s.Username != "" && password == "":
		return bad("the password for %s is missing", s.Username)
	case s.Username == "" && password != "":
		return bad("there is a password, and no --username")
	case s.From == "" || len(s.To) == 0:
		return bad("a mail needs --from and --to")
	}
	all := append([]*string{&s.From}, pointers(s.To)...)
	for _, a := range all {
		parsed, err := mail.ParseAddress(*a)
		if err != nil {
			return bad("%q is no mail address", *a)
		}
		*a = parsed.Address
	}
	return checkCA(s.CA)
}

func pointers(list []string) (ps []*string) {
	for i := range list {
		ps = append(ps, &list[i])
	}
	return ps
}

func checkWebhook(w *control.Webhook) error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return bad("the address of the webhook is no http:// or https:// one")
	case u.User != nil:
		return bad("the address of the webhook has a name or password in it").WithHint("what arrives there is known by its signature")
	}
	return checkCA(w.CA)
}

func checkCommand(words []string) error {
	if !filepath.IsAbs(words[0]) {
		return bad("the command %q is no absolute path", words[0])
	}
	if strings.ContainsRune(strings.Join(words, ""), 0) {
		return bad("the command has a zero byte in it")
	}
	return nil
}

func checkCA(pem string) error {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		return bad("there is no certificate in the file of the authority (PEM)")
	}
	return nil
}
