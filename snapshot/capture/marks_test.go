package capture

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

const aTag = snapshot.CacheSignature + "\n# a cache\n"

// notATag is as long as one.
var notATag = strings.Replace(aTag, "8a477f", "000000", 1)

func tag(t testing.TB, dir string) { write(t, dir+"/CACHEDIR.TAG", aTag) }

func wantPaths(t *testing.T, r *rig, v *snapshot.Version, what string, want ...string) {
	t.Helper()
	if got := r.paths(v, r.o.Partition.MountPoint); !slices.Equal(got, sorted(want)) {
		t.Errorf("%s: there are %q, want %q", what, got, want)
	}
}

func TestCachesAreLeftOutButForTheirTags(t *testing.T) {
	r, dir := emptyRig(t)
	for _, p := range []string{"cache/a", "cache/sub/b", "plain/cache/c", "junk/d", "short/e", "link/f", "folder/CACHEDIR.TAG/g"} {
		write(t, dir+"/"+p, "x")
	}
	tag(t, dir+"/cache")
	tag(t, dir+"/plain/cache")
	write(t, dir+"/junk/CACHEDIR.TAG", notATag)
	write(t, dir+"/short/CACHEDIR.TAG", snapshot.CacheSignature[:42])
	must(t, os.Symlink("../cache/CACHEDIR.TAG", dir+"/link/CACHEDIR.TAG"))
	others := []string{
		"plain/", "plain/cache/", "plain/cache/CACHEDIR.TAG", "junk/", "junk/CACHEDIR.TAG", "junk/d", "short/", "short/CACHEDIR.TAG", "short/e",
		"link/", "link/CACHEDIR.TAG", "link/f", "folder/", "folder/CACHEDIR.TAG/", "folder/CACHEDIR.TAG/g", "cache/", "cache/CACHEDIR.TAG",
	}
	all := append([]string{"cache/a", "cache/sub/", "cache/sub/b", "plain/cache/c"}, others...)
	wantPaths(t, r, r.run(), "not asked for", all...)
	r.o.ExcludeCaches = true
	v := r.run()
	wantPaths(t, r, v, "asked for", others...)
	if v.Deleted != 4 || v.Changed != 0 || v.Added != 0 || v.Skipped != 0 {
		t.Errorf("%d deleted, %d changed, %d added, %d skipped", v.Deleted, v.Changed, v.Added, v.Skipped)
	}
	r.o.Includes = []string{dir + "/cache/sub", dir + "/plain/cache"}
	wantPaths(t, r, r.run(), "included by name",
		"cache/", "cache/sub/", "cache/sub/b", "plain/", "plain/cache/", "plain/cache/CACHEDIR.TAG", "plain/cache/c")
	r.o.Includes = []string{dir, dir + "/cache/sub"}
	tag(t, dir)
	tag(t, dir+"/cache/sub")
	wantPaths(t, r, r.run(), "the root and a folder in a cache included by name",
		slices.Concat(others, []string{"CACHEDIR.TAG", "cache/sub/", "cache/sub/b", "cache/sub/CACHEDIR.TAG"})...)
	r.o.Includes = nil
	wantPaths(t, r, r.run(), "the root is tagged", "CACHEDIR.TAG")
	r.o.Excludes = []string{"*.TAG"}
	wantPaths(t, r, r.run(), "the tag is excluded")
	r.o.ExcludeCaches, r.o.Excludes = false, nil
	wantPaths(t, r, r.run(), "not asked for any more", append(all, "CACHEDIR.TAG", "cache/sub/CACHEDIR.TAG")...)
}

