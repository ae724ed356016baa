package integration

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// scale makes hostile trees smaller while one works on something else: YESTER_SCALE=0.01.
func scale(t testing.TB) float64 {
	s := os.Getenv("YESTER_SCALE")
	if s == "" {
		return 1
	}
	f, err := strconv.ParseFloat(s, 64)
	must(t, err)
	return f
}

// Whatever a partition holds is in its version, seen through the mount and copied out of it.
func TestEveryFileComesBackExactly(t *testing.T) {
	t.Parallel()
	for _, fs := range fileSystems {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			p := newPartition(t, fs, 16*gib)
			hostileTree(t, p, scale(t))
			d := start(t, home)
			d.activate("max", p)
			v := d.backup(p)
			want := read(t, p.dir, socket)

			t.Run("in the mount", func(t *testing.T) {
				got := read(t, v.Path)
				same(t, "the mounted version", want, got)
				for path, w := range want {
					// Reserved space is data to some file systems, and a hole to others.
					if strings.HasPrefix(path, "holes/") && got[path].data > w.data+mib {
						t.Errorf("%s has %d bytes of data in the mount, %d at the source: its holes are not told", path, got[path].data, w.data)
					}
				}
			})
			t.Run("to rsync", func(t *testing.T) {
				if out := rsyncDifferences(t, v.Path, p.dir, "/"+socket); out != "" {
					t.Errorf("rsync would have to do:\n%.4000s", out)
				}
			})
			t.Run("after cp", func(t *testing.T) {
				q := newPartition(t, fs, 16*gib)
				command(t, "cp", "-a", v.Path+"/.", q.dir)
				same(t, "the copy by cp -a", want, read(t, q.dir))
			})
			t.Run("after tar", func(t *testing.T) {
				q := newPartition(t, fs, 16*gib)
				tarFrom(t, v.Path, q.dir)
				same(t, "the copy by tar", asTarKeepsIt(want), read(t, q.dir))
			})
		})
	}
}

// tarFrom copies a tree by way of tar.
func tarFrom(t testing.TB, from, to string) {
	t.Helper()
	flags := []string{"--xattrs", "--xattrs-include=*", "--acls", "-S", "--numeric-owner", "-b", "512"}
	in := exec.Command("tar", append(flags, "-C", from, "-cf", "-", ".")...)
	out := exec.Command("tar", append(flags, "-C", to, "-xpf", "-")...)
	pipe, err := in.StdoutPipe()
	must(t, err)
	out.Stdin = pipe
	var inErr, outErr strings.Builder
	in.Stderr, out.Stderr = &inErr, &outErr
	must(t, in.Start())
	must(t, out.Start())
	if err := out.Wait(); err != nil {
		t.Errorf("tar -x: %v\n%s", err, &outErr)
	}
	if err := in.Wait(); err != nil {
		t.Errorf("tar -c: %v\n%s", err, &inErr)
	}
}

// asTarKeepsIt is m but for what tar itself loses: that fifos and devices are hard links of each other.
func asTarKeepsIt(m manifest) manifest {
	kept := maps.Clone(m)
	for path, r := range kept {
		switch r.mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
			r.nlink, r.group = 1, ""
			kept[path] = r
		}
	}
	return kept
}

// A path may be longer than any system call takes at once.
func TestPathLongerThanPathMaxComesBack(t *testing.T) {
	t.Parallel()
	const levels = 60
	name := strings.Repeat("long", 50)
	home := newHome(t)
	p := newPartition(t, "ext4", gib)
	// descend opens the folder at the end of the path, step by step.
	descend := func(root string, create bool) *os.File {
		t.Helper()
		fd, err := unix.Open(root, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		for range levels {
			if create {
				must(t, unix.Mkdirat(fd, name, 0o755))
			}
			next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, errors.Join(err, unix.Close(fd)))
			fd = next
		}
		return os.NewFile(uintptr(fd), "the lowest folder")
	}
	file := func(dir *os.File, flags int) *os.File {
		t.Helper()
		fd, err := unix.Openat(int(dir.Fd()), "file", flags|unix.O_CLOEXEC, 0o644)
		must(t, errors.Join(err, dir.Close()))
		return os.NewFile(uintptr(fd), "file")
	}
	f := file(descend(p.dir, true), unix.O_CREAT|unix.O_WRONLY)
	_, err := f.WriteString("deep down")
	must(t, errors.Join(err, f.Close()))

	d := start(t, home)
	d.activate("max", p)
	v := d.backup(p)
	f = file(descend(v.Path, false), unix.O_RDONLY)
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != "deep down" {
		t.Errorf("the file at the end of a long path is %q, %v", b, err)
	}
}

// In each subvolume numbers of files begin anew, and those of hard-linked files and of folders are what programs tell them apart by.
func TestNestedSubvolumesComeBackExactly(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p := newPartition(t, "btrfs", gib)
	for _, volume := range []string{"a", "b", "b/c"} {
		command(t, "btrfs", "-q", "subvolume", "create", p.path(volume))
		for i := range 16 {
			folder := p.path(volume, fmt.Sprint("folder ", i))
			must(t, os.Mkdir(folder, 0o755))
			must(t, os.WriteFile(folder+"/one", fmt.Append(nil, volume, i), 0o644))
			must(t, os.Link(folder+"/one", folder+"/other"))
		}
	}
	d := start(t, home)
	d.activate("max", p)
	v := d.backup(p)
	want := read(t, p.dir)
	same(t, "the mounted version", want, read(t, v.Path))
	find := []string{"sh", "-c", `cd "$0" && find . | sort`}
	if got, want := command(t, append(find, v.Path)...), command(t, append(find, p.dir)...); got != want {
		t.Errorf("find lists\n%s\nand at the source\n%s", got, want)
	}
	q := newPartition(t, "btrfs", gib)
	command(t, "cp", "-a", v.Path+"/.", q.dir)
	same(t, "the copy by cp -a", want, read(t, q.dir))
}
