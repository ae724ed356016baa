package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// absolutePath makes a path absolute. As to the kernel, ".." is the parent of the folder that a link before it leads to.
func absolutePath(path string) (at string, err error) {
	at = "/"
	if !filepath.IsAbs(path) {
		if at, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			if real, err := filepath.EvalSymlinks(at); err == nil {
				at = real
			}
		}
		at = filepath.Join(at, part)
	}
	return at, nil
}

// seenPath makes a path absolute, and follows links on the way to it as far as it is there: so is what it was called when it was backed up. The
// path itself may be a link, and may be gone.
func seenPath(path string) (string, error) {
	if path == "" {
		return "", usage("the path is empty")
	}
	abs, err := absolutePath(path)
	if err != nil {
		return "", err
	}
	for dir := filepath.Dir(abs); dir != "/"; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, abs[len(dir):]), nil
		}
	}
	return abs, nil
}

// pathText is a path of the API for people: what a terminal could not show is quoted.
func pathText(text string) string {
	if strings.HasPrefix(text, `"`) {
		return text
	}
	for _, r := range text {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strconv.Quote(text)
		}
	}
	return text
}

// A jsonList prints values as an array, one a line, as they come. An array that was begun is ended, whatever happens.
type jsonList struct {
	*program
	n int
}

func (l *jsonList) add(v any) error {
	if l.n == 0 {
		l.printf("[\n")
	} else {
		l.printf(",\n")
	}
	l.n++
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := l.out.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) // the end of the line comes with what follows
	return err
}

// end ends the list; an error that came before anything was printed is left to speak alone.
func (l *jsonList) end(err error) {
	switch {
	case l.n > 0:
		l.printf("\n]\n")
	case err == nil:
		l.printf("[]\n")
	}
}

// readVerdict is errWarnings where parts of versions could not be read.
func readVerdict(unread int, err error) error {
	if err == nil && unread > 0 {
		return errWarnings
	}
	return err
}
