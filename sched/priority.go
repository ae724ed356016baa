// Package sched says when a job runs and how gently: clock times, priorities and rate limits. It knows jobs, not backups.
package sched

import (
	"fmt"
	"strings"
)

// An IOClass is a scheduling class of the kernel for disk access, as ioprio_set numbers them.
type IOClass int

// The classes that are used.
const (
	BestEffort IOClass = 2
	Idle       IOClass = 3
)

// A Priority says how gently a job works.
type Priority struct {
	Name           string
	Threads        int     // for the job's heavy work; 0: as many as there are processors
	BytesPerSecond float64 // read from the source at most; 0: no limit
	Nice           int     // 0 … 19
	IOClass        IOClass
	IOLevel        int    // within BestEffort, 0 first … 7 last
	Compression    string // LZ4 or Zstd
	Memory         int64  // bytes the whole daemon should stay under
}

// The compressions: one is faster than disks, the other smaller.
const (
	LZ4  = "lz4"
	Zstd = "zstd"
)

// The priorities.
var (
	Low = Priority{
		Name: "low", Threads: 1, BytesPerSecond: 10e6, Nice: 19, IOClass: Idle,
		Compression: Zstd, Memory: 128e6,
	}
	High = Priority{
		Name: "high", Threads: 2, BytesPerSecond: 30e6, Nice: 10, IOClass: BestEffort, IOLevel: 7,
		Compression: Zstd, Memory: 256e6,
	}
	Max = Priority{
		Name: "max", IOClass: BestEffort, IOLevel: 4,
		Compression: LZ4, Memory: 400e6,
	}
)

// priorities lists them from gentle to not.
var priorities = []Priority{Low, High, Max}

// ParsePriority finds a priority by name.
func ParsePriority(name string) (Priority, error) {
	names := make([]string, len(priorities))
	for i, p := range priorities {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Priority{}, fmt.Errorf("no priority is called %q; there are %s", name, strings.Join(names, ", "))
}
