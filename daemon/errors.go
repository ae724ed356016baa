package daemon

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"yester/control"
	"yester/daemon/state"
	"yester/store"
)

// kinds is the table of what the parts say and what the API calls it; the first that fits counts.
var kinds = []struct {
	is   error
	kind control.Kind
	hint string
}{
	{store.ErrIndexSpace, control.NoSpace, "free some space where the index lies"},
	{store.ErrNoSpace, control.NoSpace, "free some space where the vault lies"},
	{state.ErrNoSpace, control.NoSpace, "free some space where the state lies"},
	{syscall.ENOSPC, control.NoSpace, "free some space there"},
	{syscall.EDQUOT, control.NoSpace, "free some space there, or raise the quota"},
	{store.ErrReadOnly, control.ReadOnly, "make it writable, for instance with `mount -o remount,rw`"},
	{syscall.EROFS, control.ReadOnly, "make it writable, for instance with `mount -o remount,rw`"},
	{store.ErrLastKey, control.Conflict, "nothing was changed"},
	{store.ErrBusy, control.Busy, "wait for its end, see `yester tasks`"},
	{store.ErrKey, control.WrongKey, "nothing in it was changed"},
	{store.ErrFormat, control.Format, "nothing in it was changed"},
	{store.ErrCorrupt, control.Damaged, "look after the disk it lies on, and copy the vault elsewhere"},
	{store.ErrLocked, control.Busy, "end the other process first"},
	{store.ErrLost, control.Damaged, "run `yester vault repair` and see what it says"},
	{store.ErrExists, control.Exists, ""},
	{store.ErrNotFound, control.NotFound, ""},
	{syscall.ESTALE, control.NoVault, "mount its disk again, it is used within a minute or so"},
	{context.Canceled, control.Stopping, "the daemon is ending, try again when it runs again"},
	{fs.ErrPermission, control.Denied, "run it as root"},
}

// explain makes of any error one that a person is told. What was said already stays.
func explain(err error) *control.Error {
	if e, ok := errors.AsType[*control.Error](err); ok {
		return e
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &control.Error{Kind: k.kind, Message: sentence(err), Hint: k.hint}
		}
	}
	return control.Errorf(control.Internal, "%s", sentence(err))
}

// sentence is an error's text in one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// explained is explain for where there may be no error.
func explained(err error) error {
	if err == nil {
		return nil
	}
	return explain(err)
}
