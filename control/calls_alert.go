package control

import "context"

// Alerts lists the channels of alerts.
func (c *Client) Alerts(ctx context.Context) ([]Channel, error) {
	l, err := call(ctx, c, AlertsRoute, None{})
	return l.Channels, err
}

// AlertsAdd adds a channel; nothing is sent by it. BadRequest; Exists if another has its name.
func (c *Client) AlertsAdd(ctx context.Context, r ChannelAddRequest) (AddedChannel, error) {
	return call(ctx, c, AlertsAddRoute, r)
}

// AlertsRemove removes a channel, with its secret and what waits for it. NotFound.
func (c *Client) AlertsRemove(ctx context.Context, name string) error {
	_, err := call(ctx, c, AlertsRemoveRoute, ChannelRequest{Name: name})
	return err
}

// AlertsTest sends a test alert by one channel, or all for "", and tells what became of each. NotFound if there is none.
func (c *Client) AlertsTest(ctx context.Context, name string) ([]ChannelTest, error) {
	l, err := call(ctx, c, AlertsTestRoute, ChannelRequest{Name: name})
	return l.Tests, err
}
