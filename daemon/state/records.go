package state

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"yester/control"
)

// A Vault is where the vault lies, and which one it was.
type Vault struct {
	ID     string   `json:"id"`
	Places []string `json:"places"`
	Former []string `json:"former,omitempty"` // that were places before, or were to be
	Key    string   `json:"key,omitempty"`    // of its master key, store.Info.KeyCheck; empty: not known, of before there was this
}

// Upkeep is what was done for the vault, and what is to be done.
type Upkeep struct {
	Cursor   string    `json:"cursor,omitempty"`  // pack that was read last
	Scrubbed time.Time `json:"scrubbed,omitzero"` // when a slice of the packs was last read, or reading them began
	Repair   []string  `json:"repair,omitempty"`  // packs found damaged, until a repair of them has gone through
	Collect  bool      `json:"collect,omitempty"` // a version was deleted, or is about to be, and no collection has ended well since; or an instance that is gone still has its name
	Full     bool      `json:"full,omitempty"`    // a backup could store next to nothing, and no collection has ended well since
	FullOf   string    `json:"full_of,omitempty"` // a hash of what was to be backed up when that was so last; empty once there was room for all of it
	Spread   bool      `json:"spread,omitempty"`  // a place was added, and not all packs lie in it yet
}

// Upkeep returns what was kept. ErrNotFound.
func (db *DB) Upkeep() (u Upkeep, err error) {
	err = db.get("upkeep", &u)
	return u, err
}

// PutUpkeep keeps it.
func (db *DB) PutUpkeep(u Upkeep) error { return db.put("upkeep", u) }

// Policy returns the instance's policy. ErrNotFound while it is new.
func (db *DB) Policy() (p control.Policy, err error) {
	err = db.get("policy", &p)
	return p, err
}

// A Schedule is a sched.History, as it is kept.
type Schedule struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last,omitzero"`
	Ran   bool      `json:"ran,omitempty"`
	Cut   time.Time `json:"cut,omitzero"`
}

// Schedule returns what was kept of the scheduled backup. ErrNotFound.
func (db *DB) Schedule() (s Schedule, err error) {
	err = db.get("schedule", &s)
	return s, err
}

// PutSchedule keeps it.
func (db *DB) PutSchedule(s Schedule) error { return db.put("schedule", s) }

// A Watch is a sched.Watch, as it is kept.
type Watch struct {
	Known time.Time     `json:"known"`
	Wall  time.Time     `json:"wall"`
	Boot  string        `json:"boot"`
	Up    time.Duration `json:"up_ns"`
	Doubt bool          `json:"doubt,omitempty"`
	Trial time.Duration `json:"trial_ns,omitempty"`

	Settles time.Duration `json:"settles_ns,omitempty"`
	Back    bool          `json:"back,omitempty"`

	Passed time.Duration `json:"passed_ns,omitempty"` // since the instance was activated
}

// Watch returns what was known of the time. ErrNotFound.
func (db *DB) Watch() (w Watch, err error) {
	err = db.get("watch", &w)
	return w, err
}

// PutWatch keeps it.
func (db *DB) PutWatch(w Watch) error { return db.put("watch", w) }

// Service returns the instance's state. ErrNotFound while it is new.
func (db *DB) Service() (name string, err error) {
	err = db.get("service", &name)
	return name, err
}

// PutService keeps a state together with a schedule, and forgets since when partitions are to be backed up: all or nothing.
func (db *DB) PutService(name string, s Schedule) error {
	return db.putAll(map[string]any{"service": name, "schedule": s, "wanted": map[string]time.Time{}})
}

// EndService forgets policy, schedule and state: all or none.
func (db *DB) EndService() error { return db.delete("policy", "schedule", "service", "wanted") }

// Wanted tells since when partitions are to be backed up, by their names. ErrNotFound while the service is new, or was since before this was kept.
func (db *DB) Wanted() (since map[string]time.Time, err error) {
	err = db.get("wanted", &since)
	return since, err
}

// PutWanted keeps it, in the place of what was kept.
func (db *DB) PutWanted(since map[string]time.Time) error { return db.put("wanted", since) }

// PutPlan keeps a policy and the instance's state, what came of its backup so far, and tasks that this ended: all or nothing.
func (db *DB) PutPlan(p control.Policy, service string, s Schedule, tasks ...control.Task) error {
	all := map[string]any{"policy": p, "schedule": s, "service": service}
	for _, t := range tasks {
		addTask(all, t)
	}
	return db.putAll(all)
}

