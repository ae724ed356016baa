package state

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yester/control"
)

func open(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// reopen closes db and opens what it left.
func reopen(t *testing.T, db *DB) *DB {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, db.dir)
}

func TestStateOutlivesTheProcess(t *testing.T) {
	db := open(t, t.TempDir())
	for name, err := range map[string]error{"policy": second(db.Policy()), "instance": second(db.Instance()), "vault": second(db.Vault()), "task": second(db.Task("b-1"))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of a new state: %v", name, err)
		}
	}
	policy := control.Policy{Start: "03:17", Priority: "low", Paths: []string{"/a"}, ActivatedAt: day(1)}
	vault := Vault{ID: "v", Places: []string{"/var/lib/yester/vault"}}
	must(t, db.PutPlan(policy, control.StateReady, Schedule{Since: day(1)}))
	must(t, db.PutInstance("0123"))
	must(t, db.PutVault(vault))

	db = reopen(t, db)
	defer db.Close()
	if p, err := db.Policy(); err != nil || !reflect.DeepEqual(p, policy) {
		t.Errorf("got %+v, %v", p, err)
	}
	if id, err := db.Instance(); err != nil || id != "0123" {
		t.Errorf("got %s, %v", id, err)
	}
	if v, err := db.Vault(); err != nil || !reflect.DeepEqual(v, vault) {
		t.Errorf("got %+v, %v", v, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTasksAreListedByStartAndForgottenByEnd(t *testing.T) {
	db := open(t, t.TempDir())
	end := day(2)
	for _, task := range []control.Task{
		{ID: "b-20261103-0001", Start: day(3), State: control.Running},
		{ID: "b-20261101-0002", Start: day(2), State: control.Completed, End: &end},
		{ID: "b-20261101-0001", Start: day(1), State: control.Queued},
	} {
		must(t, db.PutTask(task))
		task.Error = "replaced"
		must(t, db.PutTask(task))
	}
	db = reopen(t, db)
	defer db.Close()
	if got := ids(t, db); !reflect.DeepEqual(got, []string{"b-20261101-0001", "b-20261101-0002", "b-20261103-0001"}) {
		t.Errorf("got %v", got)
	}
	if id, err := db.LastID("b-20261101-"); err != nil || id != "b-20261101-0002" {
		t.Errorf("got %q, %v", id, err)
	}
	if id, err := db.LastID("b-20261102-"); err != nil || id != "" {
		t.Errorf("got %q, %v", id, err)
	}
	for _, id := range []string{"b-20261105-9999", "b-20261105-10000", "b-20261105-10001"} {
		must(t, db.PutTask(control.Task{ID: id, Start: day(0), End: &time.Time{}, Error: "replaced"}))
	}
	if id, err := db.LastID("b-20261105-"); err != nil || id != "b-20261105-10001" {
		t.Errorf("got %q, %v", id, err)
	}
	must(t, db.ForgetTasks(day(2)))
	if got := ids(t, db); len(got) != 3 {
		t.Errorf("forgot what had not ended before: %v", got)
	}
	must(t, db.ForgetTasks(day(30)))
	if got := ids(t, db); !reflect.DeepEqual(got, []string{"b-20261101-0001", "b-20261103-0001"}) {
		t.Errorf("got %v", got)
	}
}

// The lists of a task may have hundreds of thousands of bytes: who lists all tasks reads none of them.
func TestTasksAreListedWithoutTheirLists(t *testing.T) {
	db := open(t, t.TempDir())
	defer db.Close()
	end := day(2)
	long := strings.Repeat("x", 1000)
	task := control.Task{
		ID: "b-20261101-0002", Start: day(2), End: &end, Error: "replaced", Warnings: []control.Warning{{What: long}}, WarningCount: 1,
		Hooks:    []control.HookRun{{Hook: "before", Output: long}},
		Report:   &control.Report{Problems: []control.Problem{{What: long}}, ProblemCount: 1, Lost: []control.Lost{{Path: long}}, LostCount: 1},
		Restored: &control.Restored{Skipped: []control.Left{{Path: long}}}, Drilled: &control.Drilled{Failed: []control.DrillFailure{{Path: long}}},
	}
	old := task // as a daemon kept it that knew of one value only
	old.ID, old.Start = "b-20261101-0001", day(1)
	must(t, db.put("task/"+old.ID, old))
	must(t, db.PutTask(task))
	must(t, db.PutTurn(Schedule{}, task))
	must(t, db.PutPlan(control.Policy{}, control.StateReady, Schedule{}, task))

	var kept json.RawMessage
	if must(t, db.get("task/"+task.ID, &kept)); strings.Contains(string(kept), long) {
		t.Errorf("what is read of every task has %d bytes", len(kept))
	}
	for _, want := range []control.Task{old, task} {
		if got, err := db.Task(want.ID); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if got, err := db.Tasks(); err != nil || !reflect.DeepEqual(got, []control.Task{old.Brief(), task.Brief()}) {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, db.ForgetTasks(day(3)))
	for _, prefix := range []string{"task/", "whole/"} {
		must(t, db.each(prefix, func(key string, _ []byte) error { t.Errorf("%s is left", key); return nil }))
	}
}

// Much more than memory tables hold, and many openings: nothing stalls though nothing is compacted meanwhile.
func TestManyWrites(t *testing.T) {
	db := open(t, t.TempDir())
	task := control.Task{ID: "b-20261101-0001", Start: day(1), Warnings: []control.Warning{{What: strings.Repeat("x", 200<<10)}}}
	for i := range uint64(60) {
		task.WarningCount = i
		must(t, db.PutTask(task))
		if i%20 == 19 {
			db = reopen(t, db)
		}
	}
	defer db.Close()
	if got, err := db.Task(task.ID); err != nil || got.WarningCount != 59 {
		t.Errorf("got %d, %v", got.WarningCount, err)
	}
}

// What says that something is gone is written like all else: to a mapped file, where a full disk is a signal.
func TestNothingIsDeletedOnAFullDisk(t *testing.T) {
	db := open(t, t.TempDir())
	defer db.Close()
	end := day(1)
	must(t, db.PutTask(control.Task{ID: "b-20261101-0001", Start: end, End: &end, Error: "replaced"}))
	must(t, db.PutMessage(control.Message{ID: "m-1"}))
	must(t, db.PutOwedHook(OwedHook{Task: "b-1"}))
	must(t, db.PutChannel(control.Channel{Name: "hook"}))
	dir := db.dir
	db.dir = "/proc" // has no room
	for what, err := range map[string]error{
		"task": db.ForgetTasks(day(2)), "message": db.ForgetMessage("m-1"), "hook": db.ForgetOwedHook(), "channel": db.ForgetChannel("hook"), "service": db.EndService(),
	} {
		if !errors.Is(err, ErrNoSpace) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, db.ForgetTasks(day(1))) // there is none to forget
	db.dir = dir
	if _, err := db.OwedHook(); err != nil || len(ids(t, db)) != 1 {
		t.Errorf("something is gone: %v", err)
	}
}

// A database of which badger cannot make the next file ends the process.
func TestNothingIsWrittenWithoutInodes(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("yester-test", dir, "tmpfs", 0, "size=64m,nr_inodes=100"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	db := open(t, filepath.Join(dir, "state"))
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.PutMessage(control.Message{ID: "m-1"}))
	full := filepath.Join(dir, "full")
	for i := range 60 {
		must(t, os.MkdirAll(filepath.Join(full, strconv.Itoa(i)), 0o700))
	}
	if err := db.PutMessage(control.Message{ID: "m-2"}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("written: %v", err)
	}
	must(t, os.RemoveAll(full))
	must(t, db.PutMessage(control.Message{ID: "m-2"}))
}

func TestOneProcessAtATime(t *testing.T) {
	db := open(t, t.TempDir())
	defer db.Close()
	if _, err := Open(db.dir, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
}

func ids(t *testing.T, db *DB) (ids []string) {
	t.Helper()
	tasks, err := db.Tasks()
	must(t, err)
	for _, task := range tasks {
		if task.Error != "replaced" {
			t.Errorf("%s is an old one", task.ID)
		}
		ids = append(ids, task.ID)
	}
	return ids
}

func day(d int) time.Time { return time.Date(2026, 11, d, 3, 17, 0, 0, time.UTC) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
