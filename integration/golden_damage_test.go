package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A recipe is a case of a .damage file: what is done to a copy of a golden vault, and what must come of it. The files say what their
// words mean.
type recipe struct {
	name  string
	steps [][]string
	come  string                     // "heals", "mends", "lacks", "loses", "gone"
	lost  map[string]map[string]bool // for "loses" and "gone": by version, the paths
}

// recipes reads a .damage file.
func recipes(t testing.TB, name string) (list []*recipe) {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenVaults, name+".damage"))
	must(t, err)
	defer f.Close()
	named := map[string]string{}
	s := bufio.NewScanner(f)
	for s.Scan() {
		if strings.HasPrefix(s.Text(), "#") || s.Text() == "" {
			continue
		}
		words := wordsOf(t, s.Text())
		switch words[0] {
		case "file":
			named[words[1]] = words[2]
			continue
		case "case":
			list = append(list, &recipe{name: strings.Join(words[1:], " "), lost: map[string]map[string]bool{}})
			continue
		}
		r := list[len(list)-1]
		switch words[0] {
		case "heals", "mends", "lacks":
			r.come = words[0]
		case "loses", "gone":
			r.come = words[0]
			r.lost[words[1]] = map[string]bool{}
			for _, p := range words[2:] {
				r.lost[words[1]][p] = true
			}
		default:
			for i, w := range words {
				if file, ok := named[w]; ok {
					words[i] = file
				}
			}
			r.steps = append(r.steps, words)
		}
	}
	must(t, s.Err())
	return list
}

// wordsOf splits a line at its spaces, but for those in quotes.
func wordsOf(t testing.TB, line string) (words []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word := strings.Fields(line)[0]
			words, line = append(words, word), line[len(word):]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		must(t, err)
		word, err := strconv.Unquote(quoted)
		must(t, err)
		words, line = append(words, word), line[len(quoted):]
	}
	return words
}

const block = 4 * kib

// do does a step to the vault.
func (g *goldenCopy) do(step []string) {
	g.t.Helper()
	var nums []int
	var files []string
	for _, w := range step[1:] {
		if n, err := strconv.Atoi(w); err == nil {
			nums = append(nums, n)
		} else {
			files = append(files, filepath.Join(g.vault, w))
		}
	}
	switch step[0] {
	case "remove":
		for _, f := range files {
			_, err := os.Stat(f)
			must(g.t, errors.Join(err, os.RemoveAll(f)))
		}
		return
	case "swap":
		aside := files[0] + ".aside"
		must(g.t, errors.Join(os.Rename(files[0], aside), os.Rename(files[1], files[0]), os.Rename(aside, files[1])))
		return
	}
	b, err := os.ReadFile(files[0])
	must(g.t, err)
	switch step[0] {
	case "flip":
		for _, at := range nums {
			b[at] ^= 0xff
		}
	case "zero":
		n := append(nums, 1)[1]
		clear(b[nums[0]*block : (nums[0]+n)*block])
	case "exchange":
		one, two := b[nums[0]*block:][:block], b[nums[1]*block:][:block]
		first := slices.Clone(one)
		copy(one, two)
		copy(two, first)
	case "behead":
		b = b[nums[0]:]
	case "dock":
		b = b[:len(b)-nums[0]]
	default:
		g.t.Fatalf("there is no step %q", step)
	}
	must(g.t, os.WriteFile(files[0], b, 0o600))
}

// A maintained is a task of the vault, as far as these tests look at it.
type maintained struct {
	State  string `json:"state"`
	Report struct {
		Problems []struct {
			Version string `json:"version"`
			What    string `json:"what"`
			Heals   bool   `json:"heals"`
		} `json:"problems"`
		Lost []struct {
			Version string `json:"version"`
			Path    string `json:"path"`
		} `json:"lost"`
	} `json:"report"`
}

// maintain runs a task of the vault to its end.
func (d *daemon) maintain(args ...string) (m maintained) {
	d.t.Helper()
	a := at(d.t, d.home, append([]string{"vault"}, append(args, "--wait", "--json")...)...)
	if err := json.Unmarshal([]byte(a.stdout), &m); err != nil || a.code != done && a.code != warned {
		d.t.Fatalf("vault %s: exit code %d, %v\n%s%s", args, a.code, err, a.stdout, a.stderr)
	}
	return m
}

// heals tells whether all that was found heals.
func (m *maintained) heals() bool {
	for _, p := range m.Report.Problems {
		if !p.Heals {
			return false
		}
	}
	return len(m.Report.Lost) == 0
}

