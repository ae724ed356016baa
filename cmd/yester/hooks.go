package main

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

// hookFlags reads what the flags say of hooks.
func hookFlags(c *cli.Context) (r control.HookRequest, err error) {
	for name, to := range map[string]**string{"before": &r.Before, "after": &r.After, "on-hook-failure": &r.OnFailure} {
		if v := c.String(name); c.IsSet(name) {
			*to = &v
		}
	}
	if !c.IsSet("hook-timeout") {
		return r, nil
	}
	d, err := time.ParseDuration(c.String("hook-timeout"))
	if err != nil || d < time.Second {
		return r, usage("the hook timeout %q is no length of time from a second on", c.String("hook-timeout")).WithHint("write 30s, 10m or 1h30m")
	}
	seconds := int(d / time.Second)
	r.TimeoutSeconds = &seconds
	return r, nil
}

// hookRows are the names and values of hooks in a list of settings.
func hookRows(h *control.Hooks) (rows [][2]string) {
	var more []string
	if h.TimeoutSeconds > 0 {
		more = append(more, "at most "+span(time.Duration(h.TimeoutSeconds)*time.Second))
	}
	if h.OnFailure == control.HookWarn {
		more = append(more, "failure only warns")
	}
	note := ""
	if len(more) > 0 {
		note = " (" + strings.Join(more, ", ") + ")"
	}
	for _, r := range [][2]string{{"Before", h.Before}, {"After", h.After}} {
		if r[1] != "" {
			rows = append(rows, [2]string{r[0], r[1] + note})
		}
	}
	return rows
}

// showHooks prints what hooks said.
func (p *program) showHooks(t *control.Task) {
	for _, h := range t.Hooks {
		became := "done"
		if h.Error != "" {
			became = "failed: " + h.Error
		}
		p.printf("hook %s: %s in %s\n", h.Hook, became, took(time.Duration(h.Seconds*float64(time.Second))))
		if h.OutputCut {
			p.printf("  …\n")
		}
		for line := range strings.Lines(h.Output) {
			p.printf("  %s\n", strings.TrimRight(line, "\r\n"))
		}
	}
}
