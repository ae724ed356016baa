package daemon

import (
	"context"
	"errors"
	"fmt"
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
	if explained(nil) != nil {
		t.Error("nil is explained")
	}
}
