package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A report of a task, as far as tests look at it.
type report struct {
	State  string `json:"state"`
	Report struct {
		Freed    int64 `json:"freed_bytes"`
		Problems []struct {
			Pack  string `json:"pack"`
			Heals bool   `json:"heals"`
		} `json:"problems"`
	} `json:"report"`
}

// damageLargest damages the largest pack of a vault from off on, and returns its id.
func damageLargest(t testing.TB, vault string, off int64, n int) string {
	t.Helper()
	var largest string
	var most int64
	must(t, filepath.WalkDir(vault, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.Contains(path, "/packs/") {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > most {
			largest, most = path, info.Size()
		}
		return err
	}))
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	must(t, err)
	for i := range b {
		b[i] ^= 0xff
	}
	_, err = f.WriteAt(b, off)
	must(t, err)
	return filepath.Base(largest)
}

func TestDamagedPackIsFoundAndHealed(t *testing.T) {
	t.Parallel()
	need(t)
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	large(t, p, "large", 7)
	d := start(t, home)
	d.expected = regexp.MustCompile(`the vault is damaged|a damaged file was written anew|read around damage`)
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir, socket)
	d.run(done, "vault", "check", "--read-data", "--wait")

	pack := damageLargest(t, filepath.Join(home, "vault"), 1<<20, 64<<10)
	a := d.run(warned, "vault", "check", "--read-data", "--wait")
	if !strings.Contains(a.stdout, "pack "+pack) || !strings.Contains(a.stdout, "a repair heals it") || !strings.Contains(a.stdout, "1 problem") {
		t.Errorf("got %s%s", a.stdout, a.stderr)
	}
	if a := d.run(done, "vault", "repair", "--wait"); !strings.Contains(a.stdout, "healed 1 pack,") || !strings.Contains(a.stdout, "nothing is lost") {
		t.Errorf("got %s%s", a.stdout, a.stderr)
	}
	d.run(done, "vault", "check", "--read-data", "--wait")
	same(t, "the version after the repair", want, read(t, v.Path))
}

func TestForgottenVersionGivesItsSpaceBack(t *testing.T) {
	t.Parallel()
	need(t)
	home := newHome(t)
	vault := filepath.Join(home, "vault")
	p := newPartition(t, "ext4", gib)
	large(t, p, "large", 7)
	d := start(t, home)
	d.activate("max", p)
	first := d.backup(p)
	must(t, os.RemoveAll(p.path("large")))
	must(t, os.WriteFile(p.path("small"), []byte("stays"), 0o644))
	second := d.backup(p)
	want := read(t, p.dir, socket)
	before := bytesBelow(t, vault)

	if a := d.run(wrongUse, "forget", first.Version); !strings.Contains(a.stderr, "--yes") {
		t.Errorf("without a terminal: %s", a.stderr)
	}
	d.run(failed, "forget", "2000-01-01T000000Z", "--yes")
	if a := d.run(done, "forget", first.Version, "--partition", p.name, "--yes", "--wait"); !strings.Contains(a.stdout, "Freed ") {
		t.Errorf("got %s%s", a.stdout, a.stderr)
	}
	if after := bytesBelow(t, vault); after > before/4 {
		t.Errorf("%d bytes of %d stay", after, before)
	}
	if vs := d.versions(p); len(vs) != 1 || vs[0].Version != second.Version {
		t.Errorf("got %+v", vs)
	}
	var gc report
	d.json(&gc, "vault", "gc", "--wait")
	if gc.State != "completed" {
		t.Errorf("got %+v", gc)
	}
	same(t, "the version that stays", want, read(t, second.Path))
}
