package main

import (
	"context"
	"errors"
	"strings"

	"yester/control"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2   // the command line makes no sense, or asks for what is not there
	exitWarnings    = 3   // done, with warnings
	exitNoDaemon    = 4   // nobody to ask
	exitInterrupted = 130 // Ctrl-C while waiting; what was waited for goes on
)

// errWarnings ends a command that has said all there is to say about its warnings, errSaid one that failed and has said why.
var (
	errWarnings = errors.New("done with warnings")
	errSaid     = errors.New("failed")
)

// exits is the table of errors and exit codes; the first that fits counts, and what fits none is exitFailed.
var exits = []struct {
	is   error
	code int
}{
	{errWarnings, exitWarnings},
	{control.BadRequest, exitUsage},
	{control.NoDaemon, exitNoDaemon},
	{context.Canceled, exitInterrupted},
}

// exit prints an error as one sentence and returns the exit code.
func (p *program) exit(err error) int {
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errWarnings) && !errors.Is(err, errSaid) && !errors.Is(err, context.Canceled) {
		p.note("%s\n", introduced(err.Error()))
	}
	for _, e := range exits {
		if errors.Is(err, e.is) {
			return e.code
		}
	}
	return exitFailed
}

// introduced says who speaks, unless the sentence begins with it.
func introduced(sentence string) string {
	if strings.HasPrefix(sentence, "yester ") {
		return sentence
	}
	return "yester: " + sentence
}

// usage returns an error of wrong use.
func usage(format string, args ...any) *control.Error {
	return control.Errorf(control.BadRequest, format, args...)
}
