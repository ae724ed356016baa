package daemon

import "strings"

// list joins names for a sentence.
func list(names []string) string { return strings.Join(names, ", ") }

// short is the beginning of an id, enough to tell it from others.
func short(id string) string { return id[:min(len(id), 8)] }
