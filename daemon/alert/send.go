package alert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"yester/control"
)

// sendTimeout is how long one try may take, of a command longer.
const (
	sendTimeout    = 30 * time.Second
	commandTimeout = time.Minute
)

// An unfit says that a channel does not take an alert as it is. It may take others.
type unfit struct{ error }

// send delivers alerts by a channel, several only by mail, to those recipients who were not served. It returns when they were taken, or cannot be now; with a
// refusal they were, but not by all.
func (b *Outbox) send(ctx context.Context, c *control.Channel, alerts []control.Alert, got served) error {
	limit := sendTimeout
	if len(c.Command) > 0 {
		limit = commandTimeout
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := b.sendBy(timed, c, alerts, got)
	if err != nil && ctx.Err() == nil && timed.Err() != nil {
		return fmt.Errorf("it took longer than %v", limit)
	}
	return err
}

func (b *Outbox) sendBy(ctx context.Context, c *control.Channel, alerts []control.Alert, got served) error {
	switch {
	case c.SMTP != nil && c.SMTP.Username != "":
		password, err := b.secret(c.Name)
		if err != nil {
			return err
		}
		return b.sendMail(ctx, c.SMTP, password, alerts, got)
	case c.SMTP != nil:
		return b.sendMail(ctx, c.SMTP, "", alerts, got)
	case c.Webhook != nil:
		key, err := b.secret(c.Name)
		if err != nil {
			return err
		}
		return b.post(ctx, c.Webhook, key, &alerts[0])
	case len(c.Command) > 0:
		return runCommand(ctx, c.Command, &alerts[0])
	}
	return errors.New("the channel leads nowhere")
}

// trust says whom a channel trusts to be its server.
func trust(ca, host string) *tls.Config {
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM([]byte(ca)) // was checked when it was added
	}
	return t
}
