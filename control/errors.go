package control

import (
	"errors"
	"fmt"
	"net/http"
)

// A Kind is a kind of error, the same on both ends: errors.Is(err, control.Busy).
type Kind string

// The kinds.
const (
	Internal   Kind = "internal"    // anything else
	BadRequest Kind = "bad_request" // the caller asked for something that makes no sense
	NotFound   Kind = "not_found"
	Denied     Kind = "denied"     // not for this user
	Busy       Kind = "busy"       // something is running that must end first
	NotActive  Kind = "not_active" // the instance was not activated
	Exists     Kind = "exists"
	Conflict   Kind = "conflict" // it would leave things as they must not be
	NoVault    Kind = "no_vault"
	NoSpace    Kind = "no_space"
	ReadOnly   Kind = "read_only"
	Damaged    Kind = "damaged"
	WrongKey   Kind = "wrong_key"
	Format     Kind = "format"    // of the vault is not known
	Stopping   Kind = "stopping"  // the daemon is about to end
	NoDaemon   Kind = "no_daemon" // nobody listens; never on the wire
)

// Error makes a Kind an error that errors.Is can look for.
func (k Kind) Error() string { return string(k) }

// statuses is the table of kinds and HTTP statuses. The kind is what counts; the status is for those who read logs.
var statuses = map[Kind]int{
	Internal:   http.StatusInternalServerError,
	BadRequest: http.StatusBadRequest,
	NotFound:   http.StatusNotFound,
	Denied:     http.StatusForbidden,
	Busy:       http.StatusConflict,
	NotActive:  http.StatusConflict,
	Exists:     http.StatusConflict,
	Conflict:   http.StatusConflict,
	NoVault:    http.StatusConflict,
	NoSpace:    http.StatusInsufficientStorage,
	ReadOnly:   http.StatusInsufficientStorage,
	Damaged:    http.StatusInternalServerError,
	WrongKey:   http.StatusInternalServerError,
	Format:     http.StatusInternalServerError,
	Stopping:   http.StatusServiceUnavailable,
	NoDaemon:   http.StatusServiceUnavailable,
}

// An Error is what a person is told: a sentence, and what to do about it. It is its Kind to errors.Is.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do; may be empty
}

// Errorf returns an error of a kind with a message and no hint.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// Error is the message and the hint in one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Unwrap makes e its Kind to errors.Is.
func (e *Error) Unwrap() error { return e.Kind }

// envelope is an error on the wire.
type envelope struct {
	Error *Error `json:"error"`
}

// toWire makes an Error of any error. One that carries none is Internal.
func toWire(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return Errorf(k, "%v", err)
	}
	return Errorf(Internal, "%v", err)
}

// status returns the HTTP status of a kind.
func (k Kind) status() int {
	if s, ok := statuses[k]; ok {
		return s
	}
	return http.StatusInternalServerError
}
