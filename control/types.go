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
	StateNew   = "new"   // not activated
	StateReady = "ready" // backed up every day
)

// A Policy says what of an instance is backed up, when and how gently.
type Policy struct {
	Start         string    `json:"start"`                // "03:17", the daemon's local time
	Priority      string    `json:"priority"`             // "low", "high" or "max"
	Partitions    []string  `json:"partitions,omitempty"` // names; none: every eligible one
	Paths         []string  `json:"paths,omitempty"`      // absolute; none: whole partitions
	Excludes      []string  `json:"excludes,omitempty"`   // globs
	IncludeSystem bool      `json:"include_system,omitempty"`
	ActivatedAt   time.Time `json:"activated_at"`
}

// A Partition is a mounted file system of the instance.
type Partition struct {
	Name       string `json:"name"`
	MountPoint string `json:"mount_point"`
	Device     string `json:"device"`
	FSType     string `json:"fs_type"`
	Size       uint64 `json:"size_bytes"`
	Used       uint64 `json:"used_bytes"`
	Selected   bool   `json:"selected"`           // backed up by the policy as it is now
	Excluded   string `json:"excluded,omitempty"` // why it can't be: "network file system (nfs4)"
	Versions   int    `json:"versions"`
	Newest     string `json:"newest,omitempty"` // version
}

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
	Places     []Place     `json:"places"`          // of the vault; none if there is no vault
	Vault      string      `json:"vault,omitempty"` // id
	Mount      Mount       `json:"mount"`
	Attention  []string    `json:"attention,omitempty"` // what somebody should look at, one sentence each
}

// An ActivateRequest gives settings; what is empty gets its default on a new instance and stays as it is on an active one.
type ActivateRequest struct {
	Paths         []string `json:"paths,omitempty"` // absolute
	Excludes      []string `json:"excludes,omitempty"`
	Partitions    []string `json:"partitions,omitempty"` // names or mount points
	Start         string   `json:"start,omitempty"`      // "HH:MM"
	Priority      string   `json:"priority,omitempty"`
	IncludeSystem bool     `json:"include_system,omitempty"`
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
	Policy     Policy      `json:"policy"`
	Partitions []Partition `json:"partitions"` // those that are backed up
	Next       time.Time   `json:"next"`
	VaultMade  string      `json:"vault_made,omitempty"` // where, if this made one
	Mount      Mount       `json:"mount"`
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
	State      string    `json:"state"`           // Complete, or Partial if there were warnings; empty with an error
	Path       string    `json:"path,omitempty"`  // where to browse it; empty when nothing is mounted
	Error      string    `json:"error,omitempty"` // why its record cannot be read; then only the names above are known
}

// A VersionList answers a VersionsRequest: by partition, oldest first.
type VersionList struct {
	Versions []Version `json:"versions"`
}
