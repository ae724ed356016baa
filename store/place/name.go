package place

import (
	"errors"
	"fmt"
	"strings"
)

// ErrName is what every method answers to a name that is none: an error of the calling code, never of the medium.
var ErrName = errors.New("not a vault file name")

// checkName tells whether name can be a file's: elements joined by single slashes, none of them empty, none starting
// with "." (those are the place's own, and "..").
func checkName(name string) error {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element[0] == '.' || strings.IndexByte(element, 0) >= 0 {
			return fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	return nil
}

// checkFolder is checkName for a folder, which may be the top.
func checkFolder(name string) error {
	if name == "" {
		return nil
	}
	return checkName(name)
}

// parent returns the folder that name lies in.
func parent(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}
