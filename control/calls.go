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
