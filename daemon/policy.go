package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"yester/control"
	"yester/sched"
	"yester/snapshot/capture"
	"yester/store"
)

// What a policy has unless something else is said.
const (
	retentionDays = 30
	windowSeconds = int(sched.DefaultWindow / time.Second)
)

// The most days that a version may be kept, and the most periods of a kind.
const maxKeep = 36500

// complete gives a policy of an earlier version of the program what that did not know.
func complete(p *control.Policy) {
	if p.WindowSeconds == 0 {
		p.WindowSeconds = windowSeconds
	}
	if p.RetentionDays == 0 {
		p.RetentionDays, p.KeepLatest = retentionDays, true
	}
}

// newPolicy is the old policy, or the default one if there is none, with what is asked for.
func (d *Daemon) newPolicy(old *control.Policy, r *control.ActivateRequest, mounts []capture.Mount) (control.Policy, error) {
	p := control.Policy{Start: randomStart(), Priority: sched.Low.Name}
	if old != nil {
		p = *old
	}
	complete(&p)
	if r.Start != "" {
		p.Start = r.Start
	}
	if r.Priority != "" {
		p.Priority = r.Priority
	}
	switch r.Compression {
	case "":
	case autoCompression:
		p.Compression = ""
	default:
		p.Compression = r.Compression
	}
	p.Partitions, p.Paths, p.Excludes = given(r.Partitions, p.Partitions), given(r.Paths, p.Paths), given(r.Excludes, p.Excludes)
	set(&p.IncludeSystem, r.IncludeSystem)
	set(&p.ExcludeCaches, r.ExcludeCaches)
	set(&p.ExcludeNodump, r.ExcludeNodump)
	set(&p.CatchUp, r.CatchUp)
	set(&p.KeepLatest, r.KeepLatest)
	set(&p.WindowSeconds, r.WindowSeconds)
	set(&p.RetentionDays, r.RetentionDays)
	set(&p.KeepDaily, r.KeepDaily)
	set(&p.KeepWeekly, r.KeepWeekly)
	set(&p.KeepMonthly, r.KeepMonthly)
	set(&p.KeepYearly, r.KeepYearly)
	setHooks(&p.Hooks, &r.Hooks)
	return p, checkPolicy(&p, r, mounts)
}

// autoCompression leaves the compression to the priority.
const autoCompression = "auto"

// set sets a field if something was asked for.
func set[T any](field, asked *T) {
	if asked != nil {
		*field = *asked
	}
}

// given is what was asked for, or else what there was; a copy, for it will be changed. Nothing is nil.
func given(asked, old []string) []string {
	if asked == nil {
		asked = old
	}
	if len(asked) == 0 {
		return nil
	}
	return slices.Clone(asked)
}

// checkPolicy refuses a policy that makes no sense here, and puts it into its one form. Partitions and paths that are not asked for anew may be away, as those of a disk
// that is not plugged in.
func checkPolicy(p *control.Policy, asked *control.ActivateRequest, mounts []capture.Mount) error {
	if _, err := sched.ParseDaily(p.Start); err != nil {
		return control.Errorf(control.BadRequest, "the start time %v", err)
	}
	if _, err := sched.ParsePriority(p.Priority); err != nil {
		return control.Errorf(control.BadRequest, "%v", err)
	}
	if c := p.Compression; c != "" && c != sched.LZ4 && c != sched.Zstd {
		return control.Errorf(control.BadRequest, "there is no compression %q", c).WithHint("give %s, %s or %s", sched.LZ4, sched.Zstd, autoCompression)
	}
	if err := sched.CheckWindow(time.Duration(p.WindowSeconds) * time.Second); err != nil {
		return control.Errorf(control.BadRequest, "%v", err)
	}
	if err := checkRetention(p); err != nil {
		return err
	}
	if err := checkHooks(&p.Hooks); err != nil {
		return err
	}
	if _, err := control.ParsePatterns(asked.Excludes); err != nil {
		return control.Errorf(control.BadRequest, "of the excludes, %v", err)
	}
	for _, e := range patterns(p.Excludes) {
		if p := strings.TrimRight(e, "/"); p == "" || !doublestar.ValidatePattern(p) {
			return control.Errorf(control.BadRequest, "the exclude %q is no pattern", e).
				WithHint("write globs like '*.iso', '/home/*/.cache' or '**/node_modules'")
		}
	}
	return choose(p, asked.Partitions != nil, asked.Paths != nil, mounts)
}

