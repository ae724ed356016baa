package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yester/control"
	"yester/snapshot"
	"yester/snapshot/capture"
)

// A target is a partition that a backup makes a version of, or the reason why it can't.
type target struct {
	partition snapshot.Partition
	includes  []string          // none: all of it
	parent    *snapshot.Version // newest there is; nil: none
	err       error
}

// plan says what a backup by a policy makes versions of, with these mounts. exists tells whether a path is there.
func plan(p *control.Policy, mounts []capture.Mount, exists func(path string) bool) []target {
	var ts []target
	for _, m := range mounts {
		if m.Excluded == "" && (len(p.Partitions) == 0 || slices.Contains(p.Partitions, m.Name)) {
			ts = append(ts, target{partition: m.Partition})
		}
	}
	for _, name := range slices.Concat(p.Partitions, broken(p, mounts)) {
		if !slices.ContainsFunc(ts, func(t target) bool { return t.partition.Name == name }) {
			err := control.Errorf(control.NotFound, "partition %s is not mounted", name).WithHint("mount it, or activate without it")
			if i := slices.IndexFunc(mounts, func(m capture.Mount) bool { return m.Name == name && m.FSType != "autofs" }); i >= 0 {
				err = control.Errorf(control.NotFound, "partition %s cannot be backed up: %s", name, mounts[i].Excluded).WithHint("activate without it")
				if mounts[i].Broken {
					err = err.WithHint("look after its disk, or unmount it")
				}
			}
			ts = append(ts, target{partition: snapshot.Partition{Name: name}, err: err})
		}
	}
	if len(p.Paths) > 0 {
		ts = narrow(ts, p.Paths, mounts, exists)
	}
	return ts
}

// broken names the partitions that a policy means without naming them, and of which nothing can be reached: they are not left out on purpose.
func broken(p *control.Policy, mounts []capture.Mount) (names []string) {
	if len(p.Partitions)+len(p.Paths) > 0 {
		return nil // a path that lies on one is one that cannot be backed up any more
	}
	for _, m := range mounts {
		if m.Broken {
			names = append(names, m.Name)
		}
	}
	return names
}

// narrow keeps the targets that have something of the paths. A path that is not there fails the target it should be in: it may lie on a
// partition that is not mounted, and a version without it would look as if it had been deleted. One that has come to lie on what is not
// backed up fails by itself.
func narrow(all []target, paths []string, mounts []capture.Mount, exists func(string) bool) []target {
	for _, path := range paths {
		m, ok := capture.MountOf(mounts, path)
		i := slices.IndexFunc(all, func(t target) bool { return ok && t.partition.Name == m.Name })
		if i < 0 {
			all = append(all, elsewhere(m, path))
			continue
		}
		all[i].includes = append(all[i].includes, path)
		if !exists(path) {
			all[i].err = control.Errorf(control.NotFound, "the path %s is not there", path).
				WithHint("mount the disk it lies on, or activate without it")
		}
	}
	return slices.DeleteFunc(all, func(t target) bool { return t.err == nil && len(t.includes) == 0 })
}

// elsewhere is the target of a path that something was mounted over since it was asked for.
func elsewhere(m capture.Mount, path string) target {
	why := "is not among the partitions asked for"
	if m.Excluded != "" {
		why = "is excluded (" + m.Excluded + ")"
	}
	err := control.Errorf(control.NotFound, "the path %s cannot be backed up any more: what is mounted at %s now %s", path, m.MountPoint, why).
		WithHint("unmount that, or activate without the path")
	return target{partition: snapshot.Partition{Name: m.Name}, err: err}
}

// isBelow tells whether path is dir or lies below it. Both are clean and absolute.
func isBelow(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, trimSlash(dir)+"/")
}

// trimSlash makes of a folder what stands before the slash of what is in it.
func trimSlash(dir string) string { return strings.TrimSuffix(dir, "/") }

// choose checks what a policy asks for against the mounts there are, and resolves its paths and partitions to what they really are called. Which were not asked for
// anew were checked when they were. Every error is a BadRequest.
func choose(p *control.Policy, newPartitions, newPaths bool, mounts []capture.Mount) error {
	for i, name := range p.Partitions {
		m, err := partitionNamed(name, mounts)
		switch {
		case err == nil:
			p.Partitions[i] = m.Name
		case newPartitions:
			return err
		}
	}
	for i, path := range p.Paths {
		real, err := realPath(path)
		switch {
		case err == nil && (newPaths || newPartitions):
			p.Paths[i] = real
			if err := eligible(path, real, p.Partitions, mounts); err != nil {
				return err
			}
		case err != nil && newPaths:
			return err
		}
	}
	slices.Sort(p.Partitions)
	p.Partitions = slices.Compact(p.Partitions)
	slices.Sort(p.Paths)
	p.Paths = slices.Compact(p.Paths)
	if !slices.ContainsFunc(mounts, func(m capture.Mount) bool { return m.Excluded == "" }) {
		return control.Errorf(control.BadRequest, "this machine has no partition that can be backed up").
			WithHint("`yester status --json` says of each that is mounted why not")
	}
	return nil
}

// absent says what a policy asks for that is not there now.
func absent(p *control.Policy, mounts []capture.Mount) (lines []string) {
	for _, t := range plan(p, mounts, exists) {
		if t.err != nil {
			lines = append(lines, sentence(t.err)+", and every backup says so until it is")
		}
	}
	return lines
}

