package restore

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

const aTag = snapshot.CacheSignature + "\n"

func chattr(t *testing.T, paths ...string) {
	t.Helper()
	if out, err := exec.Command("chattr", append([]string{"+d"}, paths...)...).CombinedOutput(); err != nil {
		t.Skipf("flags cannot be set here: %s", out)
	}
}

// What backups leave out for a mark is not deleted, nor told of, because versions have it not.
func TestWhatIsLeftOutForAMarkIsNotDeleted(t *testing.T) {
	for _, c := range []struct {
		what           string
		caches, nodump bool
		named          []string
		kept, deleted  string // names
		failed         []string
	}{
		{"both", true, true, nil, "cache/own cache/sub/own was/own ofversion/own flagged/own flaggedfile plain/deep/flaggedfile new/cache/own", "plain/own", []string{"new"}},
		{
			"caches", true, false, nil,
			"cache/own cache/sub/own was/own ofversion/own new/cache/own", "plain/own flagged/own flaggedfile plain/deep/flaggedfile",
			[]string{"new"},
		},
		{
			"what is flagged", false, true, nil,
			"flagged/own flaggedfile plain/deep/flaggedfile", "cache/own cache/sub/own was/own ofversion/own plain/own new/cache/own",
			[]string{},
		},
		{"neither", false, false, nil, "", "cache/own cache/sub/own was/own ofversion/own plain/own flagged/own flaggedfile new/cache/own", nil},
		{
			"some by name", true, true,
			[]string{"/data/cache", "/data/flagged"},
			"was/own ofversion/own flaggedfile", "cache/own cache/sub/own flagged/own plain/own",
			[]string{"new"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := newRig(t)
			v := g.version(
				g.dir("cache", g.file("CACHEDIR.TAG", aTag), g.dir("sub", g.file("of old", "x"))), g.dir("was", g.file("CACHEDIR.TAG", "not one any more")),
				g.dir("ofversion", g.file("CACHEDIR.TAG", aTag)), g.dir("flagged", g.file("of old", "x")), g.dir("plain", g.dir("deep")),
			)
			dir := t.TempDir()
			for _, p := range []string{
				"cache/own", "cache/sub/own", "was/own", "ofversion/own", "flagged/own", "flaggedfile", "plain/own", "plain/deep/flaggedfile", "new/cache/own",
			} {
				write(t, filepath.Join(dir, p), "x")
			}
			for _, p := range []string{"cache", "was", "new/cache"} {
				write(t, filepath.Join(dir, p, "CACHEDIR.TAG"), aTag)
			}
			chattr(t, filepath.Join(dir, "flagged"), filepath.Join(dir, "flaggedfile"), filepath.Join(dir, "plain/deep/flaggedfile"))
			with := func(o *Options) { o.KeepCaches, o.KeepNodump, o.Named = c.caches, c.nodump, c.named }
			told := map[string]bool{}
			for _, l := range g.restore(v, dir, with, func(o *Options) { o.VerifyOnly, o.Others = true, true }).Differs.Items {
				told[l.Path] = true
			}
			before := listing(t, dir)
			dry := g.restore(v, dir, overwrite, with, func(o *Options) { o.Delete, o.DryRun = true, true })
			if listing(t, dir) != before {
				t.Error("a dry run changed something")
			}
			r := g.restore(v, dir, overwrite, with, func(o *Options) { o.Delete = true })
			if c.failed != nil {
				wantLeft(t, "failed", r.Failed, c.failed...)
			}
			if r.Deleted != dry.Deleted {
				t.Errorf("%d deleted, and %d in a dry run", r.Deleted, dry.Deleted)
			}
			there := func(p string) bool {
				_, err := os.Lstat(filepath.Join(dir, p))
				return err == nil
			}
			for _, p := range strings.Fields(c.kept) {
				if !there(p) || told[p] {
					t.Errorf("%s: it is there: %v, told of: %v", p, there(p), told[p])
				}
			}
			for _, p := range strings.Fields(c.deleted) {
				if there(p) || !told[p] && p != "new/cache/own" {
					t.Errorf("%s: it is there: %v, told of: %v", p, there(p), told[p])
				}
			}
			if !there("cache/sub/of old") || !there("ofversion/CACHEDIR.TAG") {
				t.Error("what the version has did not come back")
			}
		})
	}
}

