package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yester/store"
)

// NameLayout is the time layout of a version's name: its start in UTC.
const NameLayout = "2006-01-02T150405Z"

// Name returns the version name for a start time.
func Name(start time.Time) string { return start.UTC().Format(NameLayout) }

// A Partition describes where a version came from.
type Partition struct {
	Name       string `json:"name"`        // "root", "var-lib"
	MountPoint string `json:"mount_point"` // "/", "/var/lib"
	Device     string `json:"device"`      // "/dev/vda1"
	FSType     string `json:"fs_type"`     // "ext4"
	UUID       string `json:"uuid"`        // of the file system, "" if not known
	Size       uint64 `json:"size"`        // bytes
	Used       uint64 `json:"used"`        // bytes
	Inodes     uint64 `json:"inodes"`      // 0 if the file system does not say

	Closed  *bool    `json:"closed,omitempty"`  // not everybody can come to the mount point; nil if not known
	Covered []uint64 `json:"covered,omitempty"` // Entry.Ino of folders that other mounts lay on, and that are not empty: nobody could look into them there; in order
}

// MarshalJSON implements json.Marshaler. A mount point is bytes, as Strings are.
func (p Partition) MarshalJSON() ([]byte, error) {
	type plain Partition
	p.MountPoint = quoted(p.MountPoint)
	return json.Marshal(plain(p))
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Partition) UnmarshalJSON(b []byte) (err error) {
	type plain Partition
	if err = json.Unmarshal(b, (*plain)(p)); err == nil {
		p.MountPoint, err = unquoted(p.MountPoint)
	}
	return err
}

// A Warning names a file that was not captured as it should be.
type Warning struct {
	Path string `json:"path"` // below the mount point, quoted by %q rules if it is not UTF-8
	What string `json:"what"` // one sentence
}

// What a warning begins with if names lack in the version.
const (
	NotOpened = "the folder cannot be opened"
	NotListed = "the folder cannot be listed"
	Skipped   = "it is skipped"
)

// Lacks returns the folder, by its path below the mount point, in which the version lacks names because of what the warning tells; false if it lacks none.
func (w *Warning) Lacks() (dir string, ok bool) {
	p := w.Path
	if strings.HasPrefix(p, `"`) {
		if raw, err := strconv.Unquote(p); err == nil {
			p = raw
		}
	}
	switch {
	case strings.HasPrefix(w.What, NotOpened), strings.HasPrefix(w.What, NotListed):
	case strings.HasPrefix(w.What, Skipped):
		p = path.Dir(p)
	default:
		return "", false
	}
	if p == "." {
		p = ""
	}
	return p, true
}

// A Certificate says who listened to changes. Of two versions that follow one another, the changes between them are known if Boot and Since are the
// same and the later Sequence is the next.
type Certificate struct {
	Boot     string    `json:"boot_id"`  // of the kernel
	Since    time.Time `json:"since"`    // when it began to listen
	Sequence uint64    `json:"sequence"` // of the versions begun since then
	Events   uint64    `json:"events"`   // heard since then
}

// An Audit is what a walk found that the journal should have told. Missed must be 0.
type Audit struct {
	Missed uint64   `json:"missed"`          // names that differ from the parent version
	Paths  []string `json:"paths,omitempty"` // some of them, as those of warnings
}

// A Scope says what of a partition a version was to have. What is not in it was never looked at, and may well have been there.
type Scope struct {
	Paths    Strings `json:"paths,omitempty"`    // absolute; when any, only they, what lies below, and the folders on the way
	Never    Strings `json:"never,omitempty"`    // absolute paths of folders that were left out whatever is in them, but for Paths below
	Excludes Strings `json:"excludes,omitempty"` // patterns of what was left out, with all below
	Caches   bool    `json:"caches,omitempty"`   // what is in tagged folders (CacheTag) was left out,
	Nodump   bool    `json:"nodump,omitempty"`   // and what has the inode flag "no dump"; both but for Paths
}

// Strings are paths or patterns: bytes. In JSON what is not UTF-8, or begins with a quote, is quoted by %q rules.
type Strings []string

// MarshalJSON implements json.Marshaler.
func (l Strings) MarshalJSON() ([]byte, error) {
	texts := make([]string, len(l))
	for i, s := range l {
		texts[i] = quoted(s)
	}
	return json.Marshal(texts)
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Strings) UnmarshalJSON(b []byte) (err error) {
	if err = json.Unmarshal(b, (*[]string)(l)); err != nil {
		return err
	}
	for i, s := range *l {
		if (*l)[i], err = unquoted(s); err != nil {
			return err
		}
	}
	return nil
}

// quoted makes a text of bytes, that JSON keeps as it is.
func quoted(s string) string {
	if !utf8.ValidString(s) || strings.HasPrefix(s, `"`) {
		return strconv.Quote(s)
	}
	return s
}

func unquoted(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	s, err := strconv.Unquote(text)
	if err != nil {
		return "", fmt.Errorf("%.100q is no quoted string", text)
	}
	return s, nil
}