func TestWhatIsNotToBeDumpedIsLeftOut(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			dir := partition(t, fstype)
			_ = os.Remove(dir + "/lost+found")
			r := newRig(t, dir)
			for _, p := range []string{"a/file", "a/other", "b/c/file", "b/d/file"} {
				write(t, dir+"/"+p, "x")
			}
			must(t, os.Link(dir+"/a/file", dir+"/b/d/link"))
			command(t, "chattr", "+d", dir+"/a/file", dir+"/b/c")
			all := []string{"a/", "a/file", "a/other", "b/", "b/c/", "b/c/file", "b/d/", "b/d/file", "b/d/link"}
			wantPaths(t, r, r.run(), "not asked for", all...)
			r.o.ExcludeNodump = true
			wantPaths(t, r, r.run(), "asked for", "a/", "a/other", "b/", "b/d/", "b/d/file")
			r.o.Includes = []string{dir + "/a/file", dir + "/b/c"}
			wantPaths(t, r, r.run(), "included by name", "a/", "a/file", "b/", "b/c/", "b/c/file")
			write(t, dir+"/b/c/d/e", "x")
			command(t, "chattr", "-R", "-d", dir+"/b/c/d")
			r.o.Includes = []string{dir, dir + "/b/c/d"}
			wantPaths(t, r, r.run(), "below one that is flagged", "a/", "a/other", "b/", "b/c/", "b/c/d/", "b/c/d/e", "b/d/", "b/d/file")
			r.o.Includes = nil
			command(t, "chattr", "+d", dir)
			wantPaths(t, r, r.run(), "the root is flagged")
			command(t, "chattr", "-R", "-d", dir)
			wantPaths(t, r, r.run(), "nothing is flagged any more", append(all, "b/c/d/", "b/c/d/e")...)
		})
	}
}

func TestJournalTellsWhatATagChanges(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.ExcludeCaches = true
		for _, p := range []string{"a/t/1", "a/t/deep/er/2", "a/t/other/3", "b/c/4", "b/5", "x/plain"} {
			write(t, point+"/"+p, "1")
		}
		r.next("walk")
		has := func(v *snapshot.Version, want bool, paths ...string) {
			t.Helper()
			all := r.entries(v)
			for _, p := range paths {
				if _, there := all[p]; there != want {
					t.Errorf("%s: %v", p, there)
				}
			}
		}
		look := func(want bool, paths ...string) {
			t.Helper()
			v, _ := r.look()
			has(v, want, paths...)
		}
		inT := []string{"a/t/1", "a/t/deep/er/2", "a/t/other/3"}

		tag(t, point+"/a/t")
		write(t, point+"/a/t/deep/er/2", "22")
		look(false, inT...)
		write(t, point+"/a/t/deep/er/2", "333")
		write(t, point+"/a/t/new/file", "1")
		must(t, os.Rename(point+"/a/t/other", point+"/a/t/deep/other"))
		must(t, os.Rename(point+"/a/t/deep/other", point+"/a/t/other"))
		look(false, inT...)
		must(t, os.Remove(point+"/a/t/CACHEDIR.TAG"))
		look(true, inT...)
		write(t, point+"/a/t/CACHEDIR.TAG", notATag)
		look(true, inT...)
		tag(t, point+"/a/t")
		look(false, inT...)
		write(t, point+"/a/t/CACHEDIR.TAG", notATag)
		look(true, inT...)

		// By another name of the file.
		must(t, os.Link(point+"/a/t/CACHEDIR.TAG", point+"/x/linked"))
		look(true, inT...)
		write(t, point+"/x/linked", aTag)
		look(false, inT...)
		write(t, point+"/x/linked", notATag)
		look(true, inT...)
		must(t, os.Remove(point+"/a/t/CACHEDIR.TAG"))

		// By renaming the file, and the folder and those about it.
		tag(t, point+"/x")
		look(true, inT...)
		must(t, os.Rename(point+"/x/CACHEDIR.TAG", point+"/a/t/CACHEDIR.TAG"))
		look(true, "x/plain")
		must(t, os.Rename(point+"/a/t", point+"/b/t"))
		look(false, "b/t/1")
		must(t, os.Rename(point+"/b", point+"/a/b"))
		write(t, point+"/a/b/t/deep/er/2", "4444")
		look(false, "a/b/t/1")
		must(t, os.Rename(point+"/a/b/t", point+"/t"))
		must(t, os.Remove(point+"/t/CACHEDIR.TAG"))
		look(true, "t/1", "t/deep/er/2", "a/b/c/4")
		must(t, os.Rename(point+"/a/b/c", point+"/t/deep/c"))
		tag(t, point+"/t/deep")
		look(false, "t/deep/c", "t/deep/er")
		write(t, point+"/t/deep/c/4", "22")
		must(t, os.Rename(point+"/t/deep/er", point+"/er"))
		look(true, "er/2")
		must(t, os.Rename(point+"/er", point+"/t/deep/er"))
		write(t, point+"/t/deep/er/2", "55555")
		look(true, "t/1")
		must(t, os.Rename(point+"/t/deep/c", point+"/c"))
		must(t, os.Rename(point+"/t", point+"/x/t"))
		look(true, "c/4", "x/t/1")
		must(t, unix.Renameat2(unix.AT_FDCWD, point+"/x/t/deep", unix.AT_FDCWD, point+"/c", unix.RENAME_EXCHANGE))
		look(true, "x/t/deep/4", "c/CACHEDIR.TAG")
		must(t, os.RemoveAll(point+"/c"))
		write(t, point+"/c/6", "1")
		tag(t, point+"/c")
		look(false, "c/6")

		// Where names are not told.
		r.vague = true
		must(t, os.Remove(point+"/c/CACHEDIR.TAG"))
		write(t, point+"/c/deep/7", "1")
		look(true, "c/6", "c/deep/7")
		tag(t, point+"/c")
		look(false, "c/6", "c/deep/7")
		write(t, point+"/c/deep/7", "22")
		look(false, "c/6", "c/deep/7")
		r.vague = false
		if _, opened := r.look(); len(opened) > 0 {
			t.Errorf("nothing changed, and %q were opened", opened)
		}
	})
}

