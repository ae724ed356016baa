package integration

import (
	"os"
	"path/filepath"
	"testing"
)

// A version shows its own state for good: the next one exactly the new state, this one exactly the old.
func TestEveryVersionKeepsItsOwnState(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p := newPartition(t, fs, 16*gib)
			hostileTree(t, p, 0.1*scale(t))
			c := &changer{t: t, dir: p.dir, rand: newRand(t)}
			d := start(t, home)
			d.activate("max", p)

			first := d.backup(p)
			before := read(t, p.dir, socket)
			t.Logf("%d of %d names changed", c.change(before, 0.01), len(before))
			second := d.backup(p)
			after := read(t, p.dir, socket)
			if len(differences(before, after)) == 0 {
				t.Fatal("the changes changed nothing")
			}
			same(t, "the second version", after, read(t, second.Path))
			same(t, "the first version, after the second", before, read(t, first.Path))
			if second.NewBytes > first.NewBytes/10 {
				t.Errorf("the second version brought %d new bytes, the first %d", second.NewBytes, first.NewBytes)
			}

			latest := filepath.Join(filepath.Dir(second.Path), "latest")
			if target, err := os.Readlink(latest); err != nil || target != second.Version {
				t.Errorf("latest leads to %q (%v), want %s", target, err, second.Version)
			}
			d.stop()
			start(t, home)
			same(t, "the first version, after the daemon was started anew", before, read(t, first.Path))
		})
	}
}

// A partition in which nothing changed costs next to nothing.
func TestUnchangedPartitionAddsUnder64KiB(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p := newPartition(t, fs, 16*gib)
			hostileTree(t, p, 0.1*scale(t))
			d := start(t, home)
			d.activate("max", p)
			d.backup(p)
			want := read(t, p.dir, socket)
			before := bytesBelow(t, filepath.Join(home, "vault"))
			v := d.backup(p)
			added := bytesBelow(t, filepath.Join(home, "vault")) - before
			t.Logf("the vault grew by %d bytes", added)
			if added >= 64*kib {
				t.Errorf("an unchanged partition added %d bytes to the vault", added)
			}
			same(t, "the version of the unchanged partition", want, read(t, v.Path))
		})
	}
}
