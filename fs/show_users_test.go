package fs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// as runs a command as an ordinary user and tells what it printed and whether it succeeded.
func as(uid uint32, command ...string) (out string, ok bool) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

func TestOrdinaryUserReadsWhatModeAndACLAllow(t *testing.T) {
	_, dir := mounted(t, "hostile")
	tests := []struct {
		uid     uint32
		file    string
		allowed bool
	}{
		{nobody, "plain", true},
		{nobody, "private", false},
		{nobody, "shared", true}, // by its ACL
		{1234, "shared", false},
		{nobody, "masked", false}, // its ACL's mask takes it away
		{nobody, "closed/inside", false},
		{nobody, "theirs", true},
		{1234, "theirs", false},
		{0, "private", true},
	}
	for _, tt := range tests {
		out, ok := as(tt.uid, "cat", filepath.Join(dir, tt.file))
		if ok != tt.allowed || !ok && !strings.Contains(out, "Permission denied") {
			t.Errorf("user %d reads %s: %v", tt.uid, tt.file, ok)
		}
	}
}

func TestTrustedAttributesAreHiddenFromOrdinaryUsers(t *testing.T) {
	if _, err := exec.LookPath("getfattr"); err != nil {
		t.Skip("getfattr is not installed")
	}
	_, dir := mounted(t, "hostile")
	out, ok := as(nobody, "getfattr", "-m", "-", "--absolute-names", filepath.Join(dir, "attrs"))
	if !ok || strings.Contains(out, "trusted.") || !strings.Contains(out, "user.some") {
		t.Errorf("an ordinary user sees %q", out)
	}
}

func TestMountIsReadOnlyNosuidNodev(t *testing.T) {
	s, _ := mounted(t, "small")
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " "+s.dir+" ") {
			if !strings.Contains(line, " ro,nosuid,nodev,") || !strings.Contains(line, " - fuse.yester yester ro,") {
				t.Error(line)
			}
			m, _ := parseMount(line)
			if b, err := os.ReadFile("/sys/class/bdi/" + m.device + "/read_ahead_kb"); err != nil || string(b) != "1024\n" {
				t.Errorf("read-ahead is %q, %v", b, err)
			}
			return
		}
	}
	t.Error("there is no mount")
}
