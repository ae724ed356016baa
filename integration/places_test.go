package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A message, as far as tests look at it.
type message struct {
	Kind     string `json:"kind"`
	Text     string `json:"text"`
	Resolved string `json:"resolved"`
}

func (d *daemon) messages(all bool) (list []message) {
	d.t.Helper()
	args := []string{"messages"}
	if all {
		args = append(args, "--all")
	}
	d.json(&list, args...)
	return list
}

// placeStates tells how each place of the vault does.
func (d *daemon) placeStates() (states []string) {
	d.t.Helper()
	var places []struct {
		State string `json:"state"`
	}
	d.json(&places, "vault", "place", "list")
	for _, p := range places {
		states = append(states, p.State)
	}
	return states
}

// threePlaces makes a vault on three partitions, one of which may be lost, and serves it.
func threePlaces(t *testing.T) (d *daemon, disks []*partition, places []string) {
	t.Helper()
	home := newHome(t)
	args := []string{"vault", "init"}
	for range 3 {
		disk := newPartition(t, "ext4", gib)
		disks, places = append(disks, disk), append(places, disk.path("vault"))
		args = append(args, "--place", disk.path("vault"))
	}
	d = start(t, home)
	d.expected = regexp.MustCompile(`a place (fails|is missing)|a place is not used|not all mended|making up|the vault is damaged|read around damage|a damaged file was written anew`)
	d.run(done, args...)
	return d, disks, places
}

// Whatever befalls one of three places, backups and browsing go on, somebody is told, and what the place missed is made up when it is back.
func TestPlaceMayFailInAnyWay(t *testing.T) {
	t.Parallel()
	need(t)
	fill := func(t *testing.T, disk *partition) {
		_ = exec.Command("dd", "if=/dev/zero", "of="+disk.path("filler"), "bs=1M").Run()
	}
	for name, h := range map[string]struct{ lose, bringBack func(*testing.T, *partition) }{
		"unmounted": {
			func(t *testing.T, disk *partition) {
				empty := t.TempDir()
				command(t, "mount", "--bind", empty, disk.dir) // as after an unmount, another folder is there
			},
			func(t *testing.T, disk *partition) { command(t, "umount", disk.dir) },
		},
		"full": {fill, func(t *testing.T, disk *partition) { must(t, os.Remove(disk.path("filler"))) }},
		"read-only": {
			func(t *testing.T, disk *partition) { command(t, "mount", "-o", "remount,ro", disk.dir) },
			func(t *testing.T, disk *partition) { command(t, "mount", "-o", "remount,rw", disk.dir) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, disks, places := threePlaces(t)
			p := newPartition(t, "ext4", gib)
			large(t, p, "first", 3)
			d.activate("max", p)
			first := d.backup(p)
			states := []manifest{read(t, p.dir)}

			h.lose(t, disks[1])
			must(t, os.WriteFile(p.path("second"), []byte(strings.Repeat("second", 9999)), 0o644))
			second := d.backup(p)
			states = append(states, read(t, p.dir))
			for i, v := range []version{first, second} {
				same(t, fmt.Sprintf("version %d without a place", i+1), states[i], read(t, v.Path))
			}
			d.wait("a message about the place", func() bool {
				return slices.ContainsFunc(d.messages(false), func(m message) bool { return m.Kind == "place" && strings.Contains(m.Text, places[1]) })
			})
			if a := d.run(done, "status"); !strings.Contains(a.stdout, "without its place "+places[1]) {
				t.Errorf("status says nothing of the place:\n%s", a.stdout)
			}
			h.bringBack(t, disks[1])
			home := d.home
			d.stop()
			d2 := start(t, home) // or one would wait for a minute until it looks again
			d2.expected = d.expected
			d2.wait("the place to be brought up to date", func() bool {
				return !slices.ContainsFunc(d2.placeStates(), func(s string) bool { return s != "well" })
			})
			d2.wait("the message to be over", func() bool { return len(d2.messages(false)) == 0 })
			d2.run(done, "vault", "check", "--read-data", "--wait")
			for i, v := range d2.versions(p) {
				same(t, fmt.Sprintf("version %d in the end", i+1), states[i], read(t, v.Path))
			}
		})
	}
}