// leftOut lists the folders of the system that a version of the target has not, but for those that are other partitions.
func leftOut(p *control.Policy, t *target, mounts []capture.Mount) []string {
	if p.IncludeSystem || t.partition.MountPoint != "/" {
		return nil
	}
	return slices.DeleteFunc(capture.SystemFolders(), func(dir string) bool {
		among := func(path string) bool { return isBelow(dir, path) }
		isOther := func(m capture.Mount) bool { return m.MountPoint == dir && m.Excluded == "" }
		return slices.ContainsFunc(mounts, isOther) || len(t.includes) > 0 && !slices.ContainsFunc(t.includes, among) || slices.Contains(t.includes, dir)
	})
}

// awaiting says which paths are empty folders on which a disk is to be mounted: one of fstab, or one that has versions. A version of such a one is made without a word, and has nothing in it. names lists a folder.
func awaiting(p *control.Policy, mounts []capture.Mount, fstab string, versions map[string]string, names func(dir string) []string) (lines []string) {
	isPoint := map[string]string{} // whose
	for line := range strings.Lines(fstab) {
		if f := strings.Fields(line); len(f) > 1 && f[0][0] != '#' {
			isPoint[strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[1])] = "/etc/fstab has " + f[0] + " for it"
		}
	}
	for name, point := range versions {
		isPoint[point] = "there are versions of the partition " + name + ", which was mounted there"
	}
	for _, path := range p.Paths {
		if why := isPoint[path]; why != "" && !isMountPoint(mounts, path) && len(names(path)) == 0 {
			lines = append(lines, "nothing is mounted on "+path+", which is empty, and "+why+": mount it, or versions have nothing in that folder")
		}
	}
	return lines
}

// served says that there is something in /srv, which no installation brings, and that it is left out with the folders of the system. names lists a folder.
func served(p *control.Policy, mounts []capture.Mount, names func(dir string) []string) []string {
	const srv = "/srv"
	if m, ok := capture.MountOf(mounts, srv); !ok || m.MountPoint != "/" {
		return nil
	}
	isLeftOut := func(t target) bool { return slices.Contains(leftOut(p, &t, mounts), srv) }
	isHere := func(name string) bool { return !isMountPoint(mounts, srv+"/"+name) }
	if !slices.ContainsFunc(plan(p, mounts, exists), isLeftOut) || !slices.ContainsFunc(names(srv), isHere) {
		return nil
	}
	return []string{"what is in /srv is not backed up, as it is one of the folders of the system; --include-system takes them"}
}

// together says on which partition that is backed up the vault lies, with all its places. One that has nothing but the vault is none. names lists a folder.
func together(p *control.Policy, mounts []capture.Mount, places []string, names func(dir string) []string) (lines []string) {
	for _, t := range plan(p, mounts, exists) {
		point := t.partition.MountPoint
		isElsewhere := func(place string) bool { m, ok := capture.MountOf(mounts, place); return !ok || m.MountPoint != point }
		isOther := func(name string) bool {
			path := trimSlash(point) + "/" + name
			return name != "lost+found" && !slices.ContainsFunc(places, func(place string) bool { return isBelow(place, path) })
		}
		if t.err != nil || slices.ContainsFunc(places, isElsewhere) || len(t.includes) == 0 && !slices.ContainsFunc(names(point), isOther) {
			continue
		}
		lines = append(lines, "the vault lies on the partition "+t.partition.Name+", which it has versions of, and is lost with that disk; `yester vault place add DIR` has it lie on another one too")
	}
	return lines
}

func isMountPoint(mounts []capture.Mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m capture.Mount) bool { return m.MountPoint == path })
}

// entries are the names in a folder, none if it cannot be read.
func entries(dir string) (names []string) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ = f.Readdirnames(-1)
	return names
}

// partitionNamed finds an eligible partition by its name or mount point, which may end in a slash.
func partitionNamed(name string, mounts []capture.Mount) (capture.Mount, error) {
	if filepath.IsAbs(name) {
		name = filepath.Clean(name)
	}
	var there []string
	var excluded *capture.Mount
	for i, m := range mounts {
		named := m.Name == name || m.MountPoint == name
		switch {
		case m.Excluded == "" && named:
			return m, nil
		case m.Excluded == "":
			there = append(there, m.Name)
		case named:
			excluded = &mounts[i]
		}
	}
	if excluded != nil {
		return capture.Mount{}, control.Errorf(control.BadRequest, "%s cannot be backed up: %s", name, excluded.Excluded).
			WithHint("partitions that can: %s", list(there))
	}
	return capture.Mount{}, control.Errorf(control.BadRequest, "there is no partition %q", name).WithHint("there are: %s", list(there))
}

// realPath returns the path without symlinks, once it is there.
func realPath(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", control.Errorf(control.BadRequest, "the path %q is not absolute", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", control.Errorf(control.BadRequest, "the path %s cannot be backed up (%v)", path, cause(err)).WithHint("check its spelling")
	}
	return real, nil
}

// eligible refuses a path on a file system that is not backed up, or outside the partitions that were asked for.
func eligible(asked, real string, partitions []string, mounts []capture.Mount) error {
	m, ok := capture.MountOf(mounts, real)
	switch {
	case !ok:
		return control.Errorf(control.BadRequest, "the path %s lies on no mounted file system", asked)
	case m.Excluded != "":
		return control.Errorf(control.BadRequest, "the path %s cannot be backed up: what is mounted at %s is excluded (%s)",
			asked, m.MountPoint, m.Excluded)
	case len(partitions) > 0 && !slices.Contains(partitions, m.Name):
		return control.Errorf(control.BadRequest, "the path %s lies on partition %s, which is not among those asked for", asked, m.Name).
			WithHint("add --partition %s, or leave out --partition", m.Name)
	}
	return nil
}
