package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A victim is a vault to be damaged. It lies in one place or in several, and its versions are known byte by byte.
type victim struct {
	rand    *rand.Rand
	home    string
	source  *partition
	places  []string
	made    int
	shown   []version
	states  []manifest
	content []map[string][]byte // of the versions, by the files' paths
}

// eachSpread runs a test on vaults in one place and in several.
func eachSpread(t *testing.T, f func(t *testing.T, v *victim)) {
	t.Parallel()
	need(t)
	for _, places := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("in %d places", places), func(t *testing.T) {
			t.Parallel()
			v := &victim{rand: newRand(t), home: newHome(t), source: newPartition(t, "ext4", 4*gib)}
			for i := range places {
				v.places = append(v.places, filepath.Join(filepath.Dir(v.home), fmt.Sprint("place-", i)))
			}
			f(t, v)
		})
	}
}

// start starts the daemon; the first time it makes the vault and two versions.
func (v *victim) start(t *testing.T) *daemon {
	t.Helper()
	d := start(t, v.home)
	d.expected = regexp.MustCompile(damageTold)
	if len(v.shown) > 0 {
		return d
	}
	args := []string{"vault", "init"}
	for _, p := range v.places {
		args = append(args, "--place", p)
	}
	d.run(done, args...)
	d.activate("max", v.source)
	small(t, v.source.path(), 200)
	for n := range 2 {
		for i := n; i < 12; i += 1 + n {
			must(t, os.WriteFile(v.source.path(fmt.Sprint("file-", i)), v.bytes(1+v.rand.IntN(2*mib)), 0o644))
		}
		v.backup(t, d)
	}
	return d
}

func (v *victim) bytes(n int) []byte {
	v.made++
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(v.made), byte(v.rand.Uint32())}).Read(b)
	return b
}

func (v *victim) backup(t *testing.T, d *daemon) {
	t.Helper()
	v.shown = append(v.shown, d.backup(v.source))
	v.states = append(v.states, read(t, v.source.dir))
	content := map[string][]byte{}
	must(t, filepath.WalkDir(v.source.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			content["/"+strings.TrimPrefix(path, v.source.dir+"/")], err = os.ReadFile(path)
		}
		return err
	}))
	v.content = append(v.content, content)
}

func (v *victim) whole(t *testing.T) {
	t.Helper()
	for i, s := range v.shown {
		same(t, "version "+s.Version, v.states[i], read(t, s.Path))
	}
}

// What parity and other places cover is read rightly through the mount, healed by a repair, and then found clean.
func TestDamageWithinParityIsReadAroundAndRepaired(t *testing.T) {
	eachSpread(t, func(t *testing.T, v *victim) {
		d, files := v.start(t), 0
		h := &harmer{t: t, rand: v.rand, places: v.places}
		for round := 0; more(t, round, 3) && !t.Failed(); round++ {
			restart := v.rand.IntN(2) == 0
			if restart { // it opens damaged
				d.stop()
			}
			files += h.harm(0.1 + 0.9*v.rand.Float64())
			if restart {
				d = v.start(t)
			}
			if v.rand.IntN(2) == 0 {
				v.whole(t)
			}
			d.run(done, "vault", "repair", "--wait")
			d.run(done, "vault", "check", "--read-data", "--wait")
			v.whole(t)
		}
		tally(t, files, "damaged files of vaults healed")
	})
}

// What nothing covers is named by version and path, just as it reads, and nothing else is lost: not even the rest of the same files. A backup of
// the same content heals it.
func TestDamageBeyondParityIsNamedAsItReads(t *testing.T) {
	eachSpread(t, func(t *testing.T, v *victim) {
		d := v.start(t)
		d.stop()
		v.destroy(t)
		d = v.start(t)
		d.expected = regexp.MustCompile(damageTold + `|damaged beyond repair|cannot be (read|healed|written anew)`)
		unread := v.unread(t)
		if len(unread) == 0 {
			t.Fatal("nothing is lost")
		}
		for _, args := range [][]string{{"vault", "check", "--read-data"}, {"vault", "repair"}} {
			v.named(t, d.run(warned, append(args, "--wait", "--json")...), unread)
		}
		if after := v.unread(t); fmt.Sprint(after) != fmt.Sprint(unread) {
			t.Errorf("after the repair what cannot be read is\n%v, before it was\n%v", after, unread)
		}
		tally(t, len(unread), "files that were damaged beyond parity, and named")

		v.backup(t, d)
		for name := range v.unread(t) {
			if strings.HasPrefix(name, v.shown[len(v.shown)-1].Version+"/") {
				t.Errorf("%s is not read again, though the source has it", name)
			}
		}
		v.putBack(t)
		v.backup(t, d)
		d.run(done, "vault", "check", "--read-data", "--wait")
		v.whole(t)
	})
}

