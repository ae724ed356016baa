package place

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutOpenat2 begins this test anew where the kernel answers openat2 as one that does not know it.
func withoutOpenat2(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "YESTER_TEST_OLD_KERNEL="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// forgetOpenat2 has openat2 fail with ENOSYS, in this thread and what it executes.
func forgetOpenat2() error {
	const load, equal, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: load}, // the call's number
		{Code: equal, K: unix.SYS_OPENAT2, Jf: 1},
		{Code: give, K: 0x00050000 | uint32(unix.ENOSYS)}, // SECCOMP_RET_ERRNO
		{Code: give, K: 0x7fff0000},                       // SECCOMP_RET_ALLOW
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, 1 /* SECCOMP_SET_MODE_FILTER */, 0, uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return e
	}
	return nil
}

func TestKernelThatIsTooOldIsNamed(t *testing.T) {
	switch dir := os.Getenv("YESTER_TEST_OLD_KERNEL"); {
	case dir == "":
	case os.Getenv("YESTER_TEST_FORGOTTEN") == "":
		runtime.LockOSThread()
		if err := forgetOpenat2(); err != nil {
			t.Fatal(err)
		}
		t.Fatal(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "YESTER_TEST_FORGOTTEN=1")))
	default:
		_, err := NewDir(dir)
		fmt.Println(errors.Is(err, unix.ENOSYS), err)
		return
	}
	if out := withoutOpenat2(t, t.TempDir()); !strings.Contains(out, "true") || !strings.Contains(out, "needs Linux 5.6 or newer") {
		t.Error(out)
	}
}
