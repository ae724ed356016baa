// Package control is the API between the daemon and whoever drives it: wire types, routes, a typed client and the server's half.
//
// It is HTTP with JSON on a unix socket that only root may open. Every call is a Route, one value that the client's method and the
// daemon's handler share, so the two cannot drift apart; the same word stands in path, handler and method. A failed call answers
//
//	{"error": {"kind": "not_found", "message": "there is no task b-7", "hint": "yester tasks lists them"}}
//
// with the HTTP status of its Kind. Streams are JSON values, one a line; an error in the middle of one is its last line. Times are
// RFC 3339, sizes are bytes, and names of fields stay as they are once released.
package control

import "time"

// A Route is a call: its method and path, what it takes and what it answers. GET routes take flat structs of strings, in the query; the
// others a JSON body.
type Route[Req, Resp any] struct {
	Method string
	Path   string
}

// None is what a call takes or answers when there is nothing to say.
type None struct{}

// The calls.
var (
	StatusRoute     = Route[None, Status]{"GET", "/v1/status"}
	ActivateRoute   = Route[ActivateRequest, Activation]{"POST", "/v1/activate"}
	SetRoute        = Route[ActivateRequest, Activation]{"POST", "/v1/set"}
	PauseRoute      = Route[None, Lifecycle]{"POST", "/v1/pause"}
	ResumeRoute     = Route[None, Lifecycle]{"POST", "/v1/resume"}
	CancelRoute     = Route[None, Task]{"POST", "/v1/cancel"}
	BackupRoute     = Route[BackupRequest, Task]{"POST", "/v1/backup"}
	VersionsRoute   = Route[VersionsRequest, VersionList]{"GET", "/v1/versions"}
	TasksRoute      = Route[TasksRequest, TaskList]{"GET", "/v1/tasks"}
	TaskRoute       = Route[TaskRequest, Task]{"GET", "/v1/task"}
	WatchTaskRoute  = Route[TaskRequest, Task]{"GET", "/v1/watch-task"} // a stream; it ends with the task
	CancelTaskRoute = Route[TaskRequest, Task]{"POST", "/v1/cancel-task"}
	VaultInitRoute  = Route[VaultInitRequest, VaultInfo]{"POST", "/v1/vault-init"}
	VaultInfoRoute  = Route[None, VaultInfo]{"GET", "/v1/vault-info"}
	VaultKeysRoute  = Route[None, KeyList]{"GET", "/v1/vault-keys"}

	ForgetRoute       = Route[ForgetRequest, Forgotten]{"POST", "/v1/forget"}
	PinRoute          = Route[PinRequest, None]{"POST", "/v1/pin"}
	UnpinRoute        = Route[PinRequest, None]{"POST", "/v1/unpin"}
	VaultCheckRoute   = Route[CheckRequest, Task]{"POST", "/v1/vault-check"}
	VaultRepairRoute  = Route[None, Task]{"POST", "/v1/vault-repair"}
	VaultGCRoute      = Route[None, Task]{"POST", "/v1/vault-gc"}
	VaultRebuildRoute = Route[None, Task]{"POST", "/v1/vault-rebuild"}
	PlaceAddRoute     = Route[PlaceAddRequest, Task]{"POST", "/v1/place-add"}
	PlaceReplaceRoute = Route[PlaceReplaceRequest, Task]{"POST", "/v1/place-replace"}
	MessagesRoute     = Route[MessagesRequest, MessageList]{"GET", "/v1/messages"}
	UsageRoute        = Route[UsageRequest, Usage]{"GET", "/v1/usage"}
	KeyAddRoute       = Route[KeyAddRequest, AddedKey]{"POST", "/v1/key-add"}
	KeyRemoveRoute    = Route[KeyRemoveRequest, RemovedKey]{"POST", "/v1/key-remove"}
	KeyChangeRoute    = Route[KeyChangeRequest, ChangedKey]{"POST", "/v1/key-change"}

	AdoptRoute   = Route[AdoptRequest, Adoption]{"POST", "/v1/vault-adopt"}
	DrillRoute   = Route[DrillRequest, Task]{"POST", "/v1/drill"}
	RestoreRoute = Route[RestoreRequest, Task]{"POST", "/v1/restore"}

	HistoryRoute = Route[HistoryRequest, History]{"GET", "/v1/history"}
	DiffRoute    = Route[DiffRequest, []Difference]{"GET", "/v1/diff"} // a stream
	FindRoute    = Route[FindRequest, []Found]{"GET", "/v1/find"}      // a stream

	AlertsRoute       = Route[None, ChannelList]{"GET", "/v1/alerts"}
	AlertsAddRoute    = Route[ChannelAddRequest, AddedChannel]{"POST", "/v1/alerts-add"}
	AlertsRemoveRoute = Route[ChannelRequest, None]{"POST", "/v1/alerts-remove"}
	AlertsTestRoute   = Route[ChannelRequest, ChannelTestList]{"POST", "/v1/alerts-test"}
)

const (
	maxRequest  = 1 << 20          // bytes of a request's body
	maxResponse = 64 << 20         // bytes of an answer
	bodyTimeout = 10 * time.Second // for a request to arrive
	callTimeout = 2 * time.Minute  // for an answer to arrive; streams take as long as they do
)
