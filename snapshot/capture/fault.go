package capture

import (
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// errReplaced tells that a name meant another file when it was opened than when it was looked at.
var errReplaced = errors.New("replaced while it was looked at")

// A sourceError is a trouble of one file at the source: it costs that file, and never the task.
type sourceError struct {
	op  string
	off int64 // in the file, -1 if that means nothing
	err error
}

func (e *sourceError) Error() string {
	if e.off >= 0 {
		return fmt.Sprintf("%s at offset %d: %v", e.op, e.off, e.err)
	}
	return fmt.Sprintf("%s: %v", e.op, e.err)
}

func (e *sourceError) Unwrap() error { return e.err }

// fromSource tells whether err is about one file at the source.
func fromSource(err error) bool {
	var s *sourceError
	return errors.As(err, &s) || errors.Is(err, errReplaced)
}

// vanished tells whether err says that the file is not there any more.
func vanished(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// changedType tells whether opening failed because the name had become something else.
func changedType(err error) bool {
	return err == unix.ELOOP || err == unix.ENOTDIR || err == unix.ENXIO || err == unix.ENODEV
}

// openError returns what the walk makes of a failed open.
func openError(err error) error {
	if changedType(err) {
		return errReplaced
	}
	return &sourceError{"open", -1, err}
}

// warnings collects a version's warnings: counts all, keeps the first snapshot.MaxWarnings, and as many bytes of them as a record has room for.
type warnings struct {
	list  []snapshot.Warning
	count uint64
	bytes int
}

// maxWarningBytes of text take at most six times as much as JSON, and a record must stay below pack.MaxRaw.
const maxWarningBytes = 1 << 20

func (w *warnings) add(path []byte, format string, args ...any) {
	w.count++
	w.keep(snapshot.Warning{Path: printable(path), What: fmt.Sprintf(format, args...)})
}

func (w *warnings) keep(one snapshot.Warning) {
	n := len(one.Path) + len(one.What)
	if len(w.list) < snapshot.MaxWarnings && w.bytes+n <= maxWarningBytes {
		w.list, w.bytes = append(w.list, one), w.bytes+n
	}
}

// append adds what another collected.
func (w *warnings) append(other *warnings) {
	w.count += other.count
	for _, one := range other.list {
		w.keep(one)
	}
}

// printable returns path as it is, or quoted if a terminal or JSON could not show it so. "." is the partition's root.
func printable(path []byte) string {
	if len(path) == 0 {
		return "."
	}
	s := string(path)
	if !utf8.ValidString(s) || s[0] == '"' {
		return strconv.Quote(s)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
