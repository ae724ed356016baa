package fs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"yester/store"
)

func TestInstanceFoldersHaveDistinctSafeNames(t *testing.T) {
	long := strings.Repeat("h", 300)
	tests := []struct {
		name  string
		hosts map[string]string
		want  map[string]string
	}{
		{"as they are", map[string]string{"a1": "web1", "b2": "db"}, map[string]string{"a1": "web1", "b2": "db"}},
		{
			"two of one name",
			map[string]string{"0123456789": "web", "9876543210": "web", "c3": "db"},
			map[string]string{"0123456789": "web~01234567", "9876543210": "web~98765432", "c3": "db"},
		},
		{"unsafe", map[string]string{"a": "x/y\n", "b": "..", "c": ".h"}, map[string]string{"a": "x_y_", "b": "_.", "c": "_h"}},
		{"none", map[string]string{"0123456789": ""}, map[string]string{"0123456789": "~01234567"}},
		{"long", map[string]string{"a": long}, map[string]string{"a": long[:246]}},
		{
			"same start of the id",
			map[string]string{"0123456789": "w", "01234567ff": "w"},
			map[string]string{"0123456789": "0123456789", "01234567ff": "01234567ff"},
		},
	}
	for _, tt := range tests {
		if got := folderNames(tt.hosts); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
		}
	}
}

func key(instance, partition string, day int) store.VersionKey {
	return store.VersionKey{Instance: instance, Partition: partition, Version: fmt.Sprintf("2026-11-%02dT031705Z", day)}
}

func names(f *folders, dir nodeID, offset uint64) (all []string) {
	f.list(dir, offset, func(c child) bool { all = append(all, c.name); return true })
	return all
}

func TestListingUnderWayNeitherSkipsNorRepeats(t *testing.T) {
	var f folders
	host := map[string]string{"i": "web"}
	f.update(host, []store.VersionKey{key("i", "root", 1), key("i", "root", 2), key("i", "root", 3)}, time.Now())
	dir := kindNode(partitionKind, 1)
	var seen []string
	var offset uint64
	f.list(dir, firstOffset, func(c child) bool { // latest, 1 and 2
		seen, offset = append(seen, c.name), c.next
		return len(seen) < 3
	})
	// 1, which was seen, goes; 4 and an older one come.
	f.update(host, []store.VersionKey{key("i", "root", 2), key("i", "root", 3), key("i", "root", 0), key("i", "root", 4)}, time.Now())
	seen = append(seen, names(&f, dir, offset)...)
	want := []string{latest, "2026-11-01T031705Z", "2026-11-02T031705Z", "2026-11-03T031705Z", "2026-11-00T031705Z", "2026-11-04T031705Z"}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %q, not %q", seen, want)
	}
}

func TestFoldersAreShownWhileTheyHaveVersions(t *testing.T) {
	var f folders
	host := map[string]string{"i": "web", "j": "idle"}
	now := time.Now()
	f.update(host, []store.VersionKey{key("i", "root", 1), key("i", "home", 2)}, now)
	if got := names(&f, rootNode, firstOffset); !slices.Equal(got, []string{"web"}) {
		t.Errorf("at the top: %q", got)
	}
	in, _ := f.lookup(rootNode, "web")
	home, _ := f.lookup(in, "home")
	changes, _ := f.update(host, []store.VersionKey{key("i", "root", 1)}, now)
	if got := names(&f, in, firstOffset); !slices.Equal(got, []string{"root"}) {
		t.Errorf("partitions: %q", got)
	}
	for _, want := range []change{{home, key("i", "home", 2).Version, 0}, {home, latest, kindNode(latestKind, home.ord())}, {in, "home", 0}} {
		if !slices.Contains(changes, want) {
			t.Errorf("the kernel is not told of %v: %v", want, changes)
		}
	}
	var a fuse.Attr
	if !f.attr(home, &a) || a.Nlink != 2 || len(names(&f, home, firstOffset)) != 0 {
		t.Error("who sits in a folder that went does not see an empty one")
	}
	f.update(host, []store.VersionKey{key("i", "root", 1), key("i", "home", 3)}, now)
	if again, ok := f.lookup(in, "home"); !ok || again != home {
		t.Error("a folder that came back is another one")
	}
	f.update(host, nil, now)
	if got := names(&f, rootNode, firstOffset); len(got) != 0 {
		t.Errorf("at the top, without versions: %q", got)
	}
}

func TestSecondInstanceOfANameRenamesTheFirst(t *testing.T) {
	var f folders
	f.update(map[string]string{"aaaaaaaaaa": "web"}, []store.VersionKey{key("aaaaaaaaaa", "root", 1)}, time.Now())
	changes, _ := f.update(map[string]string{"aaaaaaaaaa": "web", "bbbbbbbbbb": "web"},
		[]store.VersionKey{key("aaaaaaaaaa", "root", 1), key("bbbbbbbbbb", "root", 1)}, time.Now())
	if got := names(&f, rootNode, firstOffset); !slices.Equal(got, []string{"web~aaaaaaaa", "web~bbbbbbbb"}) {
		t.Errorf("at the top: %q", got)
	}
	if !slices.Contains(changes, change{rootNode, "web", 0}) {
		t.Error("the kernel is not told that the old name went")
	}
}

func TestDeletedVersionGivesItsNodeToNoOther(t *testing.T) {
	var f folders
	host := map[string]string{"i": "web"}
	f.update(host, []store.VersionKey{key("i", "root", 1)}, time.Now())
	dir := kindNode(partitionKind, 1)
	first, _ := f.lookup(dir, key("i", "root", 1).Version)
	f.update(host, nil, time.Now())
	if !f.gone(f.version(first.ord())) {
		t.Error("the deleted version is not gone")
	}
	f.update(host, []store.VersionKey{key("i", "root", 1)}, time.Now())
	if second, ok := f.lookup(dir, key("i", "root", 1).Version); !ok || second == first {
		t.Error("a version that was made anew has the old node")
	}
}

func TestFolderTimesFollowTheVersions(t *testing.T) {
	var f folders
	host := map[string]string{"i": "web"}
	f.update(host, []store.VersionKey{key("i", "root", 1), key("i", "root", 2)}, time.Unix(1, 0))
	newest := time.Date(2026, 11, 2, 3, 17, 5, 0, time.UTC)
	for _, id := range []nodeID{rootNode, kindNode(instanceKind, 1), kindNode(partitionKind, 1), kindNode(latestKind, 1)} {
		var a fuse.Attr
		if !f.attr(id, &a) || !a.ModTime().Equal(newest) {
			t.Errorf("node %x: %v", id, a.ModTime())
		}
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	f.update(host, []store.VersionKey{key("i", "root", 2)}, now)
	var a fuse.Attr
	if f.attr(kindNode(partitionKind, 1), &a); !a.ModTime().Equal(now) {
		t.Error("a deletion does not change the folder's time")
	}
}
