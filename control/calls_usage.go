package control

import "context"

// Usage tells what was metered, day by day and in total. BadRequest if a day is none.
func (c *Client) Usage(ctx context.Context, r UsageRequest) (Usage, error) {
	return call(ctx, c, UsageRoute, r)
}
