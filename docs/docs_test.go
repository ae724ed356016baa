// Package docs tests the pages of this folder: FORMAT.md is enough to write a reader, for here is one that was written from it alone, with
// no package of this repository, and it reads the golden vaults.
package docs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vaults = "../integration/testdata/vaults/"

// A manifest is what each version of a golden vault must show: its lines by the version's name.
func manifest(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(vaults + name)
	must(t, err)
	defer f.Close()
	all, version := map[string][]string{}, ""
	for s := bufio.NewScanner(f); s.Scan(); {
		switch line := s.Text(); {
		case strings.HasPrefix(line, `"`):
			all[version] = append(all[version], line)
		case line != "":
			version = line
		}
	}
	if len(all) == 0 {
		t.Fatal(name, "is empty")
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGoldenVaultIsReadByThePageAlone(t *testing.T) {
	secrets, err := os.ReadFile(vaults + "v1.keys")
	must(t, err)
	passphrase, recovery, _ := strings.Cut(strings.TrimSpace(string(secrets)), "\n")
	for kind, secret := range map[string]string{"open": "", "passphrase": passphrase, "recovery": recovery} {
		t.Run(kind, func(t *testing.T) {
			v := openVault(t, []string{vaults + "v1"}, kind, secret)
			v.shows(t, manifest(t, "v1.manifest"))
		})
	}
}

func TestGroupsAreReadByThePageAlone(t *testing.T) {
	v := openVault(t, []string{vaults + "v1-groups"}, "open", "")
	v.shows(t, manifest(t, "v1-groups.manifest"))
	seen := map[int]bool{}
	for _, p := range v.packs {
		for _, f := range p.table {
			seen[f.enc] = true
		}
	}
	if !seen[9] || !seen[10] {
		t.Errorf("the vault has chunks in the encodings %v only", seen)
	}
}

func TestGoldenVaultIsReadFromAnyTwoOfItsPlaces(t *testing.T) {
	for lost := range 3 {
		t.Run(fmt.Sprintf("without %d", lost), func(t *testing.T) {
			places := []string{vaults + "v1-spread/a", vaults + "v1-spread/b", vaults + "v1-spread/c"}
			v := openVault(t, append(places[:lost:lost], places[lost+1:]...), "open", "")
			v.shows(t, manifest(t, "v1-spread.manifest"))
		})
	}
}

// shows compares every version of the vault with what it must show.
func (v *vault) shows(t *testing.T, want map[string][]string) {
	t.Helper()
	for version, lines := range want {
		record := v.record(t, version)
		got := v.describe(t, record)
		if a, b := strings.Join(lines, "\n"), strings.Join(got, "\n"); a != b {
			t.Errorf("version %s should show\n%s\nand shows\n%s", version, a, b)
		}
	}
}

// Any two blocks of a row are computed from the others, as the page says.
func TestLostBlocksAreComputedByThePageAlone(t *testing.T) {
	paths, err := filepath.Glob(vaults + "v1/instances/*/packs/*/*")
	must(t, err)
	for _, path := range paths {
		file, err := os.ReadFile(path)
		must(t, err)
		p, err := parsePack(file)
		must(t, err)
		whole := bytes.Clone(p.shards)
		rows := len(p.shards) / blockSize / (p.k + p.m)
		for row := range rows {
			for _, lost := range [][]int{{0}, {0, 1}, {0, p.k}, {p.k, p.k + 1}} {
				for _, shard := range lost {
					clear(p.shards[(shard*rows+row)*blockSize:][:blockSize])
				}
				p.solve(row, lost)
				if !bytes.Equal(p.shards, whole) {
					t.Fatalf("%s: shards %v of row %d are not what they were", filepath.Base(path), lost, row)
				}
			}
		}
	}
}