func TestJournalTellsOfTagsAboveWhatIsIncluded(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.ExcludeCaches = true
		r.o.Includes = []string{point + "/t", point + "/t/a/b/c", point + "/t/n"}
		for _, p := range []string{"t/1", "t/a/2", "t/a/z/2", "t/a/b/3", "t/a/b/y/3", "t/a/b/c/4", "t/a/b/c/d/4", "t/n/5", "t/n/m/5"} {
			write(t, point+"/"+p, "1")
		}
		r.next("walk")
		for _, vague := range []bool{false, true} {
			r.vague = vague
			for _, dir := range []string{"t/a", "t", "t/n", "t/a/b/c", "t/n/m"} {
				tag(t, point+"/"+dir)
				r.look()
				write(t, point+"/t/a/b/c/d/4", dir)
				write(t, point+"/t/a/z/2", dir)
				r.look()
				must(t, os.Rename(point+"/t/a/z", point+"/t/n/z"))
				must(t, os.Rename(point+"/t/a/b/y", point+"/t/a/b/c/y"))
				r.look()
				must(t, os.Rename(point+"/t/n/z", point+"/t/a/z"))
				must(t, os.Rename(point+"/t/a/b/c/y", point+"/t/a/b/y"))
				must(t, os.Remove(point+"/"+dir+"/CACHEDIR.TAG"))
				r.look()
			}
		}
		if all := r.paths(r.last, point); len(all) != 18 {
			t.Errorf("%q", all)
		}
	})
}

// Nothing is known of what lies in such a folder, and yet what changes in a vault there is none of the version's.
func TestFolderThatIsTaggedAboveWhatIsIncludedMayHoldAVault(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.ExcludeCaches = true
		r.o.Includes = []string{point + "/t", point + "/t/a/b/c"}
		vault := point + "/t/a/b/vault"
		r.o.Never = []string{vault}
		for _, p := range []string{"t/1", "t/a/2", "t/a/b/3", "t/a/b/c/4", "t/a/b/vault/packs/1"} {
			write(t, point+"/"+p, "1")
		}
		r.next("walk")
		tries := 0
		r.afterAll = func() { tries++ }
		for _, change := range []func(){
			func() { tag(t, point+"/t/a") },
			func() { must(t, os.Remove(point+"/t/a/CACHEDIR.TAG")) },
		} {
			change()
			write(t, vault+"/packs/1", r.last.Name)
			write(t, vault+"/packs/"+r.last.Name, "1")
			tries = 0
			r.look()
			if tries != 1 {
				t.Errorf("it was tried %d times", tries)
			}
		}
		if r.o.Partition.FSType != "btrfs" {
			return
		}
		// And so it is with a subvolume that is made a read-only one.
		volume := point + "/t/a/b/volume"
		command(t, "btrfs", "-q", "subvolume", "create", volume)
		tag(t, point+"/t/a")
		r.look()
		must(t, os.Remove(point+"/t/a/CACHEDIR.TAG"))
		write(t, volume+"/folder/file", "1")
		command(t, "btrfs", "property", "set", volume, "ro", "true")
		r.look()
	})
}

