package control

import "time"

// An Instance is a machine with a daemon.
type Instance struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Platform string `json:"platform"`
}

// The states of an instance.
const (
	StateNew          = "new"          // not activated
	StateInitializing = "initializing" // being activated
	StateReady        = "ready"        // backed up every day
	StatePaused       = "paused"       // not backed up by the clock until it is resumed; versions expire as always
	StateCancelling   = "cancelling"   // everything of it is being deleted
)

// A Policy says what of an instance is backed up, when and how gently, and how long versions are kept.
type Policy struct {
	Start         string    `json:"start"`                 // "03:17", the daemon's local time
	Priority      string    `json:"priority"`              // "low", "high" or "max"
	Compression   string    `json:"compression,omitempty"` // "lz4" or "zstd"; none: that of the priority
	Partitions    []string  `json:"partitions,omitempty"`  // names; none: every eligible one
	Paths         []string  `json:"paths,omitempty"`       // absolute; none: whole partitions
	Excludes      []string  `json:"excludes,omitempty"`    // globs, as PathText has them
	IncludeSystem bool      `json:"include_system,omitempty"`
	ExcludeCaches bool      `json:"exclude_caches,omitempty"` // what is in a folder that is tagged as a cache (CACHEDIR.TAG)
	ExcludeNodump bool      `json:"exclude_nodump,omitempty"` // what has the inode flag "no dump"
	ActivatedAt   time.Time `json:"activated_at"`

	WindowSeconds int  `json:"window_seconds"` // how late a backup may begin; later, its day is skipped
	CatchUp       bool `json:"catch_up"`       // begin as soon as possible, however late

	RetentionDays int  `json:"retention_days"`         // a version expires so many days after it was completed
	KeepLatest    bool `json:"keep_latest"`            // but not the newest of each partition
	KeepDaily     int  `json:"keep_daily,omitempty"`   // nor the newest of each of the last so many days that have any,
	KeepWeekly    int  `json:"keep_weekly,omitempty"`  // weeks,
	KeepMonthly   int  `json:"keep_monthly,omitempty"` // months,
	KeepYearly    int  `json:"keep_yearly,omitempty"`  // and years

	Hooks Hooks `json:"hooks,omitzero"`
}

// A Partition is a mounted file system of the instance.
type Partition struct {
	Name       string   `json:"name"`
	MountPoint string   `json:"mount_point"`
	Device     string   `json:"device"`
	FSType     string   `json:"fs_type"`
	Size       uint64   `json:"size_bytes"`
	Used       uint64   `json:"used_bytes"`
	Selected   bool     `json:"selected"`           // backed up by the policy as it is now
	Excluded   string   `json:"excluded,omitempty"` // why it can't be: "network file system (nfs4)"
	LeftOut    []string `json:"left_out,omitempty"` // folders of the system that are not taken, of the root partition
	Journal    *Journal `json:"journal,omitempty"`  // nil before the first backup since the daemon was started
	Versions   int      `json:"versions"`
	Oldest     string   `json:"oldest,omitempty"` // version
	Newest     string   `json:"newest,omitempty"` // version
}

// A Journal is what a daemon hears of the changes to a partition between backups.
type Journal struct {
	Since   time.Time `json:"since,omitzero"`    // when it began to listen
	Names   int       `json:"names"`             // that may have changed since the last backup was begun
	Events  uint64    `json:"events"`            // heard since it began
	Bytes   int       `json:"memory_bytes"`      // it takes
	Because string    `json:"because,omitempty"` // why the next backup must walk all the same
}

// How the changed files of a version were found.
const (
	ByWalk    = "walk"    // by looking at every name
	ByJournal = "journal" // by looking at the names that the daemon heard of
)

// A Mount tells where versions can be browsed, or why they can't.
type Mount struct {
	Dir     string `json:"dir"`
	Mounted bool   `json:"mounted"`
	Because string `json:"because,omitempty"` // why not
}

// Status is the state of the daemon and its instance.
type Status struct {
	Version    string      `json:"version"` // of the daemon
	PID        int         `json:"pid"`
	Instance   Instance    `json:"instance"`
	State      string      `json:"state"`
	Policy     *Policy     `json:"policy,omitempty"`  // nil while new
	Next       *time.Time  `json:"next,omitempty"`    // scheduled backup
	Running    *Task       `json:"running,omitempty"` // backup
	Last       *Task       `json:"last,omitempty"`    // backup that ended last, without its list of warnings
	Others     []Task      `json:"others,omitempty"`  // running tasks that are no backups
	Partitions []Partition `json:"partitions"`
	Places     []Place     `json:"places"`                 // of the vault; none if there is no vault
	Vault      string      `json:"vault,omitempty"`        // id
	Stored     uint64      `json:"stored_bytes,omitempty"` // of its pack files
	Mount      Mount       `json:"mount"`
	Drills     *Drills     `json:"drills,omitempty"`
	Attention  []string    `json:"attention,omitempty"` // what somebody should look at, one sentence each
}

