package control

import "context"

// Forget deletes a version for good. NotFound; Busy if it is the parent of a running backup.
func (c *Client) Forget(ctx context.Context, r ForgetRequest) (Forgotten, error) {
	return call(ctx, c.patient(), ForgetRoute, r)
}

// Pin keeps a version from expiring. NotFound.
func (c *Client) Pin(ctx context.Context, r PinRequest) error {
	_, err := call(ctx, c.patient(), PinRoute, r)
	return err
}

// Unpin lets a version expire again. NotFound if it is not pinned.
func (c *Client) Unpin(ctx context.Context, r PinRequest) error {
	_, err := call(ctx, c.patient(), UnpinRoute, r)
	return err
}

// VaultCheck starts a check and returns its task. Busy if one is running.
func (c *Client) VaultCheck(ctx context.Context, r CheckRequest) (Task, error) {
	return call(ctx, c, VaultCheckRoute, r)
}

// VaultRepair starts a repair and returns its task. Busy if a repair, a collection or a rebuild is running; so of the next two.
func (c *Client) VaultRepair(ctx context.Context) (Task, error) {
	return call(ctx, c, VaultRepairRoute, None{})
}

// VaultGC starts a collection of what no version needs and returns its task.
func (c *Client) VaultGC(ctx context.Context) (Task, error) {
	return call(ctx, c, VaultGCRoute, None{})
}

// VaultRebuild starts to make the index anew and returns its task.
func (c *Client) VaultRebuild(ctx context.Context) (Task, error) {
	return call(ctx, c, VaultRebuildRoute, None{})
}

// PlaceAdd starts to make a folder a place of the vault and returns its task. BadRequest, Exists, Busy.
func (c *Client) PlaceAdd(ctx context.Context, r PlaceAddRequest) (Task, error) {
	return call(ctx, c, PlaceAddRoute, r)
}

// PlaceReplace starts to have a folder take over from a place and returns its task. NotFound, BadRequest, Exists, Busy.
func (c *Client) PlaceReplace(ctx context.Context, r PlaceReplaceRequest) (Task, error) {
	return call(ctx, c, PlaceReplaceRoute, r)
}

// KeyAdd adds a key to those that open the vault. BadRequest.
func (c *Client) KeyAdd(ctx context.Context, r KeyAddRequest) (AddedKey, error) {
	return call(ctx, c, KeyAddRoute, r)
}

// KeyRemove removes a key. NotFound; Conflict if it must stay.
func (c *Client) KeyRemove(ctx context.Context, id string) (RemovedKey, error) {
	return call(ctx, c, KeyRemoveRoute, KeyRemoveRequest{ID: id})
}

// KeyChange puts a new passphrase in place of an old one and returns its key, which has another id. NotFound; BadRequest if the old one is wrong.
func (c *Client) KeyChange(ctx context.Context, r KeyChangeRequest) (ChangedKey, error) {
	return call(ctx, c, KeyChangeRoute, r)
}
