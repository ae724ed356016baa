package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yester/control"
	"yester/store"
	"yester/store/pack"
)

// The causes of damage: what the daemon's own check or repair found, and a later repair of its own may make good; what any other task found; and, with the name of a file
// behind damageCause, what reading met in that.
const (
	damageCause = "damage/"
	scrubDamage = damageCause + "scrub"
	foundDamage = damageCause + "found"
)

// The causes of a backup that failed, was skipped, or has warnings.
const (
	failedBackup  = "backup/failed"
	skippedBackup = "backup/skipped"
	partialBackup = "backup/partial"
	owedHook      = "backup/hook"
)

// taskCause, with its kind, is the cause of a task that did not end well and has no kind of message of its own.
const taskCause = "task/"

// maxTroubles is how many troubles of the vault may wait to become messages; more come up again.
const maxTroubles = 256

// messages lists messages.
func (d *Daemon) messages(_ context.Context, r control.MessagesRequest) (control.MessageList, error) {
	return control.MessageList{Messages: d.alerts.List(r.Open == "true")}, nil
}

// troubled takes in a trouble of the vault. It does not block.
func (d *Daemon) troubled(t store.Trouble) {
	d.metrics.troubled(t)
	select {
	case d.troubles <- t:
	default:
	}
}

// listen makes messages of the vault's troubles until ctx ends.
func (d *Daemon) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-d.troubles:
			d.tell(t)
		}
	}
}

// tell makes a message of a trouble.
func (d *Daemon) tell(t store.Trouble) {
	switch {
	case t.Kind == store.PlaceFailed:
		d.raise(control.MessagePlace, placeCause(t.Place), failingText(t.Place, t.Err, t.Gone))
	case t.Kind == store.PlaceBack:
		d.resolve(placeCause(t.Place))
		d.wakeSpread()
		d.wakeRepair()
	case t.Kind == store.Stray:
		d.kept(d.alerts.Note(control.MessageDamage, "stray/"+t.File, t.File+" came with a place, and parts of that version are nowhere: it was never finished, or was deleted while the place was away; it is not listed"))
	case t.Healed: // of a disk that is going bad thousands of files are, and the log has each
		d.resolve(damageCause + t.File)
		d.kept(d.alerts.Note(control.MessageDamage, "healed/"+t.Place, damageText(t)+" was healed; look after the disk"))
	case errors.Is(t.Err, store.ErrNoSpace), errors.Is(t.Err, store.ErrReadOnly): // nothing is lost
		d.kept(d.alerts.Note(control.MessageDamage, "unhealed/"+t.Place, damageText(t)+" could not be written anew ("+sentence(t.Err)+"); it is read around, and healed when it is met again and that is over"))
	default:
		d.raise(control.MessageDamage, damageCause+t.File, damageText(t)+" cannot be healed; `yester vault repair` saves what can be, and names the files that are not")
	}
}

// damageText says where damage was met.
func damageText(t store.Trouble) string {
	what := t.File
	if t.Pack != (pack.ID{}) {
		what = "pack " + t.Pack.String()
	}
	s := "damage of " + what + " in " + t.Place
	if t.Offset >= 0 {
		s += fmt.Sprintf(" at byte %d", t.Offset)
	}
	return s
}

// taskEnded makes messages of how a task ended, and ends those that it shows to be over; that damage is, whoever looked for it says (damageOver).
func (d *Daemon) taskEnded(t *control.Task) {
	d.metrics.taskEnded(t)
	if t.Report.Damaged() { // that a place is not well is told as that
		cause := foundDamage
		if t.Scheduled && (t.Kind == control.KindCheck || t.Kind == control.KindRepair && d.goesOn(t.Report)) {
			cause = scrubDamage
		}
		d.raise(control.MessageDamage, cause, fmt.Sprintf("a %s found the vault damaged, see `yester tasks show %s`", t.Kind, t.ID))
	}
	switch t.Kind {
	case control.KindBackup:
		d.backupEnded(t)
		d.wakeSweep() // a newer version may let an older one go
	case control.KindDrill:
		d.drillEnded(t)
	case control.KindRepair:
		if r := t.Report; r != nil && r.HealedPacks+r.HealedRecords > 0 {
			d.kept(d.alerts.Note(control.MessageDamage, "healed/repair", fmt.Sprintf("the repair %s healed %d packs and %d records of versions; look after the disk", t.ID, r.HealedPacks, r.HealedRecords)))
		}
		d.otherEnded(t)
	case control.KindCheck:
		d.otherEnded(t)
		d.wakeUpkeep() // there may be something to repair, and what ends the message of that must come after it
	default:
		d.otherEnded(t)
	}
}

