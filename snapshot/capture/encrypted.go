package capture

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// lacksKey tells whether the open folder fd, an encrypted one, is locked: its names are not those that it has then, though it can be listed.
func lacksKey(fd int) bool {
	policy := unix.FscryptGetPolicyExArg{Size: uint64(len(unix.FscryptGetPolicyExArg{}.Policy))}
	if !control(fd, unix.FS_IOC_GET_ENCRYPTION_POLICY_EX, unsafe.Pointer(&policy)) {
		return false // encrypted by Windows, as ntfs3 tells: that leaves names as they are
	}
	var key unix.FscryptGetKeyStatusArg
	if policy.Policy[0] == unix.FSCRYPT_POLICY_V2 {
		v2 := (*unix.FscryptPolicyV2)(unsafe.Pointer(&policy.Policy))
		key.Key_spec.Type = unix.FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER
		copy(key.Key_spec.U[:], v2.Master_key_identifier[:])
	} else {
		v1 := (*unix.FscryptPolicyV1)(unsafe.Pointer(&policy.Policy))
		key.Key_spec.Type = unix.FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR
		copy(key.Key_spec.U[:], v1.Master_key_descriptor[:])
	}
	if control(fd, unix.FS_IOC_GET_ENCRYPTION_KEY_STATUS, unsafe.Pointer(&key)) {
		switch {
		case key.Status == unix.FSCRYPT_KEY_STATUS_PRESENT:
			return false
		case policy.Policy[0] == unix.FSCRYPT_POLICY_V2:
			return true // also if it was removed while some files were in use
		}
	}
	// It may be in the keyring of a process. Whether a file can be made tells; not asked of all, for it makes an event.
	file, err := openAt(fd, dot, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC)
	if err == nil {
		unix.Close(file)
	}
	return err == unix.ENOKEY
}

func control(fd int, request uintptr, arg unsafe.Pointer) bool {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return e == 0
}

// leaveLocked takes nothing of what is in the open folder d, whose key is not there; old is what the parent version has of it.
func (w *walker) leaveLocked(d *directory, old *snapshot.Entry) {
	w.lookAgain(true)
	w.warn(snapshot.NotListed + ": it is encrypted, and its key is not there")
	w.lost(old)
	if d.known == nil {
		w.leaveOut()
	}
	d.known.passOver()
}
