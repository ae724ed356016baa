package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"yester/control"
	"yester/store"
)

func TestExplain(t *testing.T) {
	said := control.Errorf(control.Busy, "a backup is running")
	tests := []struct {
		err  error
		kind control.Kind
	}{
		{said, control.Busy},
		{fmt.Errorf("start: %w", said), control.Busy},
		{fmt.Errorf("open vault: %w", store.ErrKey), control.WrongKey},
		{fmt.Errorf("open vault: %w", store.ErrFormat), control.Format},
		{fmt.Errorf("write: %w", store.ErrNoSpace), control.NoSpace},
		{fmt.Errorf("write: %w", store.ErrReadOnly), control.ReadOnly},
		{&store.CorruptError{Place: "/v", Offset: -1, Err: errors.New("x")}, control.Damaged},
		{fmt.Errorf("list: %w", syscall.ESTALE), control.NoVault},
		{fmt.Errorf("list: %w", context.Canceled), control.Stopping},
		{errors.New("who knows"), control.Internal},
	}
	for _, tt := range tests {
		if got := explain(tt.err); got.Kind != tt.kind || got.Message == "" {
			t.Errorf("%v: got %+v", tt.err, got)
		}
	}
	if got := explain(fmt.Errorf("write: %w", store.ErrIndexSpace)); got.Kind != control.NoSpace || !strings.Contains(got.Hint, "index") {
		t.Errorf("no room for the index: %+v", got)
	}
	if explained(nil) != nil {
		t.Error("nil is explained")
	}
}

// What is to be done about a full disk depends on which it is.
func TestFullDiskOfTheIndexIsNoFullVault(t *testing.T) {
	b := &backup{d: newStill(t).Daemon}
	for err, want := range map[error]string{store.ErrIndexSpace: "the disk of the index is full", store.ErrNoSpace: "the vault in"} {
		if got := b.inVault(fmt.Errorf("write pack: %w", err)); !errors.Is(got, control.NoSpace) || !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%v is told as %v", err, got)
		}
	}
}
