package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"yester/control"
)

// Whoever asks for the versions may go before all records are read: that is no damage of those that are left.
func TestVersionsOfACallerWhoIsGone(t *testing.T) {
	var said bytes.Buffer
	s := newStill(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	s.backedUp()
	s.records.Clear()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, partition := range []string{"", s.vault.Versions(s.instance.ID)[0].Partition} {
		if list, err := s.versions(ctx, control.VersionsRequest{Partition: partition}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v, %v", list, err)
		}
	}
	if said.Len() > 0 {
		t.Errorf("it said %s", &said)
	}
}

// On a slow disk it takes minutes to read all records, for pin and forget also: each is read once.
func TestRecordOfAVersionIsReadOnce(t *testing.T) {
	s := newStill(t)
	s.backedUp()
	k := s.vault.Versions(s.instance.ID)[0]
	list := mustNot[control.VersionList](t)(s.versions(t.Context(), control.VersionsRequest{}))
	ended, cancel := context.WithCancel(t.Context())
	cancel() // by which nothing can be read
	if _, err := record(ended, s.vault, k); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	got, there := s.version(ended, s.vault, k)
	if got.Expires, got.Kept = list.Versions[0].Expires, list.Versions[0].Kept; !there || got != list.Versions[0] || got.Files == 0 {
		t.Errorf("got %+v, want %+v", got, list.Versions[0])
	}
	mustNot[control.Forgotten](t)(s.forget(t.Context(), control.ForgetRequest{Partition: k.Partition, Version: k.Version}))
	if _, is := s.records.Load(k); is {
		t.Error("what is known of a version stays when that is gone")
	}
}
