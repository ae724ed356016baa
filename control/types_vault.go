package control

import "time"

// A VaultInitRequest says where a new vault goes.
type VaultInitRequest struct {
	Places     []string `json:"places,omitempty"`     // absolute; none: as the settings say
	Survive    int      `json:"survive,omitempty"`    // how many of several places may be lost; 0: one
	Passphrase string   `json:"passphrase,omitempty"` // opens it; empty: an open key does
}

// A Place is a folder that holds vault files.
type Place struct {
	ID      string `json:"id"`
	Name    string `json:"name"`              // its path; of a missing one, where it was last
	State   string `json:"state"`             // one of those below
	Because string `json:"because,omitempty"` // why it is failed or missing
	Free    uint64 `json:"free_bytes"`
	Total   uint64 `json:"total_bytes"`
}

// The states of a place.
const (
	PlaceWell    = "well"
	PlaceFilling = "filling" // it takes over from another place, and has not everything yet
	PlaceBehind  = "behind"  // it is being brought up to date
	PlaceFailed  = "failed"  // it is read from, but not written to
	PlaceMissing = "missing"
)

// A PlaceAddRequest names a folder that is to become a place of the vault.
type PlaceAddRequest struct {
	Place   string `json:"place"`             // absolute
	Survive int    `json:"survive,omitempty"` // how many places may be lost then; 0: as many as before, or one
}

// A PlaceReplaceRequest names a place, by its id or path, and the folder that is to take over.
type PlaceReplaceRequest struct {
	Old string `json:"old"`
	New string `json:"new"` // absolute
}

// VaultInfo describes the vault.
type VaultInfo struct {
	ID        string  `json:"id"`
	Format    int     `json:"format"`
	Places    []Place `json:"places"`
	Packs     uint64  `json:"packs"`
	Chunks    uint64  `json:"chunks"`
	Stored    uint64  `json:"stored_bytes"` // of pack files
	Versions  int     `json:"versions"`
	Instances int     `json:"instances"`

	Raw       uint64     `json:"raw_bytes"`           // of chunks before compression
	Data      uint64     `json:"data_bytes"`          // of Stored: chunks as they are stored
	Parity    uint64     `json:"parity_bytes"`        // of Stored: parity, tables and padding
	Dead      uint64     `json:"dead_bytes"`          // of Data: what no version needs, as the last collection found
	Healed    uint64     `json:"healed_blocks"`       // read around damage since the daemon began
	Collected *time.Time `json:"collected,omitempty"` // when the last collection ended; nil: Dead is not known, and zero
	Unread    int        `json:"unread_versions"`     // whose records cannot be read, and are not in Logical
	Logical   uint64     `json:"logical_bytes"`       // sizes of all files of all versions
	Compress  float64    `json:"compression_ratio"`   // Raw to Data; 0: there is nothing yet
	Dedup     float64    `json:"deduplication_ratio"` // Logical to what of Raw is needed; 0: there is nothing yet
	Warnings  []string   `json:"warnings,omitempty"`  // of the call that made it
}

// A Key opens the vault.
type Key struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Created time.Time `json:"created"`
	Fault   string    `json:"fault,omitempty"` // why it opens nothing
}

// A KeyList lists the keys of the vault.
type KeyList struct {
	Keys []Key `json:"keys"`
}
