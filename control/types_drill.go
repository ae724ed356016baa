package control

import "time"

// A DrillRequest asks for a drill.
type DrillRequest struct {
	Files int    `json:"files,omitempty"` // at most; 0: 100
	Bytes uint64 `json:"bytes,omitempty"` // at most, but for a single file; 0: 1 GiB
}

// Drilled is what a drill tried, and what came of it.
type Drilled struct {
	Versions []DrilledVersion `json:"versions"`
	Files    uint64           `json:"files"` // names that are no folders
	Bytes    uint64           `json:"bytes"` // of their content

	// Files that did not come back as they were. The list may be shorter than the count says.
	Failed      []DrillFailure `json:"failed,omitempty"`
	FailedCount uint64         `json:"failed_count,omitempty"`
}

// A DrilledVersion is a version that a drill took files of.
type DrilledVersion struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Files     uint64 `json:"files"`
}

// A DrillFailure is a file that did not come back as it was.
type DrillFailure struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Path      string `json:"path"` // below the version's root, as PathText has it
	What      string `json:"what"`
}

// A Proof is a drill that went well.
type Proof struct {
	Task     string           `json:"task"`
	Time     time.Time        `json:"time"`
	Versions []DrilledVersion `json:"versions"`
	Files    uint64           `json:"files"`
	Bytes    uint64           `json:"bytes"`
}

// Drills tell how it stands with drills.
type Drills struct {
	Proven *Proof     `json:"proven,omitempty"` // the last restore that is proven; nil: none
	Failed string     `json:"failed,omitempty"` // task that failed after it
	Next   *time.Time `json:"next,omitempty"`   // not before; nil: none by itself
}
