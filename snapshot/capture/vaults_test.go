package capture

import (
	"os"
	"slices"
	"strings"
	"testing"

	"yester/store"
	"yester/store/place"
)

// What is new in a vault that lies in what is backed up would be new in the version each day, and where that goes into another vault which is backed up into the first, without an end.
func TestOtherVaultsAreLeftOut(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.Excludes = []string{"lost+found"}
		vault, json := point+"/a/vault", point+"/a/vault/vault.json"
		must(t, os.MkdirAll(vault, 0o755))
		in, err := place.NewDir(vault)
		must(t, err)
		must(t, store.Init(t.Context(), store.Options{Places: []place.Place{in}, Reserve: 1}))
		must(t, os.RemoveAll(vault+"/.tmp"))
		must(t, os.RemoveAll(vault+"/keys"))
		content, err := os.ReadFile(json)
		must(t, err)
		for _, p := range []string{"a/vault/keys/key", "a/vault/instances/x/packs/pack", "a/vault/deeper/instances/file", "app/instances/file", "copy/keys/key"} {
			write(t, point+"/"+p, "1")
		}
		write(t, point+"/copy/vault.json", string(content))
		write(t, point+"/app/vault.json", `{"yester":"vault","crc32c":"00000000","body":{}}`) // damaged, or another's

		others := []string{
			"a/", "a/vault/", "a/vault/vault.json", "a/vault/vault.json.copy", "a/vault/keys/", "a/vault/keys/key", "a/vault/deeper/", "a/vault/deeper/instances/", "a/vault/deeper/instances/file",
			"app/", "app/instances/", "app/instances/file", "app/vault.json", "copy/", "copy/keys/", "copy/keys/key", "copy/vault.json",
		}
		its := []string{"a/vault/instances/", "a/vault/instances/x/", "a/vault/instances/x/packs/", "a/vault/instances/x/packs/pack"}
		all := slices.Concat(others, its)
		look := func(what string, want ...string) {
			t.Helper()
			isNews := r.last == nil || slices.Contains(r.paths(r.last, point), its[0]) || !slices.Contains(r.paths(r.last, point), "a/vault/vault.json")
			v := r.tryNext()
			if v.Method == "journal" {
				r.asWalk(v)
			} else if v.Parent != "" {
				t.Errorf("%s: by walk because %q", what, v.Because)
			}
			wantPaths(t, r.rig, v, what, want...)
			isNews = isNews && !slices.Contains(want, its[0])
			if told := len(v.Warnings) == 1 && v.Warnings[0].Path == "a/vault/instances"; told != isNews || len(v.Warnings) > 1 {
				t.Errorf("%s: warnings are %v", what, v.Warnings)
			}
		}
		look("a vault", others...)
		for _, how := range []string{"journal", "walk"} {
			r.o.Audit = how == "walk"
			write(t, point+"/"+how+"/vault.json", string(content))
			write(t, point+"/"+how+"/instances/x/packs/pack", "1")
			if v := r.tryNext(); v.Method != how || len(v.Warnings) != 1 || v.Warnings[0].Path != how+"/instances" {
				t.Errorf("a vault that comes later: by %s, warnings are %v", v.Method, v.Warnings)
			}
			r.next(how) // without a word
			must(t, os.RemoveAll(point+"/"+how))
		}
		r.o.Audit = false
		look("they are gone", others...)
		write(t, vault+"/instances/x/packs/pack", "22")
		write(t, vault+"/keys/key", "22")
		look("something is stored in it", others...)
		must(t, os.Lchown(json, 65534, 0))
		look("somebody else put it there", all...)
		must(t, os.Lchown(json, 0, 0))
		must(t, os.Rename(json, point+"/vault.json"))
		look("it is no vault any more", append(without(all, "a/vault/vault.json"), "vault.json")...)
		must(t, os.Rename(point+"/vault.json", json))
		write(t, vault+"/instances/x/packs/pack", "333")
		look("it is one again", others...)
		must(t, os.Rename(point+"/a", point+"/b"))
		must(t, os.Rename(point+"/b/vault/instances", point+"/b/instances"))
		must(t, os.Rename(point+"/b", point+"/a"))
		look("what it has stored is elsewhere", slices.Concat(others, []string{"a/instances/", "a/instances/x/", "a/instances/x/packs/", "a/instances/x/packs/pack"})...)
		must(t, os.Rename(point+"/a/instances", vault+"/instances"))
		must(t, os.Link(json, point+"/linked"))
		write(t, point+"/linked", "{}")
		look("it is spoilt by another name", append(all, "linked")...)
		must(t, os.WriteFile(json, content, 0o600))
		look("it is made well", slices.Concat(others, []string{"linked"})...)

		r.o.Audit = true
		must(t, os.Rename(json, point+"/vault.json"))
		if v := r.tryNext(); v.Audit == nil || v.Audit.Missed != 0 {
			t.Errorf("the audit says %+v", v.Audit)
		}
		must(t, os.Rename(point+"/vault.json", json))
		r.o.Audit = false
		for _, in := range []string{"/a/vault", "/a/vault/instances/x"} {
			want := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return !strings.HasPrefix(p, "a/") })
			if in != "/a/vault" {
				want = []string{"a/", "a/vault/", "a/vault/instances/", "a/vault/instances/x/", "a/vault/instances/x/packs/", "a/vault/instances/x/packs/pack"}
			}
			r.o.Includes = []string{point + in}
			wantPaths(t, r.rig, r.next("walk"), "included by name", want...)
			write(t, vault+"/instances/x/packs/pack", "4444")
			look("and by journal", want...)
		}
	})
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
}
