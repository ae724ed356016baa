package daemon

import (
	"log/slog"
	"time"

	"yester/snapshot"
)

// A taskLog logs what happens to a task's partitions.
type taskLog struct {
	log  *slog.Logger
	task string
}

func (l taskLog) made(v *snapshot.Version, took time.Duration) {
	l.log.Info("made a version", "task", l.task, "partition", v.Partition.Name, "version", v.Name,
		"files", v.Totals.Files, "bytes", v.Totals.Bytes, "new_bytes", v.NewBytes, "stored_bytes", v.Stored,
		"warnings", v.WarningCount, "method", v.Method, "took", took.Round(time.Millisecond))
}

func (l taskLog) failed(partition string, err error) {
	l.log.Error("no version of a partition", "task", l.task, "partition", partition, "err", err)
}
