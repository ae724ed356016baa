package control

import "time"

// A File is what a version says of a path.
type File struct {
	Type   string    `json:"type"` // file, folder, symlink, block-device, char-device, fifo or socket
	Mode   string    `json:"mode"` // permission bits, octal: "0644"
	UID    uint32    `json:"uid"`
	GID    uint32    `json:"gid"`
	Size   uint64    `json:"size_bytes"` // of a folder: of all files in it and below
	Mtime  time.Time `json:"mtime"`
	Target string    `json:"target,omitempty"` // of a symlink, as PathText has it
}

// A HistoryRequest names a path as the user sees it: on the partition, or below the folder where versions are browsed.
type HistoryRequest struct {
	Path string `json:"path"` // absolute, as PathText has it
}

// History is what a path was in the versions of its partition.
type History struct {
	Partition string `json:"partition"`
	Path      string `json:"path"` // with the mount point, as PathText has it
	Stays     []Stay `json:"stays"`
}

// How a path came to be what it is in a Stay, or differs in a Difference.
const (
	DiffCreated = "created"
	DiffChanged = "changed"
	DiffDeleted = "deleted"
	DiffUnread  = "unread" // a part of the version is lost
)

// A Stay is what a path was in some versions that follow one another.
type Stay struct {
	First    string   `json:"first"` // version
	Last     string   `json:"last"`
	Versions int      `json:"versions"`          // from First to Last
	Kind     string   `json:"kind"`              // DiffCreated and so on
	Changed  []string `json:"changed,omitempty"` // what is not as before: content, mode, owner …
	*File             // nil if it was not there, or cannot be read
	Method   string   `json:"method,omitempty"`  // by which First was made: ByWalk or ByJournal
	Because  string   `json:"because,omitempty"` // why not ByJournal
	Browse   string   `json:"browse,omitempty"`  // where First shows it, as PathText has it; empty if nothing is mounted
	Error    string   `json:"error,omitempty"`   // why it cannot be read
}

// A DiffRequest names two versions of one partition.
type DiffRequest struct {
	From      string `json:"from"` // a version, or "latest"
	To        string `json:"to"`
	Path      string `json:"path,omitempty"`      // only at and below it, as in HistoryRequest
	Partition string `json:"partition,omitempty"` // name; may be empty if it is clear from the others
}

// A Difference is a path that two versions have not alike.
type Difference struct {
	Kind    string   `json:"kind"` // DiffCreated and so on
	Path    string   `json:"path"` // with the mount point, as PathText has it
	Changed []string `json:"changed,omitempty"`
	Old     *File    `json:"old,omitempty"`
	New     *File    `json:"new,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// AllVersions is the version of a FindRequest that stands for all.
const AllVersions = "all"

// A FindRequest asks for paths that match a glob.
type FindRequest struct {
	Glob      string `json:"glob"`                // of paths with the mount point, as PathText has it
	Partition string `json:"partition,omitempty"` // name; empty: all
	Version   string `json:"version,omitempty"`   // empty or "latest": the newest of each partition; AllVersions: all
}

// A Found is a path that matches, in the newest of the versions asked for that has it.
type Found struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Path      string `json:"path"` // with the mount point, as PathText has it
	*File            // nil if there is an error
	Deleted   bool   `json:"deleted,omitempty"` // later versions have it no more
	Browse    string `json:"browse,omitempty"`  // where Version shows it, as PathText has it; empty if nothing is mounted
	Error     string `json:"error,omitempty"`   // of the folder Path a part cannot be read
}