// PutTurn keeps it together with the task that it is about: both or neither.
func (db *DB) PutTurn(s Schedule, t control.Task) error {
	all := map[string]any{"schedule": s}
	addTask(all, t)
	return db.putAll(all)
}

// A Begun is the scheduled backup that was begun last, until it has made its versions.
type Begun struct {
	Task  string   `json:"task"`            // id
	Turn  Schedule `json:"turn"`            // with it
	Kills int      `json:"kills,omitempty"` // of the daemon that cut off one of this turn
}

// Begun returns it. ErrNotFound if it has made its versions.
func (db *DB) Begun() (b Begun, err error) {
	err = db.get("begun", &b)
	return b, err
}

// PutBegun keeps it together with its task and the schedule: all or nothing.
func (db *DB) PutBegun(b Begun, s Schedule, t control.Task) error {
	all := map[string]any{"begun": b, "schedule": s}
	addTask(all, t)
	return db.putAll(all)
}

// ForgetBegun forgets it: its turn is done.
func (db *DB) ForgetBegun() error { return db.delete("begun") }

// Instance returns the id that was kept. ErrNotFound.
func (db *DB) Instance() (id string, err error) {
	err = db.get("instance", &id)
	return id, err
}

// PutInstance keeps an id.
func (db *DB) PutInstance(id string) error { return db.put("instance", id) }

// A Machine is what the machine says of itself: "" for what it does not.
type Machine struct {
	Instance string `json:"instance,omitempty"` // the id that it gives one
	Hardware string `json:"hardware,omitempty"` // the id of its hardware
}

// Machine returns what the machine said when the daemon was last started. ErrNotFound.
func (db *DB) Machine() (m Machine, err error) {
	err = db.get("machine", &m)
	return m, err
}

// PutMachine keeps it together with the id of the instance and what the daemon is called, unless they are "": all or none.
func (db *DB) PutMachine(m Machine, instance, holder string) error {
	all := map[string]any{"machine": m}
	if instance != "" {
		all["instance"] = instance
	}
	if holder != "" {
		all["holder"] = holder
	}
	return db.putAll(all)
}

// Holder returns what the daemon is called. ErrNotFound.
func (db *DB) Holder() (id string, err error) {
	err = db.get("holder", &id)
	return id, err
}

// PutHolder keeps it.
func (db *DB) PutHolder(id string) error { return db.put("holder", id) }

// Vault returns the vault that was last opened. ErrNotFound.
func (db *DB) Vault() (v Vault, err error) {
	err = db.get("vault", &v)
	return v, err
}

// PutVault keeps which vault is open.
func (db *DB) PutVault(v Vault) error { return db.put("vault", v) }

// Task returns a task. ErrNotFound.
func (db *DB) Task(id string) (t control.Task, err error) {
	if err = db.get("whole/"+id, &t); errors.Is(err, ErrNotFound) { // it was kept before there was this
		err = db.get("task/"+id, &t)
	}
	return t, err
}

// PutTask keeps a task, replacing what was kept of it.
func (db *DB) PutTask(t control.Task) error {
	all := map[string]any{}
	addTask(all, t)
	return db.putAll(all)
}

// addTask adds the values that keep a task. Its lists stand beside it, as they may be a thousand times as long: who lists tasks reads none.
func addTask(values map[string]any, t control.Task) {
	values["task/"+t.ID], values["whole/"+t.ID] = t.Brief(), t
}

// Tasks lists all tasks in brief, oldest first.
func (db *DB) Tasks() (tasks []control.Task, err error) {
	err = db.each("task/", func(_ string, b []byte) error {
		var t control.Task
		if err := json.Unmarshal(b, &t); err != nil {
			return err
		}
		tasks = append(tasks, t.Brief()) // one that was kept before has its lists here
		return nil
	})
	slices.SortStableFunc(tasks, func(a, b control.Task) int { return a.Start.Compare(b.Start) })
	return tasks, err
}

// LastID returns the id of a task that begins with prefix and ends in the largest number, "" if there is none.
func (db *DB) LastID(prefix string) (id string, err error) {
	err = db.each("task/"+prefix, func(key string, _ []byte) error {
		if next := strings.TrimPrefix(key, "task/"); len(next) >= len(id) { // 10000 comes before 9999
			id = next
		}
		return nil
	})
	return id, err
}

// ForgetTasks deletes the tasks that ended before a time.
func (db *DB) ForgetTasks(before time.Time) error {
	tasks, err := db.Tasks()
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.End == nil || !t.End.Before(before) {
			continue
		}
		if err := db.delete("task/"+t.ID, "whole/"+t.ID); err != nil {
			return err
		}
	}
	return nil
}
