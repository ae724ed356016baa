package restore

import (
	"errors"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A file system may take several names for one, as those do that cannot tell upper from lower case: what the version calls Docs is there, and is listed as docs.

// errOneName is why one of two folders is not made, and of two files one is lost.
var errOneName = errors.New("the version has two names here that this file system cannot tell apart")

// aliases are names of the version in a folder that are there and not listed, for what they stand for is listed by another name.
type aliases []string

// aliases finds them, if these are the names that were listed.
func (r *run) aliases(f *folder, listed []string) (*aliases, error) {
	listed = slices.Sorted(slices.Values(listed))
	found := new(aliases)
	rd := snapshot.NewReader(r.o.Vault, f.entry.Tree)
	for e := (snapshot.Entry{}); rd.Next(r.ctx, &e); {
		if name := string(e.Name); valid(e.Name) {
			if _, is := slices.BinarySearch(listed, name); is {
				continue
			}
			if _, there, err := look(f.fd, name); err != nil || there {
				*found = append(*found, name)
			}
		}
	}
	if err := rd.Err(); err != nil || len(*found) == 0 {
		return found, err
	}
	if now, err := list(f.fd); err == nil { // some may have been put there since
		slices.Sort(now)
		*found = slices.DeleteFunc(*found, func(name string) bool { _, is := slices.BinarySearch(now, name); return is })
	}
	return found, nil
}

// have tells whether what is listed by a name is there by one of the aliases too. If that cannot be told, it is.
func (a *aliases) have(dir int, name string) bool {
	if len(*a) == 0 {
		return false
	}
	fd, err := openIn(dir, name, unix.O_PATH) // while it is open it keeps its number
	if err != nil {
		return !errors.Is(err, unix.ENOENT)
	}
	defer unix.Close(fd)
	st, err := lookFD(fd)
	return err != nil || slices.ContainsFunc(*a, func(alias string) bool {
		same, there, err := look(dir, alias)
		return err != nil || there && madeOf(&same) == madeOf(&st)
	})
}

// hasMet tells whether the version has an open folder by another name too, which was met before: that is so only where names have no case. It is called by the
// walk only.
func (f *folder) hasMet(sub int, name string) bool {
	st, err := lookFD(sub)
	if err != nil || f.cased {
		return false
	}
	if f.met == nil {
		other := strings.ToUpper(name)
		if other == name {
			other = strings.ToLower(name)
		}
		if other == name {
			return false
		}
		same, there, err := look(f.fd, other)
		if f.cased = err != nil || !there || madeOf(&same) != madeOf(&st); f.cased {
			return false
		}
		f.met = map[made]bool{}
	}
	met := f.met[madeOf(&st)]
	f.met[madeOf(&st)] = true
	return met
}

// fold makes one of names that a file system may take for one.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// folded are the names that were met in a folder, by little that is the same for those that may be one.
type folded []uint64

var foldSeed = maphash.MakeSeed()

func (f *folded) add(name string) { *f = append(*f, maphash.String(foldSeed, fold(name))) }

// twice are those that may be of two names or more, in order.
func (f folded) twice() (all folded) {
	slices.Sort(f)
	for i, one := range f {
		if i > 0 && one == f[i-1] {
			all = append(all, one)
		}
	}
	return all
}

// have tells whether a name may be that of one of them, which are in order.
func (f folded) have(name string) bool {
	_, is := slices.BinarySearch(f, maphash.String(foldSeed, fold(name)))
	return is
}

// A twin is what is no folder and has a name in the version that may be that of another there, where names have no case.
type twin struct {
	name  string
	inode uint64 // at the source, of what has several names; 0: it has one
}

// twins finds them among what is restored in a folder. Names that are not among those that were met twice are not kept: there may be millions, and but two that differ in case.
func (r *run) twins(f *folder, at spot, twice folded) (all [][]twin) {
	by := map[string][]twin{}
	rd := snapshot.NewReader(r.o.Vault, f.entry.Tree)
	for e := (snapshot.Entry{}); rd.Next(r.ctx, &e); {
		name := string(e.Name)
		if next, visit := r.select_.enter(at, join(f.path, name), name); visit && next.in && !e.IsDir() && twice.have(name) {
			t := twin{name: name}
			if e.Nlink > 1 {
				t.inode = e.Ino
			}
			by[fold(name)] = append(by[fold(name)], t)
		}
	}
	for _, same := range by { // what could be read a moment ago
		if len(same) > 1 {
			all = append(all, same)
		}
	}
	return all
}

// tellTwins fails what lost its place to what has another name in the version, and in the target the same: it is there, with what the last of them has.
func (r *run) tellTwins(f *folder) {
	for _, same := range f.twins {
		for i, t := range same {
			if slices.ContainsFunc(same[:i], func(first twin) bool { return r.areOne(f, first, t) }) {
				r.fail(join(f.path, t.name), errOneName)
			}
		}
	}
}

// areOne tells whether two files of the version are one in the target by two names of which but one is listed, and nothing else told of that.
func (r *run) areOne(f *folder, a, b twin) bool {
	if a.inode != 0 && a.inode == b.inode || r.hasFailed(join(f.path, a.name)) || r.hasFailed(join(f.path, b.name)) {
		return false
	}
	one, thereA, _ := look(f.fd, a.name)
	other, thereB, _ := look(f.fd, b.name)
	return thereA && thereB && madeOf(&one) == madeOf(&other) && !(isListed(f.fd, a.name) && isListed(f.fd, b.name))
}

// hasFailed tells whether it was listed that a path failed.
func (r *run) hasFailed(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.result.Failed.Items, func(l Left) bool { return l.Path == path })
}

// isListed tells whether a folder has a name just as it is written. If that cannot be told, it has.
func isListed(dir int, name string) bool {
	names, err := list(dir)
	return err != nil || slices.Contains(names, name)
}

// list returns all names in a folder.
func list(dir int) ([]string, error) {
	d, err := reopen(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
