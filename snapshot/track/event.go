package track

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mask is what is listened to. Reads are not. Of an error of the file system it is told too, for what cannot be read passes for what is gone.
const mask = unix.FAN_FS_ERROR | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_ATTRIB | unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_DELETE_SELF |
	unix.FAN_RENAME | unix.FAN_ONDIR

var errMalformed = errors.New("the kernel's events make no sense")

const (
	metaSize = int(unsafe.Sizeof(unix.FanotifyEventMetadata{}))
	infoSize = 4  // kind, pad, length
	fidSize  = 20 // those, the file system's id, length and type of the handle

	maxHandle = 128 // bytes of a handle (MAX_HANDLE_SZ)
)

// An event is what is wanted of one. The slices alias what was read.
type event struct {
	mask                 uint64
	folder, name         []byte // where it was; of a rename, from where
	toFolder, toName     []byte // of a rename, to where
	file                 []byte // the file or folder itself
	folderKey, toKey, id []byte // scratch
}

// take adds the events in b, as they were read, to s, and counts them.
func (s *Set) take(e *event, b []byte) (n int, err error) {
	for ; len(b) > 0; n++ {
		size, err := e.parse(b)
		if err != nil {
			return n, err
		}
		b = b[size:]
		s.event(e)
	}
	s.bound()
	return n, nil
}

// event adds an event.
func (s *Set) event(e *event) {
	if e.mask&unix.FAN_Q_OVERFLOW != 0 {
		s.forget("the kernel's queue of events overflowed")
	}
	if e.mask&unix.FAN_FS_ERROR != 0 {
		s.forget("the file system met an error")
	}
	if s.unknown != "" {
		return
	}
	isDir := e.mask&unix.FAN_ONDIR != 0
	flags := byte(0)
	if e.mask&(unix.FAN_CREATE|unix.FAN_RENAME) != 0 {
		flags = fresh
	}
	if e.folder != nil {
		f := s.folder(e.folder)
		if !bytes.Equal(e.name, dot) {
			s.name(f, e.name, flags)
		} else if e.mask&unix.FAN_DELETE_SELF != 0 {
			s.remove(f)
		}
		if e.mask&unix.FAN_RENAME != 0 && isDir && e.file != nil {
			s.move(e.file, f, e.name)
		}
	}
	if e.toFolder != nil {
		s.name(s.folder(e.toFolder), e.toName, flags)
	}
	switch {
	case e.file == nil:
	case !isDir:
		s.file(e.file)
	case e.folder == nil || e.mask&(unix.FAN_CREATE|unix.FAN_DELETE) != 0: // or both
		f := s.folder(e.file)
		if e.mask&unix.FAN_CREATE != 0 {
			s.folders.value(f)[0] |= born
		}
		if e.mask&(unix.FAN_DELETE|unix.FAN_DELETE_SELF) != 0 {
			s.remove(f)
		}
	}
}

var dot = []byte(".")

// parse reads the event at the start of b and returns its length.
func (e *event) parse(b []byte) (size int, err error) {
	if len(b) < metaSize {
		return 0, errMalformed
	}
	m := (*unix.FanotifyEventMetadata)(unsafe.Pointer(unsafe.SliceData(b)))
	size = int(m.Event_len)
	if m.Vers != unix.FANOTIFY_METADATA_VERSION || size < metaSize || size > len(b) || int(m.Metadata_len) < metaSize || int(m.Metadata_len) > size {
		return 0, errMalformed
	}
	e.mask = m.Mask
	e.folder, e.name, e.toFolder, e.toName, e.file = nil, nil, nil, nil, nil
	for info := b[m.Metadata_len:size]; len(info) > 0; {
		if len(info) < infoSize {
			return 0, errMalformed
		}
		n := int(binary.NativeEndian.Uint16(info[2:]))
		if n < infoSize || n > len(info) {
			return 0, errMalformed
		}
		if err := e.info(info[:n]); err != nil {
			return 0, err
		}
		info = info[n:]
	}
	if e.folder == nil && e.file == nil && e.mask&unix.FAN_Q_OVERFLOW == 0 {
		return 0, errMalformed
	}
	return size, nil
}

// info reads a record of an event: struct fanotify_event_info_fid, with a struct file_handle and perhaps a name in it.
func (e *event) info(b []byte) error {
	kind := b[0]
	switch kind {
	case unix.FAN_EVENT_INFO_TYPE_FID, unix.FAN_EVENT_INFO_TYPE_DFID, unix.FAN_EVENT_INFO_TYPE_DFID_NAME,
		unix.FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
	default:
		return nil
	}
	if len(b) < fidSize {
		return errMalformed
	}
	n, typ := int(binary.NativeEndian.Uint32(b[12:])), int32(binary.NativeEndian.Uint32(b[16:]))
	if n > maxHandle || fidSize+n > len(b) {
		return errMalformed
	}
	handle, name := b[fidSize:][:n], b[fidSize+n:]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	switch kind {
	case unix.FAN_EVENT_INFO_TYPE_FID:
		e.id = handleKey(e.id[:0], typ, handle)
		e.file = e.id
		return nil
	case unix.FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
		e.toKey = handleKey(e.toKey[:0], typ, handle)
		e.toFolder, e.toName = e.toKey, name
	default:
		e.folderKey = handleKey(e.folderKey[:0], typ, handle)
		e.folder, e.name = e.folderKey, name
		if kind == unix.FAN_EVENT_INFO_TYPE_DFID {
			e.name = dot
		}
	}
	if len(name) > 255 || kind != unix.FAN_EVENT_INFO_TYPE_DFID && len(name) == 0 {
		return errMalformed
	}
	return nil
}
