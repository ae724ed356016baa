package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"syscall"
)

// Aspects are the ways in which an entry differs from another of the same path. What a restore could not bring back is none of them: change
// time, birth time, inode number, and the size that a folder itself has.
type Aspects uint16

// The aspects. With another type, Mode and Owner are the only others that are looked at.
const (
	TypeDiffers    Aspects = 1 << iota // a file is a folder now, or the like
	ContentDiffers                     // of regular files: other bytes, or holes elsewhere
	TargetDiffers                      // of symlinks
	DeviceDiffers                      // of devices: other numbers
	ModeDiffers
	OwnerDiffers // user or group
	TimesDiffer  // the time of last modification
	XattrsDiffer // extended attributes, ACLs and capabilities among them
	FlagsDiffer  // inode flags
	LinksDiffer  // names of the file, if it is no folder
)

var aspectNames = [...]string{"type", "content", "target", "device", "mode", "owner", "times", "xattrs", "flags", "links"}

// Names lists the aspects as words: "content", "mode" and so on, most telling first.
func (a Aspects) Names() []string {
	var names []string
	for i, name := range aspectNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Compare tells how b differs from a, from what the entries themselves say: what lies in folders is not looked at.
func Compare(a, b *Entry) Aspects {
	var d Aspects
	set := func(differs bool, bit Aspects) {
		if differs {
			d |= bit
		}
	}
	const permissions = ^uint32(syscall.S_IFMT)
	set(a.Mode&permissions != b.Mode&permissions, ModeDiffers)
	set(a.UID != b.UID || a.GID != b.GID, OwnerDiffers)
	if a.Type() != b.Type() {
		return d | TypeDiffers
	}
	set(a.IsRegular() && !sameContent(a, b), ContentDiffers)
	set(!bytes.Equal(a.Target, b.Target), TargetDiffers)
	set(a.Rdev != b.Rdev, DeviceDiffers)
	set(a.Mtime != b.Mtime, TimesDiffer)
	set(!bytes.Equal(a.Xattrs, b.Xattrs) || !slices.Equal(a.XattrRefs, b.XattrRefs), XattrsDiffer)
	set(a.Flags != b.Flags, FlagsDiffer)
	set(!a.IsDir() && a.Nlink != b.Nlink, LinksDiffer)
	return d
}

// sameContent relies on that the same bytes are cut into the same chunks, and those listed by the same pages.
func sameContent(a, b *Entry) bool {
	return a.Size == b.Size && a.Depth == b.Depth && slices.Equal(a.Content, b.Content)
}

// ContentKey is the same for entries that differ in neither type, content, target nor device, and only for these; of folders only the type is looked at.
func (e *Entry) ContentKey() [sha256.Size]byte {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, 256), e.Type())
	b = le.AppendUint64(b, e.Rdev)
	if e.IsRegular() {
		b = append(le.AppendUint64(b, e.Size), e.Depth)
		for _, r := range e.Content {
			b = le.AppendUint64(append(b, r.ID[:]...), r.Len)
		}
	}
	return sha256.Sum256(append(b, e.Target...))
}