// A lost disk is replaced while the vault is in use; cancelled or killed in the midst of it, it goes on.
func TestLostPlaceIsReplaced(t *testing.T) {
	t.Parallel()
	need(t)
	d, _, places := threePlaces(t)
	home := d.home
	p := newPartition(t, "ext4", gib)
	large(t, p, "large", 4)
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir)
	must(t, os.RemoveAll(places[2]))
	by := newPartition(t, "ext4", gib).path("vault")

	var begun task
	d.json(&begun, "vault", "place", "replace", places[2], by)
	if a := d.run(done, "tasks", "cancel", begun.ID); !strings.Contains(a.stdout, begun.ID) {
		t.Errorf("got %s", a.stdout)
	}
	same(t, "the version after the cancel", want, read(t, v.Path))
	d.json(&begun, "vault", "place", "replace", places[2], by)
	d.kill()

	d2 := start(t, home)
	d2.expected = regexp.MustCompile(d.expected.String() + "|cut off")
	a := d2.run(done, "vault", "place", "replace", places[2], by, "--wait")
	if !strings.Contains(a.stdout, by) || strings.Contains(a.stdout, places[2]) {
		t.Errorf("got %s%s", a.stdout, a.stderr)
	}
	same(t, "the version with the new place", want, read(t, v.Path))
	d2.run(done, "vault", "check", "--read-data", "--wait")

	// Now another one may be lost.
	must(t, os.RemoveAll(places[0]))
	d2.stop()
	d3 := start(t, home)
	d3.expected = d2.expected
	same(t, "the version without another place", want, read(t, v.Path))
	var info struct {
		Places []struct{ Name, State string }
	}
	d3.json(&info, "vault", "info")
	if len(info.Places) != 3 || info.Places[0].State != "missing" || info.Places[2].Name != by {
		t.Errorf("got %+v", info)
	}
}

// A vault in one place gets a second one, and then lives without the first.
func TestSecondPlaceIsAdded(t *testing.T) {
	t.Parallel()
	need(t)
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	large(t, p, "large", 5)
	d := start(t, home)
	d.activate("max", p)
	v := d.backup(p)
	d.expected = regexp.MustCompile("task failed")
	want := read(t, p.dir)
	second := newPartition(t, "ext4", gib).path("vault")

	precious := p.path("precious")
	must(t, os.Mkdir(precious, 0o700))
	must(t, os.WriteFile(filepath.Join(precious, "file"), nil, 0o600))
	explained(t, at(t, home, "vault", "place", "add", precious, "--wait"), failed, "not empty")
	explained(t, at(t, home, "vault", "place", "replace", "/no/such", second, "--wait"), failed, "/no/such")
	must(t, os.RemoveAll(precious))
	d.run(done, "vault", "place", "add", second, "--wait")
	d.run(done, "vault", "check", "--read-data", "--wait")
	d.stop()
	must(t, os.RemoveAll(filepath.Join(home, "vault")))
	d = start(t, home)
	d.expected = regexp.MustCompile("a place")
	same(t, "the version from the second place", want, read(t, v.Path))
}

// Damage that is met in reading is healed on the disk, logged, counted, and told.
func TestDamageMetInReadingIsHealedAndTold(t *testing.T) {
	t.Parallel()
	need(t)
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	large(t, p, "large", 6)
	d := start(t, home)
	d.expected = regexp.MustCompile(`a damaged file was written anew|read around damage`)
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir)
	pack := damageLargest(t, filepath.Join(home, "vault"), 1<<20, 64<<10)
	same(t, "the version that is read around damage", want, read(t, v.Path))
	d.wait("the message", func() bool {
		return slices.ContainsFunc(d.messages(true), func(m message) bool {
			return m.Kind == "damage" && strings.Contains(m.Text, pack) && strings.Contains(m.Text, "healed") && m.Resolved != ""
		})
	})
	d.run(done, "vault", "check", "--read-data", "--wait")
	b, err := os.ReadFile(d.log)
	must(t, err)
	line := regexp.MustCompile(`read around damage.* place=\S+ pack=` + pack + ` offset=\d+`)
	if !line.Match(b) {
		t.Errorf("the log does not say where the damage was:\n%s", tail(b, 2000))
	}
	var info struct {
		Healed int `json:"healed_blocks"`
	}
	must(t, json.Unmarshal([]byte(d.run(done, "vault", "info", "--json").stdout), &info))
	if info.Healed == 0 {
		t.Error("no block is counted as healed")
	}
}
