package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is an ordinary user.
var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

var trace = regexp.MustCompile(`goroutine |panic|\.go:\d+|runtime error|0x[0-9a-f]{6,}`)

// explained checks that a command ended with a code and told why in a line or two that a person understands, with these words in it.
func explained(t testing.TB, a answer, code int, words ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(a.stderr), "\n")
	switch {
	case a.code != code:
		t.Errorf("exit code %d, want %d\n%s%s", a.code, code, a.stdout, a.stderr)
	case trace.MatchString(a.stderr) || strings.TrimSpace(a.stderr) == "":
		t.Errorf("not an explanation: %q", a.stderr)
	case len(lines) > 3:
		t.Errorf("%d lines, want one or two:\n%s", len(lines), a.stderr)
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(a.stderr), strings.ToLower(w)) {
			t.Errorf("no word of %q in %q", w, a.stderr)
		}
	}
}

// refusal starts a daemon that is expected to refuse, and returns what it says.
func refusal(t testing.TB, as *syscall.Credential, home string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, yester, "--home", home, "daemon")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var out strings.Builder
	cmd.Stderr = &out
	_ = cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("the daemon started, and should have refused\n%s", &out)
	}
	return answer{code: cmd.ProcessState.ExitCode(), stderr: out.String()}
}

// A vault that cannot be used is left as it is, and the daemon that had it says why until it can be used again. One that has none yet does not start with it.
func TestDaemonRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	hostileTree(t, p, 0)
	d := start(t, home)
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir, socket)
	d.stop()

	vault := filepath.Join(home, "vault")
	put := func(b []byte) func([]byte) []byte { return func([]byte) []byte { return b } }
	format99 := resealed("vault", func(body map[string]any) { body["format"] = 99 })
	otherKey := resealed("key", func(body map[string]any) { body["key"] = strings.Repeat("5e", 32) })
	cases := []struct {
		name  string
		spoil func()
		words []string
	}{
		{"a vault that is not there", func() { must(t, os.RemoveAll(vault)) }, []string{vault, "mounted"}},
		{"a vault of an unknown format", func() { rewrite(t, vault, "vault.json*", format99) }, []string{vault, "format", "99"}},
		{"a vault.json that is none", func() { rewrite(t, vault, "vault.json*", put([]byte("{]"))) }, []string{vault, "vault.json"}},
		{"an empty vault.json", func() { rewrite(t, vault, "vault.json*", put(nil)) }, []string{vault, "vault.json"}},
		{"a vault without keys", func() { must(t, os.RemoveAll(filepath.Join(vault, "keys"))) }, []string{vault, "key"}},
		{"a key of another vault", func() { rewrite(t, vault, "keys/*", otherKey) }, []string{vault, "key"}},
		{"damaged keys", func() { rewrite(t, vault, "keys/*", damaged) }, []string{vault, "key"}},
		{"empty keys", func() { rewrite(t, vault, "keys/*", put(nil)) }, []string{vault, "key"}},
	}
	for i, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			good, spoiled := vault+".good", vault+".spoiled"
			command(t, "cp", "-a", vault, good)
			c.spoil()
			if _, err := os.Stat(vault); err == nil {
				command(t, "cp", "-a", vault, spoiled)
			}
			d := start(t, home)
			d.expected = regexp.MustCompile("the vault is not opened")
			a := at(t, home, "vault", "info")
			t.Logf("%s", a.stderr)
			explained(t, a, failed, c.words...)
			s := d.run(done, "status").stdout
			for _, w := range c.words {
				if !strings.Contains(s, w) {
					t.Errorf("no word of %q in\n%s", w, s)
				}
			}
			if _, err := os.Stat(spoiled); err == nil {
				command(t, "diff", "-r", spoiled, vault)
				must(t, os.RemoveAll(vault))
			} else if _, err := os.Stat(vault); err == nil {
				t.Error("there is a vault again")
			}
			must(t, os.RemoveAll(spoiled))
			must(t, os.Rename(good, vault))
			if i == len(cases)-1 { // takes up to a minute
				d.wait("the vault to be used again", func() bool { _, err := os.Stat(v.Path); return err == nil })
				same(t, "the version when the vault is well again", want, read(t, v.Path))
			}
			d.stop()
		})
	}

	// A daemon that never had it is told at once, and does not begin.
	never := filepath.Join(filepath.Dir(home), "never")
	must(t, os.Mkdir(never, 0o755))
	command(t, "cp", "-a", vault, never)
	rewrite(t, never, "vault/keys/*", damaged)
	explained(t, refusal(t, nil, never), failed, filepath.Join(never, "vault"), "key")

	// One of two copies is enough, and the operator is told.
	rewrite(t, vault, "vault.json", damaged)
	rewrite(t, vault, "keys/????????????????", damaged)
	d = start(t, home)
	d.expected = regexp.MustCompile("damaged")
	same(t, "the version after all this", want, read(t, v.Path))
	if b, err := os.ReadFile(d.log); err != nil || !d.expected.Match(b) {
		t.Errorf("nothing is said of the damage: %s", b)
	}
}

