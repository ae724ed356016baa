package track

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// The most that a set holds. Past either, the folders with the most names lose them and count as wholly dirty; if that does not help, the set is
// unknown.
const (
	maxNames = 1 << 20
	maxBytes = 24 << 20
)

// A Set is which names of a file system may have changed between two cuts. The zero value is an empty one.
type Set struct {
	Certificate Certificate
	unknown     string

	folders table // handle → flags, and how many of its names changed
	names   table // place of the folder and name → flags
	files   table // handles of files that were touched, by whatever name
	moved   table // handle of a folder that was moved → place of the folder it was in at first, and its name there
	volumes table // ids of subvolumes of a btrfs that were removed

	limitNames, limitBytes int // 0: the constants
	key                    []byte

	busyNames int      // that must have changed in a new folder for it to be busy; 0: none is
	busy      []uint32 // places of new folders that became busy
}

// Flags.
const (
	whole   = 1 << 0 // a folder: any name in it
	born    = 1 << 1 // a folder: it was made since the set began
	removed = 1 << 2 // a folder: it is no more
	fresh   = 1 << 0 // a name: it came to be there, or stands for something else than before
)

// Unknown tells why the set does not know all that changed; "" if it does.
func (s *Set) Unknown() string { return s.unknown }

// Len is how many names the set holds.
func (s *Set) Len() int { return s.names.n }

// forget makes s a set that does not know.
func (s *Set) forget(why string) {
	if s.unknown == "" {
		s.unknown = why
	}
	s.folders, s.names, s.files, s.moved, s.volumes, s.busy = table{}, table{}, table{}, table{}, table{}, nil
}

// folder adds a folder, and returns its place.
func (s *Set) folder(handle []byte) uint32 {
	p, _ := s.folders.add(handle, make([]byte, 1+4))
	return p
}

// is tells whether a folder has a flag.
func (s *Set) is(folder uint32, flag byte) bool { return s.folders.value(folder)[0]&flag != 0 }

// name adds a name in a folder.
func (s *Set) name(folder uint32, name []byte, flags byte) {
	if s.is(folder, whole) {
		return
	}
	s.key = append(binary.NativeEndian.AppendUint32(s.key[:0], folder), name...)
	p, isNew := s.names.add(s.key, []byte{flags})
	if isNew {
		s.count(folder)
	} else {
		s.names.value(p)[0] |= flags
	}
}

// count counts one more name of a folder. Each time there are twice as many, a new one is found busy.
func (s *Set) count(folder uint32) {
	v := s.folders.value(folder)
	n := binary.NativeEndian.Uint32(v[1:]) + 1
	binary.NativeEndian.PutUint32(v[1:], n)
	if n&(n-1) == 0 && s.busyNames > 0 && int(n) >= s.busyNames && s.is(folder, born) {
		s.busy = append(s.busy, folder)
	}
}

// remove takes note that a folder is no more. Of what was in it the same is told before, but for what goes with a subvolume.
func (s *Set) remove(folder uint32) {
	s.folders.value(folder)[0] |= removed
	if ino, volume := subvolumeOf(s.folders.key(folder)); ino == subvolumeIno {
		s.volumes.add(volume, nil)
	}
}

// Removed tells whether a folder was removed, or the subvolume that it lay in. One that was not and yet has no such handle any more cannot be read: the kernel
// says the same of both.
func (s *Set) Removed(folder unix.FileHandle) bool {
	key := handleKey(nil, folder.Type(), folder.Bytes())
	if p := s.folders.find(key); p != 0 && s.is(p, removed) {
		return true
	}
	_, volume := subvolumeOf(key)
	return volume != nil && s.volumes.find(volume) != 0
}

// Made tells whether a folder was made since the set began.
func (s *Set) Made(folder unix.FileHandle) bool {
	p := s.folders.find(handleKey(nil, folder.Type(), folder.Bytes()))
	return p != 0 && s.is(p, born)
}

// file adds the handle of a file.
func (s *Set) file(handle []byte) { s.files.add(handle, nil) }

// move remembers where a folder was before it was first moved.
func (s *Set) move(handle []byte, folder uint32, name []byte) {
	s.key = append(binary.NativeEndian.AppendUint32(s.key[:0], folder), name...)
	s.moved.add(handle, s.key)
}

func (s *Set) size() int {
	return s.folders.size() + s.names.size() + s.files.size() + s.moved.size() + s.volumes.size()
}

