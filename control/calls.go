package control

import "context"

// Status returns the state of the daemon and its instance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call(ctx, c, StatusRoute, None{})
}

// Activate begins daily backups of the instance, or gives an active one other settings. It makes a vault if there is none.
func (c *Client) Activate(ctx context.Context, r ActivateRequest) (Activation, error) {
	return call(ctx, c.patient(), ActivateRoute, r)
}

// Set gives an active instance other settings. NotActive while it is new; Conflict while it is being cancelled; BadRequest.
func (c *Client) Set(ctx context.Context, r ActivateRequest) (Activation, error) {
	return call(ctx, c, SetRoute, r)
}

// Pause ends scheduled backups until Resume; what runs goes on. NotActive; Conflict unless the instance is ready.
func (c *Client) Pause(ctx context.Context) (Lifecycle, error) {
	return call(ctx, c, PauseRoute, None{})
}

// Resume goes on with scheduled backups. NotActive; Conflict unless the instance is paused.
func (c *Client) Resume(ctx context.Context) (Lifecycle, error) {
	return call(ctx, c, ResumeRoute, None{})
}

// Cancel ends the service of the instance and deletes all its versions for good, and returns the task that does so. NotActive; Busy if it
// is under way.
func (c *Client) Cancel(ctx context.Context) (Task, error) {
	return call(ctx, c, CancelRoute, None{})
}

// Backup starts a backup and returns its task. Busy if one is running, NotActive.
func (c *Client) Backup(ctx context.Context, r BackupRequest) (Task, error) {
	return call(ctx, c, BackupRoute, r)
}

// Versions lists versions. NotFound if a partition is asked for that has none.
func (c *Client) Versions(ctx context.Context, r VersionsRequest) ([]Version, error) {
	l, err := call(ctx, c.patient(), VersionsRoute, r)
	return l.Versions, err
}

// Tasks lists tasks.
func (c *Client) Tasks(ctx context.Context, r TasksRequest) ([]Task, error) {
	l, err := call(ctx, c, TasksRoute, r)
	return l.Tasks, err
}

// Task returns a task with its warnings. NotFound.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	return call(ctx, c, TaskRoute, TaskRequest{ID: id})
}

// WatchTask calls f with the task as it is, several times a second, and returns after it has ended, the last call being with its end, or
// with the error of f. NotFound.
func (c *Client) WatchTask(ctx context.Context, id string, f func(Task) error) error {
	return follow(ctx, c, WatchTaskRoute, TaskRequest{ID: id}, f)
}

// Messages lists messages, oldest first.
func (c *Client) Messages(ctx context.Context, r MessagesRequest) ([]Message, error) {
	l, err := call(ctx, c, MessagesRoute, r)
	return l.Messages, err
}

// CancelTask stops a task and returns it when it has stopped. NotFound; BadRequest if it had ended.
func (c *Client) CancelTask(ctx context.Context, id string) (Task, error) {
	return call(ctx, c, CancelTaskRoute, TaskRequest{ID: id})
}

// VaultInit makes a new vault. Exists if the daemon has one.
func (c *Client) VaultInit(ctx context.Context, r VaultInitRequest) (VaultInfo, error) {
	return call(ctx, c, VaultInitRoute, r)
}

// VaultInfo describes the vault. NoVault.
func (c *Client) VaultInfo(ctx context.Context) (VaultInfo, error) {
	return call(ctx, c.patient(), VaultInfoRoute, None{})
}

// VaultKeys lists the keys of the vault. NoVault.
func (c *Client) VaultKeys(ctx context.Context) ([]Key, error) {
	l, err := call(ctx, c, VaultKeysRoute, None{})
	return l.Keys, err
}

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

// Adopt has the daemon go on with a vault, and lists its instances; with AsInstance it becomes that one, and begins anew. NoVault, NotFound, WrongKey; Exists if it has
// another vault; Conflict if it is activated.
func (c *Client) Adopt(ctx context.Context, r AdoptRequest) (Adoption, error) {
	return call(ctx, c.patient(), AdoptRoute, r)
}

// Drill starts a drill and returns its task. NotFound if there are no versions; BadRequest; Busy if one is running.
func (c *Client) Drill(ctx context.Context, r DrillRequest) (Task, error) {
	return call(ctx, c, DrillRoute, r)
}

// Restore starts a restore and returns its task. BadRequest, NotFound; Busy if one is running.
func (c *Client) Restore(ctx context.Context, r RestoreRequest) (Task, error) {
	return call(ctx, c, RestoreRoute, r)
}

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

// Usage tells what was metered, day by day and in total. BadRequest if a day is none.
func (c *Client) Usage(ctx context.Context, r UsageRequest) (Usage, error) {
	return call(ctx, c, UsageRoute, r)
}

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
