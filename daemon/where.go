package daemon

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"yester/control"
	"yester/snapshot"
	"yester/store"
)

// held is a partition that has versions.
type held struct {
	name  string
	point string             // where it was mounted when the newest version was taken
	keys  []store.VersionKey // oldest first, at least one
}

// held lists the instance's partitions that have versions.
func (d *Daemon) held(ctx context.Context, v *store.Vault) []held {
	return heldBy(ctx, v, d.instance.ID)
}

// heldBy lists the partitions of any instance that have versions.
func heldBy(ctx context.Context, v *store.Vault, instance string) (all []held) {
	for _, k := range v.Versions(instance) {
		if len(all) == 0 || all[len(all)-1].name != k.Partition {
			all = append(all, held{name: k.Partition})
		}
		p := &all[len(all)-1]
		p.keys = append(p.keys, k)
	}
	for i := range all {
		p := &all[i]
		for n := len(p.keys) - 1; n >= 0 && p.point == ""; n-- {
			if r, err := record(ctx, v, p.keys[n]); err == nil {
				p.point = r.Partition.MountPoint
			}
		}
	}
	return all
}

// whole puts the mount point in front of a path that begins with a slash.
func (p *held) whole(at string) string { return path.Join(p.point, at) }

// version finds a version by its name; "latest" is the newest.
func (p *held) version(name string) (k store.VersionKey, ok bool) {
	for i := len(p.keys) - 1; i >= 0; i-- {
		if p.keys[i].Version == name || name == latest {
			return p.keys[i], true
		}
	}
	return k, false
}

// latest stands for the newest version.
const latest = "latest"

// locate finds the partition that a path lies on, and the path from its root. text is as control.PathText has it.
func (d *Daemon) locate(ctx context.Context, v *store.Vault, text string) (p held, at string, err error) {
	whole, err := absolutePath(text)
	if err != nil {
		return p, "", err
	}
	return lies(d.held(ctx, v), d.mountDirs(), d.shownAs(d.instance.ID, d.instance.Name), whole)
}

// absolutePath reads a path as control.PathText has it.
func absolutePath(text string) (string, error) {
	whole, err := control.ParsePath(text)
	if err != nil || !path.IsAbs(whole) || strings.Contains(whole, "\x00") {
		return "", control.Errorf(control.BadRequest, "%q is no absolute path", text)
	}
	return path.Clean(whole), nil
}

// lies says on which of the partitions a path lies, and where. Below a folder that shows the versions of an instance that is what is shown there;
// elsewhere the longest mount point decides.
func lies(all []held, mountDirs []string, instance, whole string) (p held, at string, err error) {
	for _, dir := range mountDirs {
		if isBelow(whole, dir) {
			return liesMounted(all, instance, whole, strings.Trim(whole[len(dir):], "/"))
		}
	}
	found := false
	for _, q := range all {
		if q.point != "" && isBelow(whole, q.point) && (!found || len(q.point) > len(p.point)) {
			p, found = q, true
		}
	}
	if !found {
		return p, "", control.Errorf(control.NotFound, "no partition that has versions holds %s", control.PathText(whole)).
			WithHint("`yester versions` lists them")
	}
	return p, "/" + strings.TrimPrefix(whole[len(p.point):], "/"), nil
}

// mountDirs are the names of the folder that shows the versions: as it is set, and without links on the way to it. What lies in it is
// not looked at: this process serves it.
func (d *Daemon) mountDirs() []string {
	dir := d.o.Home.Mount
	if dir == "" {
		return nil
	}
	dirs := []string{dir}
	if real, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dirs = append(dirs, filepath.Join(real, filepath.Base(dir)))
	}
	return dirs
}

// liesMounted is lies for a path below the mount: rest is <instance>/<partition>/<version>/<path>.
func liesMounted(all []held, instance, whole, rest string) (p held, at string, err error) {
	parts := strings.SplitN(rest, "/", 4)
	if len(parts) < 3 {
		return p, "", control.Errorf(control.BadRequest, "%s lies above the versions", control.PathText(whole)).
			WithHint("give a path in a version, or the original one")
	}
	for _, q := range all {
		if parts[0] == instance && q.name == parts[1] {
			return q, "/" + strings.Join(parts[3:], "/"), nil
		}
	}
	return p, "", control.Errorf(control.NotFound, "this instance has no versions of what %s is in", control.PathText(whole)).
		WithHint("`yester versions` lists them")
}

// named finds partitions by name; an empty one names all. NotFound if there is none.
func named(all []held, name string) ([]held, error) {
	var found []held
	var others []string
	for _, p := range all {
		if name == "" || p.name == name {
			found = append(found, p)
		} else {
			others = append(others, p.name)
		}
	}
	if len(found) == 0 && name != "" {
		return nil, noVersions(name, others)
	}
	return found, nil
}

// rootOf reads the root of a version.
func rootOf(ctx context.Context, v *store.Vault, k store.VersionKey) (*snapshot.Entry, error) {
	r, err := record(ctx, v, k)
	if err != nil {
		return nil, err
	}
	root, err := r.RootEntry()
	return &root, err
}

// browsePath is where a version shows a path, "" if nothing is mounted.
func (d *Daemon) browsePath(k store.VersionKey, at string) string {
	dir := d.browse(k)
	if dir == "" {
		return ""
	}
	return control.PathText(path.Join(dir, at))
}