// rewrite changes the files that match below dir.
func rewrite(t testing.TB, dir, pattern string, change func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("nothing is called %s in %s", pattern, dir)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		must(t, os.WriteFile(f, change(b), 0o600))
	}
}

func damaged(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

// resealed changes what a small file of a vault says, and keeps it whole.
func resealed(what string, change func(body map[string]any)) func([]byte) []byte {
	return func(b []byte) []byte {
		var file struct {
			Body map[string]any `json:"body"`
		}
		if json.Unmarshal(b, &file) != nil {
			return nil
		}
		change(file.Body)
		body, _ := json.Marshal(file.Body)
		sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		return fmt.Appendf(nil, `{"yester":"%s","crc32c":"%08x","body":%s}`, what, sum, body)
	}
}

func TestHomeThatIsAFileIsRefused(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	must(t, os.Remove(home))
	must(t, os.WriteFile(home, []byte("a file"), 0o644))
	explained(t, refusal(t, nil, home), wrongUse, home)
	if b, err := os.ReadFile(home); err != nil || string(b) != "a file" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// Without root there is no daemon; with a daemon of root's, others may not drive it.
func TestOrdinaryUsersAreRefused(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	theirs := p.path("theirs")
	must(t, os.Mkdir(theirs, 0o700))
	must(t, os.Chown(theirs, 65534, 65534))
	explained(t, refusal(t, nobody, theirs), failed, "root")
	start(t, home)
	for _, args := range [][]string{{"status"}, {"backup", "--wait"}, {"versions"}, {"activate"}} {
		explained(t, runAs(t, nobody, append([]string{yester, "--home", home}, args...)...), failed, "root")
	}
}

func TestWrongUseIsTwo(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	start(t, home)
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"nonsense", []string{"nonsense"}},
		{"backup --nonsense", []string{"nonsense"}},
		{"backup nonsense", []string{"nonsense"}},
		{"activate --priority urgent", []string{"urgent", "low", "high", "max"}},
		{"activate --start 25:61", []string{"25:61"}},
		{"activate --partition no-such-partition", []string{"no-such-partition", p.name}},
		{"activate --partition /proc", []string{"/proc", "cannot be backed up"}},
		{"activate --path /proc/self", []string{"/proc", "cannot be backed up"}},
		{"activate --path /dev/shm", []string{"/dev/shm", "cannot be backed up"}},
		{"activate --path " + p.path("no/such/folder"), []string{"no/such/folder"}},
		{"activate --exclude [", []string{"["}},
		{"tasks show", []string{"ID"}},
		{"vault nonsense", []string{"nonsense"}},
	} {
		t.Run(strings.ReplaceAll(c.args, "/", "|"), func(t *testing.T) {
			a := at(t, home, strings.Fields(c.args)...)
			t.Logf("%s", a.stderr)
			explained(t, a, wrongUse, c.words...)
		})
	}
}

func TestWithoutDaemonIsFour(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	for _, args := range []string{"status", "status --json", "backup", "backup --wait", "versions", "tasks list", "activate", "vault info"} {
		t.Run(args, func(t *testing.T) {
			explained(t, at(t, home, strings.Fields(args)...), noDaemon, "daemon")
		})
	}
}

func TestWhatIsNotThereIsAFailure(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	start(t, home)
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"backup --wait", []string{"activate"}},
		{"tasks show b-19700101-0001", []string{"b-19700101-0001"}},
		{"tasks cancel b-19700101-0001", []string{"b-19700101-0001"}},
		{"vault info", []string{"vault", "activate"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			explained(t, at(t, home, strings.Fields(c.args)...), failed, c.words...)
		})
	}
}

// One backup at a time: a second is refused, and told which one runs.
func TestSecondBackupIsRefused(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "ext4", 4*gib)
	large(t, p, "large", 9)
	d := start(t, home)
	d.activate("high", p)
	d.run(done, "backup")
	d.reach(1)
	id := d.status().Running.ID
	explained(t, at(t, home, "backup"), failed, "already running", id)
	d.run(done, "tasks", "cancel", id)
}