// destroy damages the largest pack so that neither parity nor other places bring back all of it.
func (v *victim) destroy(t *testing.T) {
	t.Helper()
	names := (&harmer{t: t, places: v.places}).vaultFiles()
	largest, most := "", 0
	for _, name := range names {
		if b, err := os.ReadFile(v.places[0] + name); err == nil && len(b) > most && strings.Contains(name, "/packs/") {
			largest, most = name, len(b)
		}
	}
	part, at := v.rand.IntN(1000), -1
	for _, place := range v.places[:min(2, len(v.places))] {
		b, err := os.ReadFile(place + largest)
		must(t, err)
		p := layoutOf(b)
		if len(v.places) > 1 {
			p.body = p.rows
		}
		if at < 0 {
			at = p.meta + p.body/4 + part*p.body/3/1000
		}
		clear(b[at*block : (p.meta+p.body)*block]) // to the end, with what parity there is
		must(t, os.WriteFile(place+largest, b, 0o600))
	}
}

// A gap is what cannot be read of a file, in pages of the kernel.
type gap struct{ bytes, pieces int }

// unread reads every file of every version page by page and tells, by version and path, what cannot be read. All that can be must be right.
func (v *victim) unread(t *testing.T) map[string]gap {
	t.Helper()
	all := map[string]gap{}
	for i, s := range v.shown {
		for path, want := range v.content[i] {
			g, err := gaps(s.Path+path, want)
			if err != nil {
				t.Errorf("version %s, %s: %v", s.Version, path, err)
			}
			if g.bytes > 0 {
				all[s.Version+path] = g
			}
		}
	}
	return all
}

func gaps(path string, want []byte) (g gap, err error) {
	f, err := os.Open(path)
	if err != nil {
		return g, err
	}
	defer f.Close()
	b, broken := make([]byte, block), false
	for at := 0; at < len(want); at += block {
		piece := want[at:min(at+block, len(want))]
		n, err := f.ReadAt(b[:len(piece)], int64(at))
		switch {
		case errors.Is(err, syscall.EIO):
			g.bytes += len(piece)
			if !broken {
				g.pieces++
			}
			broken = true
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return g, fmt.Errorf("read at %d: %w", at, err)
		case string(b[:n]) != string(piece):
			return g, fmt.Errorf("other bytes at %d", at)
		}
		broken = false
	}
	return g, nil
}

// named checks that a task names just the files that cannot be read, and the bytes of them, but for the rest of the pages that they lie in.
func (v *victim) named(t *testing.T, a answer, unread map[string]gap) {
	t.Helper()
	var told struct {
		Kind   string `json:"kind"`
		Report struct {
			Lost []struct {
				Version string `json:"version"`
				Path    string `json:"path"`
				Bytes   int    `json:"bytes"`
			} `json:"lost"`
		} `json:"report"`
	}
	must(t, json.Unmarshal([]byte(a.stdout), &told))
	names := map[string]bool{}
	for _, l := range told.Report.Lost {
		name := l.Version + l.Path
		names[name] = true
		g, is := unread[name]
		switch {
		case !is:
			t.Errorf("a %s says that %s is lost, which can be read", told.Kind, name)
		case g.bytes < l.Bytes || g.bytes > l.Bytes+2*block*g.pieces:
			t.Errorf("a %s says that %d bytes of %s are lost, and %d cannot be read, in %d pieces", told.Kind, l.Bytes, name, g.bytes, g.pieces)
		}
	}
	for name := range unread {
		if !names[name] {
			t.Errorf("a %s does not name %s, which cannot be read", told.Kind, name)
		}
	}
}

// putBack makes the source hold all that any version has.
func (v *victim) putBack(t *testing.T) {
	t.Helper()
	for i, content := range v.content {
		for path, b := range content {
			must(t, os.MkdirAll(filepath.Dir(v.source.path(fmt.Sprint("again-", i), path)), 0o755))
			must(t, os.WriteFile(v.source.path(fmt.Sprint("again-", i), path), b, 0o644))
		}
	}
}
