package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
	"yester/store"
)

// lose destroys packs of the vault and repairs it, after which it knows what is lost.
func (r *rig) lose(packs []string) {
	r.t.Helper()
	for _, name := range packs {
		must(r.t, r.mem.Damage(name, func(data []byte) []byte { clear(data); return data }))
	}
	done, err := r.vault.Repair(r.t.Context(), store.RepairOptions{Mark: snapshot.Marker(r.vault)})
	must(r.t, err)
	if len(done.Salvaged) != len(packs) || len(done.Lost) == 0 {
		r.t.Fatalf("of %d packs %d were lost, with %d chunks", len(packs), len(done.Salvaged), len(done.Lost))
	}
}

// packs lists the packs of the vault.
func (r *rig) packs() (names []string) {
	r.t.Helper()
	var in func(dir string)
	in = func(dir string) {
		list, err := r.mem.List(r.t.Context(), dir)
		must(r.t, err)
		for _, i := range list {
			name := strings.TrimPrefix(dir+"/"+i.Name, "/")
			switch {
			case i.Dir:
				in(name)
			case strings.Contains(name, "/packs/"):
				names = append(names, name)
			}
		}
	}
	in("")
	return names
}

// wantWhole wants nothing to be lost of any version.
func (r *rig) wantWhole() {
	r.t.Helper()
	c, err := r.vault.Check(r.t.Context(), store.CheckOptions{Mark: snapshot.Marker(r.vault), ReadData: 1})
	if err != nil || len(c.Problems) > 0 || len(c.Lost) > 0 {
		r.t.Errorf("%d chunks are lost, %v, %v", len(c.Lost), c.Problems, err)
	}
}

// The source has it all, untouched, and the folders that lead to it are whole.
func TestWhatTheVaultLostIsReadAgainThoughItDidNotChange(t *testing.T) {
	r, point := emptyRig(t)
	large := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(large)
	attribute := bytes.Repeat([]byte("v"), 2000)
	write(t, point+"/in/large", string(large))
	write(t, point+"/in/small", "small")
	write(t, point+"/in/one", "linked")
	write(t, point+"/in/folder/file", "1")
	must(t, os.Link(point+"/in/one", point+"/in/folder/two"))
	must(t, os.Symlink("small", point+"/in/link"))
	for _, name := range []string{"", "/in/small", "/in/folder", "/in/link"} {
		must(t, unix.Lsetxattr(point+name, "trusted.large", append(attribute, name...), 0))
	}
	first := r.run()
	if e := r.entries(first)["in/large"]; e.Depth == 0 {
		t.Fatal("the large file has no list pages")
	}
	lost := r.packs()
	write(t, point+"/in/folder/file", "2") // so that all folders have new pages
	second := r.run()
	before := r.entries(second) // and these are in the vault's cache
	r.lose(lost)

	r.o.Damaged = true
	third := r.run()
	if !bytes.Equal(third.Root, second.Root) || third.Added+third.Changed+third.Deleted != 0 {
		t.Errorf("the version is another: %+v", third)
	}
	compare(t, r, third, point)
	after := r.entries(third)
	for path, e := range before {
		if got := after[path]; !identical(&e, &got) {
			t.Errorf("%q is another: %+v, was %+v", path, got, e)
		}
	}
	must(t, r.vault.Delete(t.Context(), first.Key())) // whose folders are lost
	r.wantWhole()

	r.o.trace = func(op, path string) { t.Errorf("%s %q", op, path) }
	if v := r.run(); v.ReadBytes != 0 || v.NewBytes != 0 {
		t.Errorf("what is whole was read again: %+v", v)
	}
}

func TestFoldersThatTheVaultLostAreMadeAnewThoughTheyAreInItsCache(t *testing.T) {
	r, point := emptyRig(t)
	for i := range 600 {
		write(t, fmt.Sprintf("%s/in/%03d", point, i), "x")
	}
	want := r.entries(r.run())
	r.lose(r.packs())
	r.o.Damaged = true
	got := r.entries(r.run(".: the earlier version cannot be read here"))
	if len(got) != len(want) || !slices.Equal(got["in/599"].Content, want["in/599"].Content) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	r.wantWhole()
}
