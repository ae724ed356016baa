package control

import "context"

// History tells what a path was in all versions. NotFound if none has it.
func (c *Client) History(ctx context.Context, r HistoryRequest) (History, error) {
	return call(ctx, c.patient(), HistoryRoute, r)
}

// Diff calls f for every path that two versions have not alike, in the order of their names, a folder before what is in it. NotFound for versions that are
// not there, and for a path that neither has.
func (c *Client) Diff(ctx context.Context, r DiffRequest, f func(Difference) error) error {
	return followAll(ctx, c, DiffRoute, r, f)
}

// Find calls f for every path that matches a glob, newest versions first.
func (c *Client) Find(ctx context.Context, r FindRequest, f func(Found) error) error {
	return followAll(ctx, c, FindRoute, r, f)
}

// followAll is follow for a stream that brings several values in a line.
func followAll[Req, Item any](ctx context.Context, c *Client, route Route[Req, []Item], req Req, f func(Item) error) error {
	return follow(ctx, c, route, req, func(items []Item) error {
		for _, it := range items {
			if err := f(it); err != nil {
				return err
			}
		}
		return nil
	})
}
