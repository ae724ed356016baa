package control

import (
	"errors"
	"fmt"
	"testing"
)

func TestEveryKindHasAStatus(t *testing.T) {
	for _, k := range []Kind{Internal, BadRequest, NotFound, Denied, Busy, NotActive, Exists, Conflict, NoVault, NoSpace, ReadOnly, Damaged, WrongKey, Format, Stopping, NoDaemon} {
		if s, ok := statuses[k]; !ok || s < 400 {
			t.Errorf("%s has status %d", k, s)
		}
	}
	if len(statuses) != 16 {
		t.Errorf("the table has %d kinds, this test 16", len(statuses))
	}
}

func TestToWire(t *testing.T) {
	inner := Errorf(Busy, "a backup is running").WithHint("wait for it")
	tests := []struct {
		err  error
		want Error
	}{
		{inner, *inner},
		{fmt.Errorf("start: %w", inner), *inner},
		{fmt.Errorf("start: %w", NotFound), Error{Kind: NotFound, Message: "start: not_found"}},
		{errors.New("who knows"), Error{Kind: Internal, Message: "who knows"}},
	}
	for _, tt := range tests {
		if got := toWire(tt.err); *got != tt.want {
			t.Errorf("%v: got %+v", tt.err, got)
		}
	}
}

func TestErrorIsOneSentence(t *testing.T) {
	e := Errorf(NoVault, "there is no vault")
	if got := e.Error(); got != "there is no vault" {
		t.Errorf("got %q", got)
	}
	if got := e.WithHint("run %s", "`yester vault init`").Error(); got != "there is no vault; run `yester vault init`" {
		t.Errorf("got %q", got)
	}
	if e.Hint != "" {
		t.Error("WithHint changed its receiver")
	}
}
