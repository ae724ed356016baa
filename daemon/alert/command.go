package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"yester/control"
)

// maxSaid is how much of what a command says is kept.
const maxSaid = 300

// maxText is how much of an alert's text goes into the environment: the kernel takes 128 KiB of a variable, and no command with more.
const maxText = 4 << 10

// runCommand runs a command with an alert on its standard input, as JSON, and the most of it in its environment. It must end with 0 in time; else
// it and what it has started are killed.
func runCommand(ctx context.Context, words []string, a *control.Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var said tail
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(
		os.Environ(), "YESTER_ID="+a.ID, "YESTER_EVENT="+a.Event, "YESTER_KIND="+a.Kind, "YESTER_CAUSE="+a.Cause, "YESTER_TEXT="+cut(line(a.Text), maxText, " … (cut)"),
		"YESTER_TIME="+a.Time.Format(time.RFC3339), "YESTER_INSTANCE="+a.Instance.Name,
	)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(body, '\n')), &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // what it left in the background may hold its output
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		err = nil
	}
	if text := line(string(said)); err != nil && text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	if n := len(*t) - maxSaid; n > 0 {
		*t = append((*t)[:0], (*t)[n:]...)
	}
	return len(b), nil
}