// goesOn tells whether what a repair of the daemon's own left damaged is looked after without anybody's doing: its packs wait for another one, and all the rest every check
// looks at.
func (d *Daemon) goesOn(r *control.Report) bool {
	u, err := d.upkeepState()
	waits := func(p control.Problem) bool { return p.Pack == "" || slices.Contains(u.Repair, p.Pack) }
	return err == nil && uint64(len(r.Problems)) == uint64(r.ProblemCount) && !slices.ContainsFunc(r.Problems, func(p control.Problem) bool { return !waits(p) })
}

// damageOver ends the messages of damage by whose causes it is over, unless it came up again since a time: that of the begin of who looked.
func (d *Daemon) damageOver(since time.Time, is func(cause string) bool) {
	for _, m := range d.alerts.List(true) {
		if strings.HasPrefix(m.Cause, damageCause) && !m.Last.After(since) && is(m.Cause) {
			d.resolve(m.Cause)
		}
	}
}

// otherEnded is for tasks that have no kind of message of their own: how the last one of a kind ended counts. What one finds damaged is told as such.
func (d *Daemon) otherEnded(t *control.Task) {
	cause := taskCause + t.Kind
	switch {
	case t.State == control.Failed:
		d.raise(control.MessageTask, cause, fmt.Sprintf("the %s %s failed: %s", t.Kind, t.ID, t.Error))
	case t.State == control.Partial && t.Report.Clean():
		d.raise(control.MessageTask, cause, fmt.Sprintf("the %s %s ended with warnings, see `yester tasks show %s`", t.Kind, t.ID, t.ID))
	case t.State == control.Completed || t.State == control.Partial:
		d.resolve(cause)
	}
}

func (d *Daemon) backupEnded(t *control.Task) {
	switch t.State {
	case control.Failed:
		d.raise(control.MessageBackup, failedBackup, "the backup "+t.ID+" failed: "+t.Error)
	case control.Skipped:
		d.raise(control.MessageBackup, skippedBackup, "a scheduled backup was skipped: "+t.Error)
	case control.Partial:
		d.backupsOver(t)
		d.raise(control.MessageBackup, partialBackup, fmt.Sprintf("the backup %s has %d warnings, see `yester tasks show %s`", t.ID, t.WarningCount, t.ID))
	case control.Completed:
		d.backupsOver(t)
	}
}

// tellLastSkip tells of the backup that was skipped last, if nothing came after it and a kill kept that from being told.
func (d *Daemon) tellLastSkip() error {
	r, err := d.tasks.recent()
	if err != nil || r.last == nil || r.last.State != control.Skipped {
		return err
	}
	if !slices.ContainsFunc(d.alerts.List(false), func(m control.Message) bool { return m.Cause == skippedBackup && !m.Last.Before(r.last.Start) }) {
		d.taskEnded(r.last)
	}
	return nil
}

// backupsOver ends the messages of backups after one that went well, or has warnings.
func (d *Daemon) backupsOver(t *control.Task) {
	over := []string{failedBackup, skippedBackup, owedHook}
	if t.State == control.Completed {
		over = append(over, partialBackup)
	}
	for _, m := range d.alerts.List(true) {
		if slices.Contains(over, m.Cause) && !d.unsettled(&m, t) {
			d.resolve(m.Cause)
		}
	}
}