// patterns are those of a policy as bytes. What is no text of one is one itself: daemons once kept them as they were.
func patterns(texts []string) []string {
	all := make([]string, 0, len(texts))
	for _, t := range texts {
		p, err := control.ParsePath(t)
		if err != nil {
			p = t
		}
		all = append(all, p)
	}
	return all
}

func checkRetention(p *control.Policy) error {
	if n := p.RetentionDays; n < 1 || n > maxKeep {
		return control.Errorf(control.BadRequest, "versions cannot be kept for %d days", n).WithHint("give 1 to %d", maxKeep)
	}
	for _, k := range []struct {
		n    int
		what string
	}{{p.KeepDaily, "daily"}, {p.KeepWeekly, "weekly"}, {p.KeepMonthly, "monthly"}, {p.KeepYearly, "yearly"}} {
		if k.n < 0 || k.n > maxKeep {
			return control.Errorf(control.BadRequest, "%d %s versions cannot be kept", k.n, k.what).WithHint("give 0 to %d", maxKeep)
		}
	}
	return nil
}

// costs says what a policy may cost that its owner should know.
func costs(p *control.Policy) (lines []string) {
	if !p.KeepLatest && p.KeepDaily == 0 && p.KeepWeekly == 0 && p.KeepMonthly == 0 && p.KeepYearly == 0 { // each of which keeps the newest too
		lines = append(lines, fmt.Sprintf("with keep-latest off, pausing for %d days deletes every version and leaves no recovery point", p.RetentionDays))
	}
	return lines
}

// basis is the policy that a new one begins with: the daemon's, or, if its state was lost, the one that the vault has a copy of; nil if there is
// none. A copy that cannot be read is an error: by other settings versions would go that it keeps.
func (d *Daemon) basis(ctx context.Context, v *store.Vault) (*control.Policy, error) {
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	if policy != nil || v == nil {
		return policy, nil
	}
	kept, err := d.keptPolicy(ctx, v)
	if err == nil && len(kept.Policy) == 0 {
		return nil, nil
	}
	var p control.Policy
	if err == nil {
		err = json.Unmarshal(kept.Policy, &p)
	}
	if err != nil {
		return nil, control.Errorf(explain(err).Kind, "the settings that this machine had cannot be read (%s)", sentence(err)).
			WithHint("nothing was changed; try again, and if that file of the vault and its copy are damaged for good, move both away: then it begins with new settings, and nothing pinned")
	}
	p.Hooks = control.Hooks{} // whoever can write the vault is not to run commands here
	d.log.Info("the policy is the one of which the vault has a copy", "activated_at", p.ActivatedAt)
	return &p, nil
}

// policyCause is the cause of the message that the vault's copy of the policy cannot be read.
const policyCause = "policy"

// keptPolicy is what the vault has of the instance's policy and pins. While it cannot be read, nobody can tell what is pinned, and nothing
// expires.
func (d *Daemon) keptPolicy(ctx context.Context, v *store.Vault) (store.Policy, error) {
	p, err := v.Policy(ctx, d.instance.ID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Policy{Instance: d.instance.ID}, nil
	}
	switch {
	case err == nil:
		d.resolve(policyCause)
	case ctx.Err() == nil:
		d.raise(control.MessageDamage, policyCause, "it cannot be told which versions are pinned, so none expires: "+sentence(err))
	}
	return p, err
}

// copyPolicy brings the copy of the policy in the vault up to date. Hooks are this machine's own, and not copied. d.keeping is held.
func (d *Daemon) copyPolicy(ctx context.Context, v *store.Vault, policy *control.Policy) (store.Policy, error) {
	kept, err := d.keptPolicy(ctx, v)
	if err != nil {
		return kept, err
	}
	without := *policy
	without.Hooks = control.Hooks{}
	b, err := json.Marshal(without)
	if err != nil || string(kept.Policy) == string(b) {
		return kept, err
	}
	kept.Policy = b
	if _, err := d.registerInstance(ctx, v); err != nil { // a machine that has a policy is one that is described
		return kept, err
	}
	return kept, v.PutPolicy(ctx, kept)
}
