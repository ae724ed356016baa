package state

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger passes badger's errors and warnings on, and the rest as details.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(format string, args ...any)   { l.log.Error("state: " + text(format, args)) }
func (l logger) Warningf(format string, args ...any) { l.log.Warn("state: " + text(format, args)) }
func (l logger) Infof(format string, args ...any)    { l.log.Debug("state: " + text(format, args)) }
func (l logger) Debugf(string, ...any)               {}

func text(format string, args []any) string { return strings.TrimSpace(fmt.Sprintf(format, args...)) }
