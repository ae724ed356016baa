package control

// What becomes of files that are in the way of a restore.
const (
	ConflictSkip      = "skip"      // they stay
	ConflictOverwrite = "overwrite" // they become what the version has
)

// A RestoreRequest asks for files of a version.
type RestoreRequest struct {
	Version    string   `json:"version"`               // a name, "latest", "yesterday", "2026-11-20", "3 days ago"
	Instance   string   `json:"instance,omitempty"`    // whose, by name or id; "": the daemon's
	Partition  string   `json:"partition,omitempty"`   // needed if no path says which
	Paths      []string `json:"paths,omitempty"`       // as PathText has them, absolute, as they were called at the source; none: all of the partition
	Includes   []string `json:"includes,omitempty"`    // patterns, as PathText has them; of the paths only what matches one
	Excludes   []string `json:"excludes,omitempty"`    // patterns, as PathText has them
	To         string   `json:"to,omitempty"`          // a folder that is there, absolute; "": where the partition is mounted
	OnConflict string   `json:"on_conflict,omitempty"` // default ConflictSkip
	DryRun     bool     `json:"dry_run,omitempty"`
	VerifyOnly bool     `json:"verify_only,omitempty"`
	NoOwner    bool     `json:"no_owner,omitempty"`
	NoMetadata bool     `json:"no_metadata,omitempty"` // which means NoOwner too
	Delete     bool     `json:"delete,omitempty"`
	Rate       float64  `json:"bytes_per_second,omitempty"` // 0: no limit
}

// Restored is what a restore did, would have done, or found different.
type Restored struct {
	Partition  string `json:"partition"`
	Version    string `json:"version"`
	To         string `json:"to"`
	DryRun     bool   `json:"dry_run,omitempty"`
	VerifyOnly bool   `json:"verify_only,omitempty"`

	Files   uint64 `json:"files"`             // put back: names that are not folders
	Dirs    uint64 `json:"dirs"`              // made
	Bytes   uint64 `json:"bytes"`             // sizes of the files
	Written uint64 `json:"written_bytes"`     // of those, what was not in a file that was overwritten
	Equal   uint64 `json:"equal,omitempty"`   // were there as the version has them
	Deleted uint64 `json:"deleted,omitempty"` //

	// The lists may be shorter than the counts say.
	Skipped      []Left `json:"skipped,omitempty"`
	SkippedCount uint64 `json:"skipped_count,omitempty"`
	Failed       []Left `json:"failed,omitempty"`
	FailedCount  uint64 `json:"failed_count,omitempty"`
	Differs      []Left `json:"differs,omitempty"` // of VerifyOnly
	DiffersCount uint64 `json:"differs_count,omitempty"`
}

// A Left is a path that a restore has something to say of.
type Left struct {
	Path string `json:"path"` // below the partition's root, as PathText has it
	What string `json:"what"`
}

// Clean tells whether all was as it should be.
func (r *Restored) Clean() bool { return r == nil || r.FailedCount == 0 && r.DiffersCount == 0 }