// Damage that parity covers is read around, found, and repaired to the byte; of damage beyond it exactly what is lost is named, and nothing
// else is.
func TestGoldenDamage(t *testing.T) {
	t.Parallel()
	need(t)
	disk := newPartition(t, "ext4", gib)
	for _, name := range []string{"v1", "v1-groups", "v1-spread"} {
		for i, r := range recipes(t, name) {
			t.Run(name+"/"+r.name, func(t *testing.T) {
				g := copyGolden(t, name, disk.path(name+"-"+strconv.Itoa(i)))
				whole := g.files(g.vault)
				for _, step := range r.steps {
					g.do(step)
				}
				g.comes(r, whole)
			})
		}
	}
}

// comes opens the damaged vault and tells whether what must come of it does. Whole are the files of the vault before.
func (g *goldenCopy) comes(r *recipe, whole map[string]string) {
	g.t.Helper()
	named := g.expand(r)
	d := start(g.t, g.home)
	d.expected = damageLogged
	asItWas := func() bool { return maps.Equal(whole, g.files(g.vault)) }
	check := func(when string) {
		c := d.maintain("check", "--read-data")
		switch r.come {
		case "gone", "mends":
		case "heals":
			if c.State != "partial" && when == "first" || !c.heals() {
				g.t.Errorf("the %s check: %s, %+v", when, c.State, c.Report)
			}
		default:
			c.names(g.t, when+" check", named)
		}
	}
	check("first")
	g.shows("when damaged", r.lost)
	m := d.maintain("repair")
	switch r.come {
	case "heals":
		if m.State != "completed" || len(m.Report.Problems) > 0 {
			g.t.Errorf("repair: %s, %+v", m.State, m.Report)
		}
		d.wait("the vault to be what it was", asItWas)
	case "mends":
		d.wait("the vault to be what it was", asItWas)
	case "lacks", "loses":
		m.names(g.t, "repair", named)
	}
	g.shows("when repaired", r.lost)
	check("last")
	if r.come == "loses" && r.swaps() { // the bytes are all there
		for _, step := range r.steps {
			g.do(step)
		}
		d.maintain("rebuild")
		if m := d.maintain("check", "--read-data"); m.State != "completed" || !asItWas() {
			g.t.Errorf("when the names are back: %s, %+v", m.State, m.Report)
		}
		g.shows("when the names are back", nil)
	}
}

// swaps tells whether all that is done is to give files each other's names.
func (r *recipe) swaps() bool {
	return !slices.ContainsFunc(r.steps, func(step []string) bool { return step[0] != "swap" })
}

// damageLogged matches what a daemon may log of damage.
var damageLogged = regexp.MustCompile("damage|a place (fails|is missing|is not used)|a (pack|file) cannot be (used|read)|read a version's record|cannot be healed|" +
	"description of an instance cannot be read|a version's record cannot be read")

// expand has lost tell all paths below those of the recipe that end in a slash, and returns the paths as check and repair name them. A version
// that is gone is not looked at.
func (g *goldenCopy) expand(r *recipe) (named map[string]map[string]bool) {
	named = map[string]map[string]bool{}
	for version, paths := range r.lost {
		if r.come == "gone" {
			delete(g.want, version)
			continue
		}
		named[version] = map[string]bool{}
		for path := range maps.Clone(paths) {
			named[version][strings.TrimSuffix(path, "/")] = true
			for _, l := range g.want[version] {
				if p := pathOf(l); path == "/" || strings.HasSuffix(path, "/") && strings.HasPrefix(p+"/", path) {
					paths[p] = true
				}
			}
		}
	}
	return named
}

// names fails the test unless a task found just these paths lost, and something that it cannot make good. Of a version whose record
// cannot be read that is all that is told.
func (m *maintained) names(t testing.TB, what string, lost map[string]map[string]bool) {
	t.Helper()
	got, told := map[string]map[string]bool{}, false
	add := func(version, path string) {
		if got[version] == nil {
			got[version] = map[string]bool{}
		}
		got[version][strings.TrimPrefix(path, "/")] = true
	}
	for _, l := range m.Report.Lost {
		add(l.Version, l.Path)
	}
	for _, p := range m.Report.Problems {
		told = told || !p.Heals
		if p.Version != "" && strings.Contains(p.What, "record") {
			add(p.Version, "/")
		}
	}
	if m.State != "partial" || !told || !maps.EqualFunc(lost, got, maps.Equal) {
		t.Errorf("%s: %s, lost %v, want %v; %+v", what, m.State, got, lost, m.Report.Problems)
	}
}
