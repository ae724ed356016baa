package daemon

import (
	"context"
	"fmt"
	"time"

	"yester/control"
	"yester/daemon/alert"
)

// openAlerts opens the book of messages, and the outbox by which they leave.
func (d *Daemon) openAlerts() error {
	var err error
	d.outbox, err = alert.OpenOutbox(d.db, alert.Options{
		Secrets: d.o.Home.Alerts, Instance: d.instance, Version: d.o.Version, Log: d.log, Now: d.o.Now, Zone: d.zone, Retry: d.o.Retry,
	})
	if err != nil {
		return err
	}
	d.alerts, err = alert.Open(d.db, d.outbox, d.o.Now, d.believed)
	return err
}

// listChannels lists the channels of alerts, without their secrets.
func (d *Daemon) listChannels(context.Context, control.None) (control.ChannelList, error) {
	return control.ChannelList{Channels: d.outbox.Channels()}, nil
}

// addChannel adds a channel of alerts.
func (d *Daemon) addChannel(_ context.Context, r control.ChannelAddRequest) (control.AddedChannel, error) {
	c, key, err := d.outbox.Add(r.Channel, r.Secret)
	return control.AddedChannel{Channel: c, Key: key}, err
}

// removeChannel removes a channel of alerts.
func (d *Daemon) removeChannel(_ context.Context, r control.ChannelRequest) (control.None, error) {
	return control.None{}, d.outbox.Remove(r.Name)
}

// testChannels sends a test alert.
func (d *Daemon) testChannels(ctx context.Context, r control.ChannelRequest) (control.ChannelTestList, error) {
	tests, err := d.outbox.Test(ctx, r.Name)
	return control.ChannelTestList{Tests: tests}, err
}

// failingChannels says which channels do not take alerts, or not for all.
func (d *Daemon) failingChannels() (lines []string) {
	for _, c := range d.outbox.Channels() {
		switch {
		case c.Failures > 0:
			left := fmt.Sprintf("%d wait, and it is tried again", c.Waiting)
			if c.Waiting == 0 {
				left = "what it did not take for a week was given up, and is in `yester messages` only"
			}
			lines = append(lines, fmt.Sprintf("the channel %s takes no alerts since %s: %s; %s", c.Name, c.Failing.In(d.zone()).Format(time.DateTime), c.Error, left))
		case c.Failures == 0 && c.Error != "":
			lines = append(lines, fmt.Sprintf("the channel %s does not reach all: %s; remove it and add it with the others", c.Name, c.Error))
		}
	}
	return lines
}
