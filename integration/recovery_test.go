package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A sample is an example of a page: command lines, which begin with "# ", and what they print.
type sample struct {
	commands []string
	output   []string
}

// samples are the examples of a page.
func samples(page string) (all []sample) {
	for i, part := range strings.Split(page, "```") {
		if i%2 == 0 {
			continue
		}
		var b sample
		for line := range strings.Lines(part[strings.IndexByte(part, '\n')+1:]) {
			line = strings.TrimRight(line, "\n")
			if command, ok := strings.CutPrefix(line, "# "); ok {
				b.commands = append(b.commands, command)
			} else if line != "" {
				b.output = append(b.output, line)
			}
		}
		all = append(all, b)
	}
	return all
}

// What is another one each time: numbers with their units, times, ids.
var (
	hexID   = regexp.MustCompile(`\b[0-9a-f]{8}([0-9a-f]{24})?\b`)
	figures = regexp.MustCompile(`[0-9][0-9,.:TZ-]*( (B|kB|MB|GB|s|min|h|days?)\b)?`)
	dayName = regexp.MustCompile(`\b(today|tomorrow|yesterday)\b`)
	spaces  = regexp.MustCompile(`[ \t]+`)
)

// plain is output without all that.
func plain(lines []string) []string {
	var out []string
	for _, l := range lines {
		l = hexID.ReplaceAllString(l, "ID")
		l = dayName.ReplaceAllString(figures.ReplaceAllString(l, "N"), "N")
		for strings.Contains(l, "N N") {
			l = strings.ReplaceAll(l, "N N", "N")
		}
		if l = strings.TrimSpace(spaces.ReplaceAllString(l, " ")); l != "" {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// oldMachine makes the vault that the page begins with: two versions of a partition, made by a machine named web1, on a disk that is then taken away.
const oldMachine = `
exec 2>&1
export PATH=$(dirname "$YESTER"):$PATH
machine() { printf '%s\n' "$2" >"$WORK/machine-id-$1"; mount --bind "$WORK/machine-id-$1" /etc/machine-id; hostname "$1"; }
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/fuse c 10 229
ln -s /proc/self/fd /dev/fd
for d in sdb1:$BACKUP sdc1:$LOST sdd1:$SHOP; do mknod /dev/${d%:*} b 7 ${d#*:}; done
mount -t tmpfs none /mnt
mount -t tmpfs none /srv
mount -t tmpfs none /root
mkdir /mnt/disk /srv/shop
machine web1 11111111111111111111111111111111
mount /dev/sdb1 /mnt/disk
mount /dev/sdc1 /srv/shop
export YESTER_HOME=$WORK/old
yester daemon 2>"$WORK/old.log" &
until yester status >/dev/null 2>&1; do sleep 0.1; done
yester vault init --place /mnt/disk/vault >/dev/null
yester activate --partition srv-shop --priority max >/dev/null
mkdir /srv/shop/orders
for i in $(seq 200); do seq $i 9999 >/srv/shop/orders/$i.csv; done
echo 'paid: 17' >/srv/shop/orders/2026.csv
yester backup --wait >/dev/null
sleep 1.1
echo 'paid: 18' >/srv/shop/orders/2026.csv
yester backup --wait >/dev/null
kill %1; wait
umount /srv/shop /mnt/disk
rmdir /mnt/disk
machine web1 22222222222222222222222222222222
export YESTER_HOME=$WORK/new
set -v
`

// The recovery page is done as it stands there, from the disk with the vault to the first backup of the new machine, and prints what it says.
func TestRecoveryPageWorksAsWritten(t *testing.T) {
	need(t)
	page, err := os.ReadFile("../docs/RECOVERY.md")
	must(t, err)
	dir := filepath.Dir(newHome(t))
	env := append(os.Environ(), "YESTER="+yester, "WORK="+dir, "LC_ALL=C")
	for _, name := range []string{"BACKUP", "LOST", "SHOP"} {
		env = append(env, name+"="+strings.TrimPrefix(newDisk(t, filepath.Join(dir, name)), "/dev/loop"))
	}
	var script strings.Builder
	script.WriteString(strings.Replace(oldMachine, "set -v\n", "", 1))
	all := samples(string(page))
	for i, b := range all {
		fmt.Fprintf(&script, "echo '@@ %d'\n%s\n", i, strings.Join(b.commands, "\n"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Nothing of it is seen outside, and all of it ends with the script.
	cmd := exec.CommandContext(ctx, "unshare", "-m", "-u", "-p", "--fork", "--kill-child", "--mount-proc", "bash", "-e", "-o", "pipefail", "-c", script.String())
	cmd.Dir = "/"
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	text := strings.NewReplacer(", "+dir+"/old", "", dir+"/new/mnt", "/yester", dir+"/new", "/var/lib/yester").Replace(string(out))
	if os.Getenv("YESTER_SHOW") != "" {
		fmt.Println(text)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	parts := strings.Split(text, "@@ ")
	if len(parts) != len(all)+1 || len(all) < 4 {
		t.Fatalf("%d of %d examples were done\n%s", len(parts)-1, len(all), text)
	}
	for i, b := range all {
		got := strings.Split(parts[i+1], "\n")[1:]
		if want := plain(b.output); !slices.Equal(plain(got), want) {
			t.Errorf("the example with %q prints\n%s\nand the page says\n%s", b.commands[0], strings.Join(got, "\n"), strings.Join(b.output, "\n"))
		}
	}
}

// newDisk makes a disk with an empty file system, in a file, and returns its device.
func newDisk(t testing.TB, image string) (device string) {
	t.Helper()
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(2*gib))
	must(t, f.Close())
	command(t, "mkfs.ext4", "-q", "-F", "-I", "256", image)
	device = strings.TrimSpace(command(t, "losetup", "--show", "-f", image))
	t.Cleanup(func() { command(t, "losetup", "-d", device) })
	return device
}
