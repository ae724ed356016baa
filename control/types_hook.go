package control

import "time"

// Hooks are the commands that run before and after a backup.
type Hooks struct {
	Before         string `json:"before,omitempty"`          // of the shell; empty: none
	After          string `json:"after,omitempty"`           // the same
	TimeoutSeconds int    `json:"timeout_seconds,omitempty"` // each may take; 0: ten minutes
	OnFailure      string `json:"on_failure,omitempty"`      // HookAbort or HookWarn; empty: HookAbort
}

// What a hook that fails makes of its backup.
const (
	HookAbort = "abort" // it fails: none is made if it was the hook before
	HookWarn  = "warn"  // it goes on, with a warning
)

// A HookRequest changes hooks; what is nil stays as it is.
type HookRequest struct {
	Before         *string `json:"before,omitempty"`
	After          *string `json:"after,omitempty"`
	TimeoutSeconds *int    `json:"timeout_seconds,omitempty"`
	OnFailure      *string `json:"on_failure,omitempty"`
}

// A HookRun is what became of a hook.
type HookRun struct {
	Hook      string    `json:"hook"` // "before" or "after"
	Command   string    `json:"command"`
	Start     time.Time `json:"start"`
	Seconds   float64   `json:"seconds"`
	Error     string    `json:"error,omitempty"`      // why it failed: "exit status 3"
	Output    string    `json:"output,omitempty"`     // standard output and error, the last of it
	OutputCut bool      `json:"output_cut,omitempty"` // there was more before
}
