package daemon

import (
	"context"
	"net/http"
	"slices"

	"yester/control"
)

// mux returns the handlers of all calls.
func (d *Daemon) mux() *control.Mux {
	m := control.NewMux(d.log)
	handle(m, control.StatusRoute, d.status)
	handle(m, control.ActivateRoute, d.activate)
	handle(m, control.SetRoute, d.set)
	handle(m, control.PauseRoute, d.pause)
	handle(m, control.ResumeRoute, d.resume)
	handle(m, control.CancelRoute, d.cancel)
	handle(m, control.BackupRoute, d.backup)
	handle(m, control.VersionsRoute, d.versions)
	handle(m, control.TasksRoute, d.listTasks)
	handle(m, control.TaskRoute, d.task)
	handle(m, control.CancelTaskRoute, d.cancelTask)
	handle(m, control.VaultInitRoute, d.vaultInit)
	handle(m, control.VaultInfoRoute, d.vaultInfo)
	handle(m, control.VaultKeysRoute, d.vaultKeys)
	handle(m, control.AdoptRoute, d.adopt)
	handle(m, control.ForgetRoute, d.forget)
	handle(m, control.PinRoute, d.pin)
	handle(m, control.UnpinRoute, d.unpin)
	handle(m, control.VaultCheckRoute, d.vaultCheck)
	handle(m, control.VaultRepairRoute, d.vaultRepair)
	handle(m, control.VaultGCRoute, d.vaultGC)
	handle(m, control.VaultRebuildRoute, d.vaultRebuild)
	handle(m, control.PlaceAddRoute, d.placeAdd)
	handle(m, control.PlaceReplaceRoute, d.placeReplace)
	handle(m, control.MessagesRoute, d.messages)
	handle(m, control.AlertsRoute, d.listChannels)
	handle(m, control.AlertsAddRoute, d.addChannel)
	handle(m, control.AlertsRemoveRoute, d.removeChannel)
	handle(m, control.AlertsTestRoute, d.testChannels)
	handle(m, control.UsageRoute, d.usage)
	handle(m, control.RestoreRoute, d.restore)
	handle(m, control.DrillRoute, d.drill)
	handle(m, control.KeyAddRoute, d.keyAdd)
	handle(m, control.KeyRemoveRoute, d.keyRemove)
	handle(m, control.KeyChangeRoute, d.keyChange)
	control.HandleStream(m, control.WatchTaskRoute, d.watchTask)
	handle(m, control.HistoryRoute, d.pathHistory)
	control.HandleStream(m, control.DiffRoute, d.diff)
	control.HandleStream(m, control.FindRoute, d.find)
	m.Raw("GET /metrics", d.metrics.handler())
	m.Raw("GET /health", http.HandlerFunc(d.serveHealth))
	return m
}

// handle answers a route with f and explains its errors.
func handle[Req, Resp any](m *control.Mux, r control.Route[Req, Resp], f func(context.Context, Req) (Resp, error)) {
	control.Handle(m, r, func(ctx context.Context, req Req) (Resp, error) {
		resp, err := f(ctx, req)
		return resp, explained(err)
	})
}

func (d *Daemon) backup(_ context.Context, _ control.BackupRequest) (control.Task, error) {
	return d.startBackup(nil)
}

func (d *Daemon) listTasks(_ context.Context, r control.TasksRequest) (control.TaskList, error) {
	states := []string{control.Queued, control.Running, control.Completed, control.Partial, control.Failed, control.Cancelled, control.Skipped}
	if r.State != "" && !slices.Contains(states, r.State) {
		return control.TaskList{}, control.Errorf(control.BadRequest, "no task can be %q", r.State).WithHint("there are: %s", list(states))
	}
	all, err := d.tasks.list()
	out := control.TaskList{Tasks: []control.Task{}}
	for _, t := range all {
		if r.State == "" || t.State == r.State {
			out.Tasks = append(out.Tasks, t)
		}
	}
	return out, err
}

func (d *Daemon) task(_ context.Context, r control.TaskRequest) (control.Task, error) {
	return d.tasks.get(r.ID)
}

func (d *Daemon) watchTask(ctx context.Context, r control.TaskRequest, send func(control.Task) error) error {
	return explained(d.tasks.watch(ctx, r.ID, send))
}

func (d *Daemon) cancelTask(ctx context.Context, r control.TaskRequest) (control.Task, error) {
	return d.tasks.cancel(ctx, r.ID)
}

// vaultInit makes the vault and mounts it.
func (d *Daemon) vaultInit(ctx context.Context, r control.VaultInitRequest) (control.VaultInfo, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	if _, err := d.openedVault(); err == nil || len(d.unopenedVault()) > 0 {
		return control.VaultInfo{}, d.site.taken()
	}
	v, err := d.site.init(ctx, r, cacheBytes)
	if err != nil {
		return control.VaultInfo{}, err
	}
	d.useVault(v)
	return d.site.made(ctx, v)
}

func (d *Daemon) vaultInfo(ctx context.Context, _ control.None) (control.VaultInfo, error) {
	v, err := d.openedVault()
	if err != nil {
		return control.VaultInfo{}, err
	}
	return vaultInfo(ctx, v)
}
