package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"yester/control"
)

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("no luck"), 1, "yester: no luck\n"},
		{errSaid, 1, ""},
		{control.Errorf(control.Internal, "no luck").WithHint("try again"), 1, "yester: no luck; try again\n"},
		{control.Errorf(control.Busy, "yester is already running"), 1, "yester is already running\n"},
		{usage("what?"), 2, "yester: what?\n"},
		{fmt.Errorf("ask: %w", control.Errorf(control.BadRequest, "what?")), 2, "yester: ask: what?\n"},
		{errWarnings, 3, ""},
		{control.Errorf(control.NoDaemon, "nobody there"), 4, "yester: nobody there\n"},
		{context.Canceled, 130, ""},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		p := &program{err: &b}
		if code := p.exit(tt.err); code != tt.code || b.String() != tt.says {
			t.Errorf("%v: code %d, says %q", tt.err, code, b.String())
		}
	}
}
