package alert

import (
	"errors"
	"strings"
	"testing"

	"yester/control"
)

func mailChannel() control.Channel {
	return control.Channel{Name: "smtp", SMTP: &control.SMTP{
		Server: "mail.example.org", Security: control.SecurityStartTLS, Username: "yester", From: "Yester <y@example.org>", To: []string{"ops@example.org"},
	}}
}

func TestChannelsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*control.Channel)
		secret string
		says   string
	}{
		"none":                  {func(c *control.Channel) { c.SMTP = nil }, "", "one of smtp, webhook and command"},
		"two":                   {func(c *control.Channel) { c.Command = []string{"/bin/true"} }, "x", "one of smtp, webhook and command"},
		"name":                  {func(c *control.Channel) { c.Name = "../x" }, "x", "no name for a channel"},
		"kind":                  {func(c *control.Channel) { c.Kinds = []string{"weather"} }, "x", `no kind of message "weather"`},
		"security":              {func(c *control.Channel) { c.SMTP.Security = "ssl" }, "x", "none of starttls, tls, none"},
		"server":                {func(c *control.Channel) { c.SMTP.Server = "" }, "x", "no HOST or HOST:PORT"},
		"port":                  {func(c *control.Channel) { c.SMTP.Server = "a:b" }, "x", "no HOST or HOST:PORT"},
		"login in the clear":    {func(c *control.Channel) { c.SMTP.Security = "none" }, "x", "not sent without encryption"},
		"no password":           {func(*control.Channel) {}, "", "password for yester is missing"},
		"password without name": {func(c *control.Channel) { c.SMTP.Username = "" }, "x", "no --username"},
		"two lines":             {func(*control.Channel) {}, "x\ny", "more than one line"},
		"nobody":                {func(c *control.Channel) { c.SMTP.To = nil }, "x", "--from and --to"},
		"address":               {func(c *control.Channel) { c.SMTP.To = []string{"ops@example.org\nBcc: x@y"} }, "x", "no mail address"},
		"authority":             {func(c *control.Channel) { c.SMTP.CA = "garbage" }, "x", "no certificate"},
		"webhook's address":     {func(c *control.Channel) { c.SMTP, c.Webhook = nil, &control.Webhook{URL: "ftp://x/"} }, "", "no http:// or https:// one"},
		"webhook's login":       {func(c *control.Channel) { c.SMTP, c.Webhook = nil, &control.Webhook{URL: "https://a:b@x/"} }, "", "name or password in it"},
		"relative command":      {func(c *control.Channel) { c.SMTP, c.Command = nil, []string{"true"} }, "", "no absolute path"},
		"command's secret":      {func(c *control.Channel) { c.SMTP, c.Command = nil, []string{"/bin/true"} }, "x", "has no secret"},
	} {
		t.Run(name, func(t *testing.T) {
			q := mailChannel()
			c.spoil(&q)
			_, err := prepare(&q, &c.secret)
			if !errors.Is(err, control.BadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestServersGetTheUsualPort(t *testing.T) {
	for _, c := range []struct{ server, security, want string }{
		{"mail.example.org", "starttls", "mail.example.org:587"},
		{"mail.example.org", "tls", "mail.example.org:465"},
		{"mail.example.org:2525", "tls", "mail.example.org:2525"},
		{"::1", "starttls", "[::1]:587"},
		{"[::1]:25", "starttls", "[::1]:25"},
	} {
		q, secret := mailChannel(), "x"
		q.SMTP.Server, q.SMTP.Security = c.server, c.security
		if _, err := prepare(&q, &secret); err != nil || q.SMTP.Server != c.want || q.SMTP.From != "y@example.org" {
			t.Errorf("%s %s: %+v, %v", c.server, c.security, q.SMTP, err)
		}
	}
}

func TestWebhookWithoutKeyGetsOne(t *testing.T) {
	keys := map[string]bool{}
	for range 3 {
		q, secret := control.Channel{Name: "webhook", Webhook: &control.Webhook{URL: "https://x/y"}}, ""
		if made, err := prepare(&q, &secret); err != nil || !made || len(secret) < 26 {
			t.Errorf("%q, %v, %v", secret, made, err)
		}
		keys[secret] = true
	}
	q, secret := control.Channel{Name: "webhook", Webhook: &control.Webhook{URL: "https://x/y"}}, "mine"
	if made, err := prepare(&q, &secret); err != nil || made || secret != "mine" || len(keys) != 3 {
		t.Errorf("%q, %v, %v; drawn %v", secret, made, err, keys)
	}
}
