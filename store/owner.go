package store

import (
	"context"
	"path"
	"time"
)

// An Owner is the daemon that an instance's versions belong to: the body of its owner.json. There is one at a time, the one that wrote it last; whoever is
// about to change what belongs to an instance looks whether it still is that.
type Owner struct {
	Instance string    `json:"instance"` // id
	Holder   string    `json:"holder"`   // the daemon, as long as it lives: 32 hex digits
	Run      string    `json:"run"`      // and its process
	Name     string    `json:"name"`     // of its machine
	Home     string    `json:"home"`     // what its things lie under there; "" for the system's folders
	Since    time.Time `json:"since"`    // when this was written
}

func ownerName(id string) string { return path.Join("instances", id, "owner.json") }

// PutOwner writes or renews whose an instance is.
func (v *Vault) PutOwner(ctx context.Context, o Owner) error {
	return writeSmall(ctx, v.place, ownerName(o.Instance), "owner", o)
}

// Owner reads whose an instance is. ErrNotFound if nobody ever said.
func (v *Vault) Owner(ctx context.Context, instance string) (o Owner, err error) {
	err = readSmall(ctx, v.place, ownerName(instance), "owner", &o)
	return o, err
}