// Of a file that the version has not, nobody knows which names it has.
func TestTagThatIsExcludedIsLookedAtEachTime(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.ExcludeCaches, r.o.ExcludeNodump, r.o.Excludes = true, true, []string{"CACHEDIR.TAG"}
		write(t, point+"/x/linked", notATag)
		write(t, point+"/t/deep/file", "1")
		write(t, point+"/u/deep/file", "1")
		must(t, os.Link(point+"/x/linked", point+"/t/CACHEDIR.TAG"))
		for _, dir := range []string{"t", "t", "moved"} {
			if dir == "moved" {
				must(t, os.Rename(point+"/t", point+"/moved"))
			}
			for _, tagged := range []bool{false, true} {
				write(t, point+"/x/linked", map[bool]string{true: aTag, false: notATag}[tagged])
				v := r.tryNext()
				r.asWalk(v)
				if _, there := r.entries(v)[dir+"/deep/file"]; there == tagged {
					t.Errorf("in %s: %v", dir, there)
				}
			}
		}
	})
}

func TestTagIsFoundThatIsWrittenThroughAMapping(t *testing.T) {
	forEachJournalled(t, func(t *testing.T, r *journalRig, point string) {
		r.o.ExcludeCaches = true
		write(t, point+"/t/deep/file", "1")
		write(t, point+"/t/CACHEDIR.TAG", notATag)
		f, err := os.OpenFile(point+"/t/CACHEDIR.TAG", os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		m, err := unix.Mmap(int(f.Fd()), 0, len(aTag), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		defer unix.Munmap(m)
		r.next("walk")
		for _, content := range []string{aTag, notATag, aTag} {
			copy(m, content)
			r.look()
		}
	})
}

func TestChangedFlagsLeaveOutAndTakeUpAgain(t *testing.T) {
	u := counting(t)
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			r := newJournalRig(t, point, u)
			r.o.ExcludeNodump = true
			for _, p := range []string{"a/b/c/1", "a/b/2", "d/e/3"} {
				write(t, point+"/"+p, "1")
			}
			look := func(want bool, paths ...string) {
				t.Helper()
				v := r.tryNext() // others on the machine may change flags too
				r.asWalk(v)
				all := r.entries(v)
				for _, p := range paths {
					if _, there := all[p]; there != want {
						t.Errorf("%s: %v", p, there)
					}
				}
			}
			look(true, "a/b/c/1")
			command(t, "chattr", "+d", point+"/a/b")
			look(false, "a/b")
			write(t, point+"/a/b/c/1", "22")
			write(t, point+"/a/b/new", "1")
			look(false, "a/b")
			must(t, os.Rename(point+"/a/b/c", point+"/d/c"))
			must(t, os.Rename(point+"/a/b/new", point+"/d/new")) // has inherited the flag on some file systems
			look(true, "d/c/1")
			must(t, os.Rename(point+"/d/e", point+"/a/b/e"))
			write(t, point+"/a/b/e/3", "22")
			must(t, os.Rename(point+"/a", point+"/d/a"))
			look(false, "d/e", "a", "d/a/b")
			command(t, "chattr", "-d", point+"/d/a/b")
			look(true, "d/a/b/2", "d/a/b/e/3")
		})
	}
}

func TestAuditMakesNothingOfTags(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	r.o.ExcludeCaches = true
	write(t, point+"/a/t/deep/file", "1")
	write(t, point+"/a/u/deep/file", "1")
	write(t, point+"/z/file", "1")
	audit := func(what string) {
		t.Helper()
		r.o.Audit = true
		if v := r.next("walk"); v.Audit == nil || v.Audit.Missed != 0 {
			t.Errorf("%s: %+v, %q", what, v.Audit, v.Because)
		}
		r.o.Audit = false
	}
	r.next("walk")
	tag(t, point+"/a/t")
	audit("tagged")
	write(t, point+"/a/t/deep/file", "22")
	audit("changed below")
	must(t, os.Remove(point+"/a/t/CACHEDIR.TAG"))
	audit("not tagged any more")
	write(t, point+"/a/1", "1")
	r.o.trace = func(op, path string) {
		if op == "open" && path == "a/1" {
			tag(t, point+"/a/u")
		}
	}
	audit("tagged meanwhile")
	r.o.trace = nil
	r.look()
}

func TestOtherMarksMakeAWalk(t *testing.T) {
	point := partition(t, "ext4")
	r := newJournalRig(t, point, nil)
	write(t, point+"/t/file", "1")
	tag(t, point+"/t")
	write(t, point+"/flagged/file", "1")
	command(t, "chattr", "+d", point+"/flagged")
	r.next("walk")
	r.look()
	for _, set := range []bool{true, false} {
		for _, option := range []*bool{&r.o.ExcludeCaches, &r.o.ExcludeNodump} {
			*option = set
			v := r.next("walk")
			if v.Because == "" {
				t.Error("no reason")
			}
			r.asWalk(v)
			r.look()
		}
	}
}
