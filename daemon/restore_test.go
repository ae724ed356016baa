package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// What was never backed up is not deleted where files were, whatever is asked.
func TestDeletingWhereFilesWereSparesWhatIsNeverBackedUp(t *testing.T) {
	for _, c := range []struct {
		what  string
		point string
		paths []string
		only  []string // of the policy
		ok    bool
	}{
		{"all of a partition", "/", nil, nil, false},
		{"its root by name", "/", []string{""}, nil, false},
		{"its root among others", "/", []string{"etc", ""}, nil, false},
		{"a folder", "/", []string{"usr"}, nil, true},
		{"a folder of which a part is backed up", "/", []string{"usr"}, []string{"/usr/local/etc"}, false},
		{"a folder that is backed up", "/", []string{"usr/local/etc"}, []string{"/usr/local/etc"}, true},
		{"a folder in one that is", "/", []string{"usr/local/etc"}, []string{"/usr"}, true},
	} {
		o := &restoration{version: &snapshot.Version{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}}, paths: c.paths}
		o.request.Delete = true
		o.goBy(&control.Policy{Paths: c.only, Excludes: []string{"*.iso"}})
		err := o.aim(aim{discover: func() ([]capture.Mount, error) {
			return []capture.Mount{{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}}}, nil
		}})
		if o.target != nil {
			o.target.Close()
		}
		switch {
		case !c.ok && !errors.Is(err, control.BadRequest):
			t.Errorf("%s: %v", c.what, err)
		case c.ok && (err != nil || !slices.Contains(o.keep, "/usr/bin") || !slices.Contains(o.keep, "/lib") || !slices.Contains(o.keep, "*.iso")):
			t.Errorf("%s: %v, kept are %q", c.what, err, o.keep)
		}
	}
}

// A target that is where files were is so by any name, and the system's own folders are no surplus anywhere.
func TestDeletingElsewhereSparesWhatIsNeverBackedUp(t *testing.T) {
	point := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(point, link); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, c := range []struct {
		point, to string
		ok        bool
	}{{point, point, false}, {point, link, false}, {point, "/", false}, {"/", "/", false}, {"/", elsewhere, true}, {point, elsewhere, true}} {
		o := &restoration{version: &snapshot.Version{Partition: snapshot.Partition{Name: "p", MountPoint: c.point}}}
		o.request.Delete, o.request.To = true, c.to
		err := o.aim(aim{})
		if o.target != nil {
			o.target.Close()
		}
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, control.BadRequest) {
			t.Errorf("all of %s to %s: %v", c.point, c.to, err)
		}
		if c.ok && slices.Contains(o.keep, "/usr/bin") != (c.point == "/") {
			t.Errorf("all of %s to %s: kept are %q", c.point, c.to, o.keep)
		}
	}
}
