package capture

import (
	"slices"
	"strings"
)

// A dirty is a folder on the way to changes, or with some in it. What it does not name is as it was in the parent version.
type dirty struct {
	id    fileID           // of the folder; zero if it is only on the way, by whatever it is
	all   bool             // any of its names may have changed
	names map[string]*mark // that may have changed, or lead to something that has
	order []string         // of the names, when they were asked for
	met   bool             // by the capture
	told  bool             // by the changes; else something that is in it is looked for
	path  string           // where it was placed, if id is not zero and it was not told
}

// tell takes note that the changes tell of the folder. Where it was placed does not matter then.
func (d *dirty) tell() { d.told, d.path = true, "" }

// A mark is a name in a dirty folder.
type mark struct {
	told   bool // the changes name it, which otherwise only leads to what they name
	fresh  bool // it may stand for another folder than it did
	unsure bool // if it is a folder, all in it is to be looked at
	folder *dirty
}

// name returns what is known of a name, making it.
func (d *dirty) name(name string) *mark {
	b := d.names[name]
	if b == nil {
		if d.names == nil {
			d.names = map[string]*mark{}
		}
		b = &mark{}
		d.names[name] = b
		d.order = nil
	}
	return b
}

// at returns the folder of a path, "" for d itself, making those on the way.
func (d *dirty) at(path string) *dirty {
	for name := range split(path) {
		b := d.names[name]
		if b == nil {
			b = d.name(strings.Clone(name)) // and not keep all of the path
		}
		if b.folder == nil {
			b.folder = &dirty{}
		}
		d = b.folder
	}
	return d
}

// find returns the folder of a path, nil if nothing is dirty there.
func (d *dirty) find(path string) *dirty {
	for name := range split(path) {
		b := d.names[name]
		if b == nil || b.folder == nil {
			return nil
		}
		d = b.folder
	}
	return d
}

// tells tells whether the changes say that the name at a path may stand for something else than before.
func (d *dirty) tells(path string) bool {
	dir, name := cutName(path)
	if d = d.find(dir); d == nil {
		return false
	}
	b := d.names[name]
	return d.all || b != nil && b.told
}

// sorted are the names in the order of their bytes.
func (d *dirty) sorted() []string {
	if d.order == nil {
		for name := range d.names {
			d.order = append(d.order, name)
		}
		slices.Sort(d.order)
	}
	return d.order
}
