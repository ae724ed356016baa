package control

import (
	"slices"
	"time"
)

// The kinds of tasks.
const (
	KindBackup  = "backup"  // makes one version of each partition
	KindCheck   = "check"   // looks for damage
	KindRepair  = "repair"  // makes good what can be
	KindGC      = "gc"      // gives back the space of what no version needs
	KindRebuild = "rebuild" // makes the index anew
	KindCancel  = "cancel"  // deletes all of an instance
	KindPlace   = "place"   // adds or replaces a place of the vault
	KindRestore = "restore" // puts files of a version back
	KindDrill   = "drill"   // restores a sample of the newest versions to a scratch folder, compares it with them, and deletes it
)

// The states of a task.
const (
	Queued    = "queued"
	Running   = "running"
	Completed = "completed"
	Partial   = "partial" // completed, with warnings, or with problems found
	Failed    = "failed"
	Cancelled = "cancelled"
	Skipped   = "skipped" // it should have run and did not
)

// A Task is one run of a job. An id is made of the kind's letter, the day (UTC) and a number: "b-20261123-0001".
type Task struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"`
	State        string     `json:"state"`
	Scheduled    bool       `json:"scheduled"` // by the clock, not by hand
	Start        time.Time  `json:"start"`
	End          *time.Time `json:"end,omitempty"`
	Progress     *Progress  `json:"progress,omitempty"` // only while it runs
	Results      []Result   `json:"results,omitempty"`  // one per partition that was done with
	Report       *Report    `json:"report,omitempty"`   // of what is no backup
	Restores     string     `json:"restores,omitempty"` // PARTITION/VERSION of this instance that a restore puts back, from its begin on
	Restored     *Restored  `json:"restored,omitempty"` // of a restore
	Hooks        []HookRun  `json:"hooks,omitempty"`    // that a backup ran
	Drilled      *Drilled   `json:"drilled,omitempty"`  // of a drill
	Error        string     `json:"error,omitempty"`
	Hint         string     `json:"hint,omitempty"` // what to do about the error
	Warnings     []Warning  `json:"warnings,omitempty"`
	WarningCount uint64     `json:"warning_count,omitempty"` // Warnings may list fewer
}

// Ended tells whether t's state is final.
func (t *Task) Ended() bool { return t.State != Queued && t.State != Running }

// Brief is t without its lists: of warnings and problems, of what is lost or was not restored, and of what hooks said.
func (t *Task) Brief() Task {
	b := *t
	b.Warnings, b.Hooks = nil, slices.Clone(t.Hooks)
	for i := range b.Hooks {
		b.Hooks[i].Output = ""
	}
	if t.Report != nil {
		r := *t.Report
		r.Problems, r.Lost = nil, nil
		b.Report = &r
	}
	if t.Drilled != nil {
		r := *t.Drilled
		r.Failed = nil
		b.Drilled = &r
	}
	if t.Restored != nil {
		r := *t.Restored
		r.Skipped, r.Failed, r.Differs = nil, nil, nil
		b.Restored = &r
	}
	return b
}

// Progress tells how far a running task is.
type Progress struct {
	Partition      string  `json:"partition"`             // being worked on, if it is a backup
	Files          uint64  `json:"files"`                 // entries, folders too
	FilesTotal     uint64  `json:"files_total,omitempty"` // expected; 0: not known
	Bytes          uint64  `json:"bytes"`
	BytesTotal     uint64  `json:"bytes_total,omitempty"` // expected; 0: not known
	BytesPerSecond float64 `json:"bytes_per_second"`
	SecondsLeft    float64 `json:"seconds_left,omitempty"` // 0: not known

	// Of what is no backup: of StepTotal things, StepDone are done. Bytes are those read and written.
	Step      string `json:"step,omitempty"`
	StepDone  int    `json:"step_done,omitempty"`
	StepTotal int    `json:"step_total,omitempty"`
}

// A Result is what a backup made of one partition.
type Result struct {
	Partition string  `json:"partition"`
	Version   string  `json:"version,omitempty"` // empty if it failed
	Parent    string  `json:"parent,omitempty"`
	Path      string  `json:"path,omitempty"` // where to browse it
	Files     uint64  `json:"files"`
	Dirs      uint64  `json:"dirs"`
	Bytes     uint64  `json:"bytes"`
	ReadBytes uint64  `json:"read_bytes"`
	NewBytes  uint64  `json:"new_bytes"`    // not in the vault before, uncompressed
	Stored    uint64  `json:"stored_bytes"` // what the vault grew by
	Added     uint64  `json:"added"`
	Changed   uint64  `json:"changed"`
	Deleted   uint64  `json:"deleted"`
	Skipped   uint64  `json:"skipped"`
	Warnings  uint64  `json:"warnings"`
	Seconds   float64 `json:"seconds"`
	Method    string  `json:"method,omitempty"`  // ByWalk or ByJournal
	Because   string  `json:"because,omitempty"` // why not ByJournal
	Error     string  `json:"error,omitempty"`

	Consistency string `json:"consistency,omitempty"`  // "snapshot": it is of one moment; "live": it was read as it was, over a time
	LiveBecause string `json:"live_because,omitempty"` // why not a snapshot, if the file system has any
}

// A Warning names a file that was not backed up as it should be.
type Warning struct {
	Partition string `json:"partition"` // empty if it is about none, as of a hook
	Path      string `json:"path"`      // below the mount point
	What      string `json:"what"`
}

// A TaskRequest names a task.
type TaskRequest struct {
	ID string `json:"id"`
}

// A TasksRequest narrows a listing. Empty fields don't.
type TasksRequest struct {
	State string `json:"state,omitempty"`
}

// A TaskList lists tasks, oldest first, without their lists of warnings and what hooks said.
type TaskList struct {
	Tasks []Task `json:"tasks"`
}
