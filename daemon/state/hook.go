package state

import "yester/control"

// An OwedHook is the hook after of a backup that is at work.
type OwedHook struct {
	Task     string        `json:"task"`     // id
	Instance string        `json:"instance"` // name
	Hooks    control.Hooks `json:"hooks"`
}

// OwedHook returns the one that was kept. ErrNotFound if none is owed.
func (db *DB) OwedHook() (h OwedHook, err error) {
	err = db.get("hook", &h)
	return h, err
}

// PutOwedHook keeps it.
func (db *DB) PutOwedHook(h OwedHook) error { return db.put("hook", h) }

// ForgetOwedHook forgets it: it has run.
func (db *DB) ForgetOwedHook() error { return db.delete("hook") }
