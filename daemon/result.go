package daemon

import (
	"time"

	"yester/control"
	"yester/snapshot"
)

// keep adds to the task what became of a target, and keeps it: a daemon that is killed in the next one has made this one's version all the same.
func (b *backup) keep(t target, v *snapshot.Version, err error, took time.Duration) {
	r := control.Result{Partition: t.partition.Name, Seconds: took.Seconds()}
	if err != nil {
		r.Error = explain(err).Message
	} else {
		r = result(v)
		r.Path, r.Seconds = b.d.browse(v.Key()), took.Seconds()
		b.log.made(v, took)
	}
	b.job.update(func(task *control.Task) {
		task.Results = append(task.Results, r)
		if v != nil && err == nil {
			warn(task, v.WarningCount, warnings(v))
		}
	})
	if err := b.d.db.PutTask(b.job.look(b.d.o.Now())); err != nil {
		b.d.log.Warn("keep what a backup made so far", "task", b.log.task, "err", err)
	}
}

// result is what the API says of a version that was made.
func result(v *snapshot.Version) control.Result {
	return control.Result{
		Partition: v.Partition.Name, Version: v.Name, Parent: v.Parent,
		Files: v.Totals.Files, Dirs: v.Totals.Dirs, Bytes: v.Totals.Bytes,
		ReadBytes: v.ReadBytes, NewBytes: v.NewBytes, Stored: v.Stored,
		Added: v.Added, Changed: v.Changed, Deleted: v.Deleted, Skipped: v.Skipped,
		Warnings: v.WarningCount, Consistency: v.Consistency, LiveBecause: v.LiveBecause, Method: v.Method, Because: v.Because,
	}
}

func warnings(v *snapshot.Version) []control.Warning {
	ws := make([]control.Warning, len(v.Warnings))
	for i, w := range v.Warnings {
		ws[i] = control.Warning{Partition: v.Partition.Name, Path: w.Path, What: w.What}
	}
	return ws
}