// bound keeps the set within its limits.
func (s *Set) bound() {
	names, size := cmp.Or(s.limitNames, maxNames), cmp.Or(s.limitBytes, maxBytes)
	if s.names.n <= names && s.size() <= size {
		return
	}
	s.collapse(names / 2)
	if s.size() > size*3/4 {
		s.forget("more changed than the journal can hold")
	}
}

// collapse makes the folders with the most names wholly dirty, until no more than so many names are left.
func (s *Set) collapse(names int) {
	count := map[uint32]int{}
	s.names.each(func(p uint32) { count[folderOf(s.names.key(p))]++ })
	order := make([]uint32, 0, len(count))
	for f := range count {
		order = append(order, f)
	}
	slices.SortFunc(order, func(a, b uint32) int { return count[b] - count[a] })
	left := s.names.n
	for _, f := range order {
		if left <= names || count[f] < 4 {
			break
		}
		s.folders.value(f)[0] |= whole
		left -= count[f]
	}
	old := s.names
	s.names = table{}
	old.each(func(p uint32) {
		k := old.key(p)
		if !s.is(folderOf(k), whole) {
			s.names.add(k, old.value(p))
		}
	})
}

func folderOf(nameKey []byte) uint32 { return binary.NativeEndian.Uint32(nameKey) }

// merge adds to s what o has, which is older.
func (s *Set) merge(o *Set) {
	if o.unknown != "" {
		s.forget(o.unknown)
		s.unknown = o.unknown
	}
	if s.unknown != "" {
		return
	}
	place := map[uint32]uint32{}
	o.folders.each(func(p uint32) {
		f := s.folder(o.folders.key(p))
		s.folders.value(f)[0] |= o.folders.value(p)[0]
		place[p] = f
	})
	o.names.each(func(p uint32) {
		k := o.names.key(p)
		s.name(place[folderOf(k)], k[4:], o.names.value(p)[0])
	})
	o.files.each(func(p uint32) { s.file(o.files.key(p)) })
	o.volumes.each(func(p uint32) { s.volumes.add(o.volumes.key(p), nil) })
	newer := s.moved
	s.moved = table{}
	o.moved.each(func(p uint32) {
		v := o.moved.value(p)
		s.move(o.moved.key(p), place[folderOf(v)], v[4:])
	})
	newer.each(func(p uint32) { s.moved.add(newer.key(p), newer.value(p)) })
	s.bound()
}

// Extend has s, which began when older ended, begin when older did. older stays as it is.
func (s *Set) Extend(older *Set) { s.merge(older) }

// Folders calls visit for every folder in which something may have changed: itself, its names in ascending order, or any of its names if all is set.
// Of a name that is fresh it is not known that what was there before the set began is still there, changed or not. The names are visit's to keep. The
// error is that of visit.
func (s *Set) Folders(visit func(folder unix.FileHandle, all bool, names []string, fresh []bool) error) error {
	places := make([]uint32, 0, s.names.n)
	s.names.each(func(p uint32) { places = append(places, p) })
	slices.SortFunc(places, func(a, b uint32) int {
		x, y := s.names.key(a), s.names.key(b)
		if f, g := folderOf(x), folderOf(y); f != g {
			if f < g {
				return -1
			}
			return 1
		}
		return bytes.Compare(x[4:], y[4:])
	})
	var err error
	s.folders.each(func(f uint32) {
		var names []string
		var isFresh []bool
		for ; len(places) > 0 && folderOf(s.names.key(places[0])) == f; places = places[1:] {
			names = append(names, string(s.names.key(places[0])[4:]))
			isFresh = append(isFresh, s.names.value(places[0])[0]&fresh != 0)
		}
		if err == nil {
			err = visit(handleOf(s.folders.key(f)), s.is(f, whole), names, isFresh)
		}
	})
	return err
}

// Files calls visit for every file that was touched, by the handle it has whatever its name. The error is that of visit.
func (s *Set) Files(visit func(file unix.FileHandle) error) (err error) {
	s.files.each(func(p uint32) {
		if err == nil {
			err = visit(handleOf(s.files.key(p)))
		}
	})
	return err
}

// Moved calls visit for every folder that was moved, with the folder in which it was when the set began, and its name there. The error is that of
// visit.
func (s *Set) Moved(visit func(folder, from unix.FileHandle, name string) error) (err error) {
	s.moved.each(func(p uint32) {
		v := s.moved.value(p)
		if err == nil {
			err = visit(handleOf(s.moved.key(p)), handleOf(s.folders.key(folderOf(v))), string(v[4:]))
		}
	})
	return err
}