// unsettled tells whether a message of backups is about a partition that t had no part in, though it is to be backed up: it is gone from the machine, and
// nothing of it is over.
func (d *Daemon) unsettled(m *control.Message, t *control.Task) bool {
	d.mu.Lock()
	policy, v := d.policy, d.vault
	d.mu.Unlock()
	if policy == nil || v == nil || m.Cause == skippedBackup {
		return false
	}
	all, err := d.db.Tasks()
	if err != nil {
		d.log.Error("read the tasks", "err", err)
		return true
	}
	trouble := inTrouble(m, append(all, *t))
	targets, err := d.wanted(context.Background(), v, policy)
	return err != nil || slices.ContainsFunc(targets, func(t target) bool { return trouble[t.partition.Name] })
}

// inTrouble are the partitions that a message of backups may be about: the last version of them was none, or no better one. The tasks are sorted.
func inTrouble(m *control.Message, all []control.Task) map[string]bool {
	trouble := map[string]bool{}
	for _, t := range all {
		if t.Kind != control.KindBackup || t.End == nil || len(t.Results) == 0 {
			continue
		}
		for _, r := range t.Results {
			trouble[r.Partition] = r.Error != "" || r.Warnings > 0 && m.Cause == partialBackup
		}
	}
	return trouble
}

// inactiveCause is the cause of the message that the vault has versions of this instance, and none are added.
const inactiveCause = "instance/inactive"

// lookAtService makes a message of versions of an instance that is not activated, as after the loss of its state, and ends it when it is, or they are gone or another daemon's.
func (d *Daemon) lookAtService(ctx context.Context, v *store.Vault) {
	switch d.serviceState() {
	case control.StateInitializing:
		return
	case control.StateNew:
		if len(v.Versions(d.instance.ID)) > 0 && !errors.Is(d.keepOff(ctx, v), control.Conflict) {
			d.kept(d.alerts.Hold(control.MessageInstance, inactiveCause,
				"the vault has versions of this machine, which is not activated: none are added, and none expire; `yester activate` goes on with the settings it had"))
			return
		}
	}
	d.resolve(inactiveCause)
}

// lookAtPlaces makes messages of places that fail or are nearly full, and ends those of places that are well, or the vault's no more.
func (d *Daemon) lookAtPlaces(ctx context.Context, v *store.Vault) {
	over := map[string]bool{}
	for _, m := range d.alerts.List(true) {
		over[m.Cause] = m.Kind == control.MessagePlace || m.Kind == control.MessageSpace
	}
	places := v.Places(ctx)
	for _, p := range places {
		failing, full := placeCause(p.Name), "space/"+p.Name
		if p.Err != nil {
			text := failingText(p.Name, p.Err, p.Gone)
			if len(places) == 1 {
				text = "the vault's only place " + p.Name + " fails: " + sentence(p.Err)
			}
			d.kept(d.alerts.Hold(control.MessagePlace, failing, text))
		}
		if p.Total > 0 && nearlyFull(p.Free, p.Total) {
			d.kept(d.alerts.Hold(control.MessageSpace, full, fullText(p.Name, p.Free, p.Total)))
		}
		over[failing] = over[failing] && p.Err == nil && !p.Behind
		over[full] = over[full] && p.Total > 0 && !nearlyFull(p.Free, p.Total)
	}
	for cause, is := range over {
		if is {
			d.resolve(cause)
		}
	}
}

func placeCause(place string) string { return "place/" + place }

func failingText(place string, err error, gone bool) string {
	text := "the vault goes on without its place " + place + ": " + sentence(err)
	if gone { // nothing is lost with one that is full or read-only
		text += "; if it is lost for good, `yester vault place replace " + place + " NEW` rebuilds it"
	}
	return text
}

// nearlyFull tells whether a place should be given more space soon.
func nearlyFull(free, total uint64) bool { return free < total/20 }

func fullText(place string, free, total uint64) string {
	return fmt.Sprintf("the vault's place %s is nearly full, %d %% are free", place, free*100/total)
}

func (d *Daemon) raise(kind, cause, text string) {
	d.log.Info("something needs a look", "kind", kind, "what", text)
	d.kept(d.alerts.Raise(kind, cause, text))
}

func (d *Daemon) resolve(cause string) { d.kept(d.alerts.Resolve(cause)) }

func (d *Daemon) kept(err error) {
	if err != nil {
		d.log.Error("keep a message", "err", err)
	}
}
