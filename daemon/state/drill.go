package state

import (
	"time"

	"yester/control"
)

// A Drill is what is kept of drills.
type Drill struct {
	Since  time.Time      `json:"since"`            // there have been versions
	Tried  time.Time      `json:"tried,omitzero"`   // when the last one ended
	Failed string         `json:"failed,omitempty"` // its task, if it failed
	Proven *control.Proof `json:"proven,omitempty"` // the last one that went well
}

// Drill returns what was kept of drills. ErrNotFound.
func (db *DB) Drill() (u Drill, err error) {
	err = db.get("drill", &u)
	return u, err
}

// PutDrill keeps it.
func (db *DB) PutDrill(u Drill) error { return db.put("drill", u) }
