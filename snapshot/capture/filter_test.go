package capture

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yester/snapshot"
)

// taken walks a path down a filter and tells whether it is captured.
func taken(f *filter, path string) bool {
	at, rel := f.root, ""
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		next, in := f.enter(at, []byte(rel), []byte(name))
		if !in {
			return false
		}
		at, rel = next, strings.Trim(rel+"/"+name, "/")
	}
	return true
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		what      string
		point     string
		o         Options
		in, notIn string // paths below the mount point
	}{
		{"everything", "/data", Options{}, "a a/b boot usr/bin lost+found", ""},
		{
			"system folders of the root partition", "/",
			Options{},
			"etc usr usr/lib usr/binary home/bin a/proc lib32x",
			"bin usr/bin usr/bin/ls sbin boot boot/grub proc/1 sys srv/www lib lib32 lib64 selinux run/x lost+found",
		},
		{"system folders asked for", "/", Options{System: true}, "bin usr/bin/ls boot/grub srv/www", ""},
		{"a system folder included", "/", Options{Includes: []string{"/boot/grub"}}, "boot boot/grub boot/grub/x", "boot/efi etc usr"},
		{"all included, system folders not", "/", Options{Includes: []string{"/"}}, "etc home/u", "boot srv/www"},
		{"all, and one system folder", "/", Options{Includes: []string{"/", "/srv/www"}}, "etc srv srv/www/x", "boot srv/ftp"},
		{"includes and the way to them", "/", Options{Includes: []string{"/etc/ssl", "/home/u/"}}, "etc etc/ssl etc/ssl/x/y home home/u home/u/x", "etc/passwd var home/v"},
		{"includes on a partition below", "/var", Options{Includes: []string{"/var/lib/a", "/etc"}}, "lib lib/a lib/a/b", "lib/b log etc"},
		{"an include above the partition", "/var/lib", Options{Includes: []string{"/var"}}, "a a/b", ""},
		{"includes of other partitions only", "/var", Options{Includes: []string{"/etc", "/variable"}}, "", "lib iable"},
		{"a name anywhere", "/", Options{Excludes: []string{"*.tmp", "node_modules"}}, "a.tmpx home/x", "a.tmp home/u/b.tmp home/node_modules home/node_modules/x"},
		{"a tail anywhere", "/", Options{Excludes: []string{"u/.cache"}}, "home/.cache home/u home/xu/.cache", "home/u/.cache u/.cache a/b/u/.cache/x"},
		{"an absolute path", "/", Options{Excludes: []string{"/home/*/.cache", "/opt"}}, "x/home/u/.cache home/u/v/.cache a/opt", "home/u/.cache opt opt/x"},
		{"an absolute path on a partition", "/home", Options{Excludes: []string{"/home/*/.cache", "/u"}}, "u .cache", "u/.cache v/.cache/x"},
		{"stars over folders", "/", Options{Excludes: []string{"/var/**/*.log", "/tmp/**"}}, "var var/a.logx a.log", "var/a.log var/b/c/d.log tmp/x"},
		{"alternatives", "/", Options{Excludes: []string{"*.{iso,img}", "core.[0-9]"}}, "iso core.x", "a.iso b/c.img core.7"},
		{"a slash at the end", "/", Options{Excludes: []string{"target/"}}, "targets", "a/target a/target/x"},
		{
			"an include in an excluded folder", "/",
			Options{Includes: []string{"/home", "/home/u/keep"}, Excludes: []string{"/home/u"}},
			"home/v home/u home/u/keep home/u/keep/x", "home/u/other",
		},
		{"an include that is excluded by name", "/", Options{Includes: []string{"/home/a.tmp"}, Excludes: []string{"*.tmp"}}, "home/a.tmp home/a.tmp/x", "home/a.tmp/b.tmp"},
		{"bytes that are no text", "/", Options{Excludes: []string{"?.bad"}}, "\xff\xff.bad", "\xff.bad"},
		{"one byte that is no text", "/", Options{Excludes: []string{"\xff.bad"}}, "\xfe.bad \ufffd.bad", "\xff.bad \xfe/\xff.bad"},
		{"a folder that is no text", "/", Options{Excludes: []string{"/\xff/*"}}, "\xff \xfe/x \ufffd/x", "\xff/x \xff/\xfe"},
		{"the rune for what is no text", "/", Options{Excludes: []string{"\ufffd"}}, "\xff \xfe", "\ufffd"},
	} {
		f, err := newFilter(c.point, &c.o)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Fields(c.in) {
			if !taken(f, p) {
				t.Errorf("%s: %q is not taken", c.what, p)
			}
		}
		for _, p := range strings.Fields(c.notIn) {
			if taken(f, p) {
				t.Errorf("%s: %q is taken", c.what, p)
			}
		}
	}
	for _, o := range []Options{{Includes: []string{"etc"}}, {Excludes: []string{"[a"}}, {Excludes: []string{"/"}}, {Excludes: []string{""}}} {
		if _, err := newFilter("/", &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestIncludesAndExcludes(t *testing.T) {
	r, dir := emptyRig(t)
	for _, p := range []string{"etc/a", "etc/b.tmp", "home/u/keep/x", "home/u/drop", "var/x"} {
		write(t, dir+"/"+p, "x")
	}
	must(t, os.Symlink("home/u", dir+"/alias"))
	r.o.Includes = []string{dir + "/etc", dir + "/alias/keep"}
	r.o.Excludes = []string{"*.tmp", dir + "/home/u"}
	v := r.run()
	if got := r.paths(v, dir); !slices.Equal(got, []string{"etc/", "etc/a", "home/", "home/u/", "home/u/keep/", "home/u/keep/x"}) {
		t.Errorf("%q", got)
	}
	r.o.Excludes = append(r.o.Excludes, dir+"/etc/*")
	if v = r.run(); v.Deleted != 1 || v.Changed != 0 {
		t.Errorf("%d deleted, %d changed", v.Deleted, v.Changed)
	}
}

// The record says what the version was to have, by real names.
func TestRecordSaysWhatTheVersionWasToHave(t *testing.T) {
	r, dir := emptyRig(t)
	write(t, dir+"/home/u/keep/x", "x")
	must(t, os.MkdirAll(dir+"/lib/vault", 0o755))
	must(t, os.Symlink("home/u", dir+"/alias"))
	must(t, os.Symlink("lib/vault", dir+"/vault"))
	scope := func() snapshot.Scope {
		t.Helper()
		b, err := r.vault.Record(t.Context(), r.run().Key())
		must(t, err)
		v, err := snapshot.ParseVersion(b)
		must(t, err)
		if v.Scope == nil {
			t.Fatalf("the record is %s", b)
		}
		return *v.Scope
	}
	if s := scope(); !reflect.DeepEqual(s, snapshot.Scope{}) {
		t.Errorf("of all: %+v", s)
	}
	r.o.Includes, r.o.Excludes, r.o.Never = []string{dir + "/alias/keep/"}, []string{"*.tmp"}, []string{dir + "/vault", dir + "/gone/", "/elsewhere", ""}
	r.o.ExcludeCaches, r.o.ExcludeNodump = true, true
	want := snapshot.Scope{
		Paths: []string{dir + "/home/u/keep"}, Never: []string{dir + "/lib/vault", dir + "/gone"}, Excludes: []string{"*.tmp"}, Caches: true, Nodump: true,
	}
	if s := scope(); !reflect.DeepEqual(s, want) {
		t.Errorf("of a part: %+v, want %+v", s, want)
	}
	for _, system := range []bool{false, true} {
		f, err := newFilter("/", &Options{System: system, Never: []string{"/var/lib/y"}})
		must(t, err)
		if !slices.Contains(f.scope.Never, "/var/lib/y") || slices.Contains(f.scope.Never, "/usr/bin") == system {
			t.Errorf("with system %v: %+v", system, f.scope)
		}
	}
}