// Has tells whether a version was to have all names in a folder, by its absolute path, but for what Excludes and marks leave out. In those on the way to Paths
// it has only these.
func (s *Scope) Has(dir string) bool {
	above := func(paths []string) (longest int) {
		for _, p := range paths {
			if rest, ok := strings.CutPrefix(dir, strings.TrimSuffix(p, "/")); ok && (rest == "" || rest[0] == '/') {
				longest = max(longest, len(p))
			}
		}
		return longest
	}
	named, never := above(s.Paths), above(s.Never)
	return named >= never && (named > 0 || len(s.Paths) == 0)
}

// MaxWarnings is how many warnings a record lists; WarningCount counts them all.
const MaxWarnings = 1000

// A Version is one complete state of a partition: what its record says.
type Version struct {
	Format       int          `json:"format"`   // 1
	Instance     string       `json:"instance"` // id
	InstanceName string       `json:"instance_name"`
	Partition    Partition    `json:"partition"`
	Name         string       `json:"version"`
	Start        time.Time    `json:"start"`
	End          time.Time    `json:"end"`
	Root         []byte       `json:"root"` // the root directory's Entry, encoded as in a page
	Totals       Totals       `json:"totals"`
	Parent       string       `json:"parent,omitempty"`  // version it was compared with
	Method       string       `json:"method"`            // "walk" or "journal"
	Because      string       `json:"because,omitempty"` // why not the journal
	Journal      *Certificate `json:"journal,omitempty"` // of what listens to changes since the version was begun; nil: nothing does
	Audit        *Audit       `json:"audit,omitempty"`
	Consistency  string       `json:"consistency"`            // "live" or "snapshot"
	LiveBecause  string       `json:"live_because,omitempty"` // why not a snapshot, if the file system has any
	Tool         string       `json:"tool"`                   // "yester 0.1.0"
	Scope        *Scope       `json:"scope,omitempty"`        // nil: made by a yester that did not say

	Added   uint64 `json:"added"` // entries, against the parent
	Changed uint64 `json:"changed"`
	Deleted uint64 `json:"deleted"`
	Skipped uint64 `json:"skipped"` // sockets, and what could not be read

	ReadBytes uint64 `json:"read_bytes"`   // read from the source
	NewBytes  uint64 `json:"new_bytes"`    // of those and of the pages, what the vault did not have, before compression
	Stored    uint64 `json:"stored_bytes"` // bytes the vault grew by, everything included

	Warnings     []Warning `json:"warnings,omitempty"`
	WarningCount uint64    `json:"warning_count,omitempty"`
}

// Key names v in the vault.
func (v *Version) Key() store.VersionKey {
	return store.VersionKey{Instance: v.Instance, Partition: v.Partition.Name, Version: v.Name}
}

// Format is the number of the record format.
const Format = 1

// RootEntry decodes the root directory.
func (v *Version) RootEntry() (e Entry, err error) {
	if err = decodeEntry(v.Root, &e); err == nil && !e.IsDir() {
		err = ErrFormat
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read root of version %s: %w", v.Name, err)
	}
	return e, nil
}

// SetRoot encodes the root directory into v, and takes over its totals.
func (v *Version) SetRoot(e *Entry) {
	v.Root = appendEntry(nil, e)
	v.Totals = e.Totals
}

// Encode returns the record's bytes and sets v.Format.
func (v *Version) Encode() ([]byte, error) {
	v.Format = Format
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode version record: %w", err)
	}
	return b, nil
}

// ParseVersion decodes a record. ErrFormat for one that is malformed or of another format.
func ParseVersion(b []byte) (*Version, error) {
	v := new(Version)
	all := struct {
		*Version
		Start    moment      `json:"start"`
		End      moment      `json:"end"`
		Warnings warningList `json:"warnings"`
	}{Version: v}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("parse version record: %w: %.200v", ErrFormat, err) // it may quote the whole of a field
	}
	v.Start, v.End, v.Warnings = all.Start.Time, all.End.Time, all.Warnings
	if v.Format != Format {
		return nil, fmt.Errorf("version record has format %d, this yester knows %d: %w", v.Format, Format, ErrFormat)
	}
	if _, err := v.RootEntry(); err != nil {
		return nil, err
	}
	return v, nil
}

// A moment decodes a time that is no longer than times are: the error of another would quote it again and again.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(b []byte) error {
	if len(b) > 100 {
		return fmt.Errorf("a time of %d bytes", len(b))
	}
	return m.Time.UnmarshalJSON(b)
}

// A warningList decodes no more warnings than a record lists, however many there are.
type warningList []Warning

// UnmarshalJSON implements json.Unmarshaler.
func (l *warningList) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t == nil {
		return err
	}
	for d.More() && len(*l) < MaxWarnings {
		var w Warning
		if err := d.Decode(&w); err != nil {
			return err
		}
		*l = append(*l, w)
	}
	return nil
}
