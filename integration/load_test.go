package integration

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
)

// A load works a daemon with backups of a partition, deletions and collections of versions, and scrubs, all at once.
type load struct {
	*daemon
	part *partition
	keep []version
	end  chan struct{}
	work sync.WaitGroup
}

// underLoad puts a daemon under load until stop. A file in the partition changes with each backup; only the versions in keep, and the newest
// ones, are not deleted. Every kind of work is done at least once.
func (d *daemon) underLoad(part *partition, keep ...version) (stop func()) {
	l := &load{daemon: d, part: part, keep: keep, end: make(chan struct{})}
	l.until(l.backsUp)
	l.until(func(int) bool { return l.does("vault", "check", "--read-data", "--wait") })
	l.until(func(int) bool { return l.does("vault", "gc", "--wait") })
	return func() {
		close(l.end)
		l.work.Wait()
	}
}

// until does something again and again, as long as it can be done.
func (l *load) until(do func(round int) bool) {
	l.work.Go(func() {
		for i := 0; do(i); i++ {
			select {
			case <-l.end:
				return
			default:
			}
		}
	})
}

// loadFile is the file that changes.
const loadFile = "changes under load"

func (l *load) backsUp(round int) bool {
	b := make([]byte, 2*mib)
	_, _ = newStream(100 + byte(round)).Read(b)
	if err := os.WriteFile(l.part.path(loadFile), b, 0o644); err != nil {
		l.t.Error(err)
		return false
	}
	return l.does("backup", "--wait") && l.forgets()
}

// forgets deletes all versions that need not stay. It is called on a goroutine that may not end the test.
func (l *load) forgets() bool {
	a := at(l.t, l.home, "versions", "--json")
	var all []version
	if err := json.Unmarshal([]byte(a.stdout), &all); err != nil {
		l.t.Errorf("versions: %v\n%s", err, a.stderr)
		return false
	}
	for i, v := range all {
		newest := i == len(all)-1 || all[i+1].Partition != v.Partition
		kept := slices.ContainsFunc(l.keep, func(k version) bool { return k.Partition == v.Partition && k.Version == v.Version })
		if !newest && !kept && !l.does("forget", v.Version, "--partition", v.Partition, "--yes") {
			return false
		}
	}
	return true
}

// does runs a command line that must succeed. There is one collection at a time, and to be told so is no failure.
func (l *load) does(args ...string) bool {
	a := at(l.t, l.home, args...)
	if a.code == done || a.code == failed && strings.Contains(a.stderr, "already running") {
		return true
	}
	l.t.Errorf("yester %s under load: exit code %d\n%s%s", strings.Join(args, " "), a.code, a.stdout, a.stderr)
	return false
}
