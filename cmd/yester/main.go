// Command yester keeps every yesterday of a machine mounted: it is the daemon, and the commands that drive it.
//
// Each command group is a file; xCommand has a command's flags and texts, and runX does its work where that is more than a call. They only
// ask the daemon and print. Exit codes are a contract, see exit.go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
)

// version is set when the program is built.
var version = "0.1.0-dev"

func main() {
	os.Exit(start(untilSignal(), os.Args, os.Stdout, os.Stderr))
}

// untilSignal returns a context that ends with the first signal to end, so that what runs ends cleanly; a hangup is one, as of a connection that drops, unless it is ignored
// (nohup). A Ctrl-C after that kills: not everything can be waited for, such as a read of a dead network disk.
func untilSignal() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, signals...)
	go func() {
		<-ended
		signal.Reset(os.Interrupt)
		cancel()
	}()
	return ctx
}

// start runs a command line and returns the exit code. A panic becomes a sentence; YESTER_DEBUG=1 shows where it came from.
func start(ctx context.Context, args []string, out, err io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(err, "yester: internal error: %v; please report it (YESTER_DEBUG=1 shows more)\n", p)
			if os.Getenv("YESTER_DEBUG") != "" {
				err.Write(debug.Stack())
			}
			code = exitFailed
		}
	}()
	if asksForWords(args) && slices.Contains(args, "--") {
		return exitDone // no flags follow, and the parser would take that for an argument, and run the command
	}
	p := &program{in: os.Stdin, out: out, err: err}
	app := newApp(p)
	line, wrong := arrange(app, args)
	if wrong != nil {
		return p.exit(wrong)
	}
	return p.exit(app.RunContext(ctx, line))
}
