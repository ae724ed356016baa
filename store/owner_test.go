package store

import (
	"errors"
	"testing"
	"time"
)

// The owner that was written last holds, and goes with the instance.
func TestOwnerIsTheOneThatWasWrittenLast(t *testing.T) {
	v, _ := memVault(t)
	if _, err := v.Owner(t.Context(), machine); !errors.Is(err, ErrNotFound) {
		t.Errorf("an owner that nobody wrote: %v", err)
	}
	for _, holder := range []string{"a", "b"} {
		want := Owner{Instance: machine, Holder: holder, Run: "r", Name: "web1", Since: time.Unix(1e9, 0).UTC()}
		if err := v.PutOwner(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Owner(t.Context(), machine); err != nil || got != want {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if gone, err := v.RemoveInstance(t.Context(), machine); !gone || err != nil {
		t.Fatalf("gone %v, %v", gone, err)
	}
	if _, err := v.Owner(t.Context(), machine); !errors.Is(err, ErrNotFound) {
		t.Errorf("the owner of an instance that is gone: %v", err)
	}
}
