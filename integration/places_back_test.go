package integration

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// works takes a version of something new, and reads it.
func (d *daemon) works(p *partition, when string) {
	d.t.Helper()
	must(d.t, os.WriteFile(p.path("new"), []byte(when), 0o644))
	v := d.backup(p)
	same(d.t, "the version "+when, read(d.t, p.dir, socket), read(d.t, v.Path))
}

// complains tells whether an open message is about a place.
func (d *daemon) complains(place string) bool {
	d.t.Helper()
	return slices.ContainsFunc(d.messages(false), func(m message) bool { return m.Kind == "place" && strings.Contains(m.Text, place) })
}

// allWell checks that the places are well and nobody complains, and reads every byte.
func (d *daemon) allWell() {
	d.t.Helper()
	if got := d.placeStates(); !slices.Equal(got, []string{"well", "well", "well"}) {
		d.t.Errorf("the places are %q", got)
	}
	if got := d.messages(false); len(got) != 0 {
		d.t.Errorf("open messages: %+v", got)
	}
	d.run(done, "vault", "check", "--read-data", "--wait")
}

// detach takes a partition away from under whoever uses it.
func (p *partition) detach(t testing.TB) { command(t, "umount", "-l", p.dir) }

// attach mounts it again.
func (p *partition) attach(t testing.TB) {
	t.Helper()
	loop := strings.TrimSpace(command(t, "losetup", "--direct-io=on", "--show", "-f", p.dir+".img"))
	defer exec.Command("losetup", "-d", loop).Run() // takes place at the unmount
	command(t, "mount", "-o", mountOptions[p.fs], loop, p.dir)
}

// fill leaves n bytes of a partition free.
func (p *partition) fill(t testing.TB, n uint64) {
	t.Helper()
	var st syscall.Statfs_t
	must(t, syscall.Statfs(p.dir, &st))
	command(t, "fallocate", "-l", fmt.Sprint(st.Bavail*uint64(st.Bsize)-n), p.path("filler"))
}

// One daemon goes through all of it: each place in turn is out of order in another way and comes back, and in the end one is gone for good, and replaced.
func TestPlacesGoAndComeBackUnderOneDaemon(t *testing.T) {
	t.Parallel()
	need(t)
	d, disks, places := threePlaces(t)
	p := newPartition(t, "ext4", gib)
	hostileTree(t, p, 0.001)
	d.activate("max", p)
	d.works(p, "with all places")
	for i, trouble := range []struct {
		name, state string
		begin, end  func(*partition)
	}{
		{"unmounted", "missing", func(p *partition) { p.detach(t) }, func(p *partition) { p.attach(t) }},
		{"full", "failed", func(p *partition) { p.fill(t, 100*mib) }, func(p *partition) { must(t, os.Remove(p.path("filler"))) }},
		{
			"read-only", "failed", func(p *partition) { command(t, "mount", "-o", "remount,ro", p.dir) },
			func(p *partition) { command(t, "mount", "-o", "remount,rw", p.dir) },
		},
	} {
		trouble.begin(disks[i])
		d.works(p, "with one "+trouble.name)
		if got := d.placeStates(); got[i] != trouble.state {
			t.Errorf("%s: the places are %q", trouble.name, got)
		}
		d.wait("the message", func() bool { return d.complains(places[i]) })
		trouble.end(disks[i])
		d.run(done, "vault", "repair", "--wait") // else it is tried within a minute
		d.wait("the message to be over", func() bool { return !d.complains(places[i]) })
		d.allWell()
	}

	must(t, os.RemoveAll(places[1]))
	d.works(p, "with one deleted")
	d.wait("the message", func() bool { return d.complains(places[1]) })
	d.run(done, "vault", "place", "replace", places[1], disks[1].path("other"), "--wait")
	d.allWell()
	d.works(p, "with another place")
}