// An ActivateRequest gives settings; what is missing gets its default on a new instance and stays as it is on an active one. A list that is
// there and empty empties that of the policy.
type ActivateRequest struct {
	Paths         []string `json:"paths,omitzero"`      // absolute
	Excludes      []string `json:"excludes,omitzero"`   // as PathText has them
	Partitions    []string `json:"partitions,omitzero"` // names or mount points
	Start         string   `json:"start,omitempty"`     // "HH:MM"
	Priority      string   `json:"priority,omitempty"`
	Compression   string   `json:"compression,omitempty"` // "lz4", "zstd" or "auto"
	IncludeSystem *bool    `json:"include_system,omitempty"`
	ExcludeCaches *bool    `json:"exclude_caches,omitempty"`
	ExcludeNodump *bool    `json:"exclude_nodump,omitempty"`
	WindowSeconds *int     `json:"window_seconds,omitempty"`
	CatchUp       *bool    `json:"catch_up,omitempty"`
	RetentionDays *int     `json:"retention_days,omitempty"`
	KeepLatest    *bool    `json:"keep_latest,omitempty"`
	KeepDaily     *int     `json:"keep_daily,omitempty"`
	KeepWeekly    *int     `json:"keep_weekly,omitempty"`
	KeepMonthly   *int     `json:"keep_monthly,omitempty"`
	KeepYearly    *int     `json:"keep_yearly,omitempty"`

	Hooks HookRequest `json:"hooks,omitzero"`
}

// The outcomes of an activation.
const (
	Activated = "activated" // the instance was new
	Unchanged = "unchanged" // it was active with these settings
	Replaced  = "replaced"  // it was active, its settings are now these
)

// An Activation answers an ActivateRequest.
type Activation struct {
	Outcome    string      `json:"outcome"`
	Instance   Instance    `json:"instance"`
	State      string      `json:"state"`
	Policy     Policy      `json:"policy"`
	Partitions []Partition `json:"partitions"`           // those that are backed up
	Next       *time.Time  `json:"next,omitempty"`       // nil while paused
	VaultMade  string      `json:"vault_made,omitempty"` // where, if this made one
	Mount      Mount       `json:"mount"`
	Warnings   []string    `json:"warnings,omitempty"` // what the settings may cost
}

// A Lifecycle answers a pause or resume.
type Lifecycle struct {
	Instance Instance   `json:"instance"`
	State    string     `json:"state"`
	Next     *time.Time `json:"next,omitempty"` // scheduled backup
	Warnings []string   `json:"warnings,omitempty"`
}

// A BackupRequest asks for a backup now.
type BackupRequest struct{}

// Complete is the state of a version whose backup had no warnings.
const Complete = "complete"

// A VersionsRequest narrows a listing. Empty fields don't.
type VersionsRequest struct {
	Partition string `json:"partition,omitempty"`
}

// A Version is one complete state of a partition.
type Version struct {
	Instance   string    `json:"instance"` // name
	Partition  string    `json:"partition"`
	MountPoint string    `json:"mount_point"`
	Version    string    `json:"version"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	Files      uint64    `json:"files"`
	Dirs       uint64    `json:"dirs"`
	Bytes      uint64    `json:"bytes"`
	NewBytes   uint64    `json:"new_bytes"`
	Stored     uint64    `json:"stored_bytes"`
	Added      uint64    `json:"added"` // names, against the version before; of the first all
	Changed    uint64    `json:"changed"`
	Deleted    uint64    `json:"deleted"`
	Warnings   uint64    `json:"warnings"`
	State      string    `json:"state"` // Complete, or Partial if there were warnings; empty with an error
	Pinned     bool      `json:"pinned,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`  // missing while there is no policy
	Kept       string    `json:"kept,omitempty"`    // why it stays past that, as things are: pinned, latest, daily, weekly, monthly, yearly
	Path       string    `json:"path,omitempty"`    // where to browse it; empty when nothing is mounted
	Method     string    `json:"method,omitempty"`  // ByWalk or ByJournal
	Because    string    `json:"because,omitempty"` // why not ByJournal
	Error      string    `json:"error,omitempty"`   // why its record cannot be read; then only the names above are known
}

// A VersionList answers a VersionsRequest: by partition, oldest first.
type VersionList struct {
	Versions []Version `json:"versions"`
}