// Not even for what the version has in its place.
func TestWhatIsLeftOutForAMarkIsNotReplaced(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("cache", g.file("folder", "f"), g.dir("file")), g.file("tagged", "f"), g.file("flagged", "f"), g.dir("flaggedfile"))
	dir := t.TempDir()
	own := []string{"cache/folder/own", "cache/file", "tagged/own", "flagged/own", "flaggedfile"}
	for _, p := range own {
		write(t, filepath.Join(dir, p), "own")
	}
	write(t, filepath.Join(dir, "cache/CACHEDIR.TAG"), aTag)
	write(t, filepath.Join(dir, "tagged/CACHEDIR.TAG"), aTag)
	chattr(t, filepath.Join(dir, "flagged"), filepath.Join(dir, "flaggedfile"))
	r := g.restore(v, dir, overwrite, func(o *Options) { o.Delete, o.KeepCaches, o.KeepNodump = true, true, true })
	wantLeft(t, "failed", r.Failed, "cache/folder", "cache/file", "tagged", "flagged", "flaggedfile")
	for _, p := range own {
		if content(t, filepath.Join(dir, p)) != "own" {
			t.Errorf("%s is another", p)
		}
	}
	var st unix.Statx_t
	must(t, unix.Statx(unix.AT_FDCWD, filepath.Join(dir, "flagged"), 0, unix.STATX_BASIC_STATS, &st))
	if !nodump(&st) {
		t.Error("the flag is gone")
	}
}

// In a folder that only leads to what the version was to have, nothing is surplus; nor in one that was left out but for what was named in it.
func TestFoldersThatOnlyLeadToWhatTheVersionHas(t *testing.T) {
	g := newRig(t)
	v := g.version(g.dir("home", g.dir("a", g.dir("docs", g.dir("sub"))), g.dir("b")), g.dir("srv", g.dir("www")))
	for _, c := range []struct {
		scope         snapshot.Scope
		kept, deleted string
	}{
		{snapshot.Scope{}, "", "x home/x home/a/x home/a/docs/x home/a/docs/sub/x home/b/x srv/x srv/www/x"},
		{snapshot.Scope{Paths: []string{"/data/home/a/docs", "/data/home/b"}}, "x home/x home/a/x srv/x srv/www/x", "home/a/docs/x home/a/docs/sub/x home/b/x"},
		{snapshot.Scope{Paths: []string{"/"}}, "", "x home/x home/a/x srv/x srv/www/x"},
		{snapshot.Scope{Paths: []string{"/data/ho"}}, "x home/x srv/x", ""},
		{snapshot.Scope{Paths: []string{"/data", "/data/srv/www"}, Never: []string{"/data/srv"}}, "srv/x", "x home/x home/a/docs/x srv/www/x"},
	} {
		dir := t.TempDir()
		g.restore(v, dir)
		for _, p := range strings.Fields(c.kept + " " + c.deleted) {
			write(t, filepath.Join(dir, p), "x")
		}
		v.Scope = &c.scope
		told := g.restore(v, dir, func(o *Options) { o.VerifyOnly, o.Others = true, true }).Differs
		g.restore(v, dir, deleting)
		there(t, dir, strings.Fields(c.kept), strings.Fields(c.deleted)...)
		for _, p := range strings.Fields(c.kept) {
			if slices.ContainsFunc(told.Items, func(l Left) bool { return l.Path == p }) {
				t.Errorf("%s is told of", p)
			}
		}
	}
}
