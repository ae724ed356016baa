package capture

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// hostile fills dir with what makes backups go wrong.
func hostile(t *testing.T, dir string) {
	for _, name := range []string{"plain", "new\nline", "\xff\xfe", "-rf", "*", " ", "ünïcode", `quo"te`, `back\slash`, strings.Repeat("n", 255)} {
		write(t, filepath.Join(dir, "names", name), name)
	}
	big := make([]byte, 3<<20+17)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(big)
	write(t, dir+"/big", string(big))
	write(t, dir+"/empty", "")
	write(t, dir+"/hard/one", "linked")
	must(t, os.Link(dir+"/hard/one", dir+"/hard/two"))
	must(t, os.Mkdir(dir+"/other", 0o700))
	must(t, os.Link(dir+"/hard/one", dir+"/other/three"))
	must(t, os.Symlink("hard/one", dir+"/link"))
	must(t, os.Symlink(strings.Repeat("far/", 250), dir+"/longlink"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	must(t, unix.Mknod(dir+"/fifo", unix.S_IFIFO|0o640, 0))
	must(t, unix.Mknod(dir+"/char", unix.S_IFCHR|0o620, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(dir+"/block", unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
	must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0))
	write(t, dir+"/modes/setuid", "x")
	must(t, os.Chmod(dir+"/modes/setuid", 0o755|fs.ModeSetuid|fs.ModeSetgid))
	must(t, os.Chown(dir+"/modes/setuid", 1234, 4321))
	must(t, os.Chmod(dir+"/modes", 0o777|fs.ModeSticky))
	write(t, dir+"/modes/none", "x")
	must(t, os.Chmod(dir+"/modes/none", 0))
	write(t, dir+"/xattrs/small", "x")
	must(t, unix.Setxattr(dir+"/xattrs/small", "user.name", []byte("value\x00bin"), 0))
	must(t, unix.Setxattr(dir+"/xattrs/small", "user.empty", nil, 0))
	must(t, unix.Setxattr(dir+"/xattrs/small", "trusted.t", []byte("t"), 0))
	must(t, unix.Setxattr(dir+"/xattrs", "user.dir", []byte("d"), 0))
	for _, mark := range []string{snapshot.RestoringMark, snapshot.RestoringMarkOfUser, snapshot.UnfinishedMark} { // of a restore under way
		must(t, unix.Setxattr(dir+"/xattrs", mark, nil, 0))
	}
	write(t, dir+"/xattrs/large", "x")
	must(t, unix.Setxattr(dir+"/xattrs/large", "user.large", bytes.Repeat([]byte("v"), 2000), 0))
	must(t, os.Symlink("x", dir+"/xattrs/link"))
	must(t, unix.Lsetxattr(dir+"/xattrs/link", "trusted.link", []byte("l"), 0))
	command(t, "setfacl", "-m", "u:1000:rw,g:7:r", dir+"/xattrs/small")
	command(t, "setfacl", "-d", "-m", "u:1000:rwx", dir+"/xattrs")
	write(t, dir+"/capable", "x")
	command(t, "setcap", "cap_net_raw+ep", dir+"/capable")
	sparse(t, dir+"/sparse", 10<<30, 0, 5<<20, 9<<30)
	sparse(t, dir+"/allhole", 1<<20)
	old := time.Unix(-1_000_000_000, 123_456_789)
	write(t, dir+"/old", "x")
	must(t, os.Chtimes(dir+"/old", old, old))
	must(t, os.MkdirAll(dir+"/folders/empty", 0o755))
}

// sparse makes a file of a size with a block of data at each offset.
func sparse(t *testing.T, path string, size int64, data ...int64) {
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	for _, off := range data {
		_, err := f.WriteAt(bytes.Repeat([]byte{'d'}, 4096), off)
		must(t, err)
	}
	must(t, f.Sync()) // data in the cache only has no extents yet on some file systems
}

func TestCapturesEverythingAFileHas(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			point := partition(t, fstype)
			hostile(t, point)
			r := newRig(t, point)
			v := r.run()
			compare(t, r, v, point)
			if v.Skipped != 1 {
				t.Errorf("%d skipped, want the socket", v.Skipped)
			}
			all := r.entries(v)
			if v.Added != uint64(len(all)) || v.Changed != 0 || v.Deleted != 0 {
				t.Errorf("added %d of %d, changed %d, deleted %d", v.Added, len(all), v.Changed, v.Deleted)
			}
			sparse := all["sparse"]
			data, holes := r.holesOf(&sparse)
			if data != 3*4096 || !slices.Equal(holes, []string{"4096+5238784", "5246976+9658429440", "9663680512+1073737728"}) {
				t.Errorf("%d bytes of data, holes %v", data, holes)
			}
			if v.ReadBytes > 4<<20 {
				t.Errorf("%d bytes read: holes or links were read", v.ReadBytes)
			}
		})
	}
}

// holesOf is content without the bytes, for a file too large to have in memory.
func (r *rig) holesOf(e *snapshot.Entry) (data uint64, holes []string) {
	must(r.t, snapshot.Spans(r.t.Context(), r.vault, e, 0, e.Size, func(s snapshot.Span) bool {
		if s.Hole() {
			holes = append(holes, fmt.Sprintf("%d+%d", s.Off, s.Len))
		} else {
			data += s.Len
		}
		return true
	}))
	return data, holes
}

// compare looks at the source and tells what differs from it in v.
func compare(t *testing.T, r *rig, v *snapshot.Version, point string) {
	t.Helper()
	all := r.entries(v)
	must(t, filepath.WalkDir(point, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		if d.Type() == fs.ModeSocket {
			return nil
		}
		rel, _ := below(path, point)
		e, ok := all[rel]
		if !ok {
			t.Errorf("%q is not there", rel)
		}
		delete(all, rel)
		if rel == "" && v.Consistency == "snapshot" { // removing the snapshot has set it since
			var st unix.Stat_t
			must(t, unix.Lstat(path, &st))
			e.Ctime = snapshot.Time{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)}
		}
		e.Ino &= 1<<subvolShift - 1
		compareStat(t, path, &e)
		compareRest(t, r, path, &e)
		return nil
	}))
	for path := range all {
		t.Errorf("%q is not at the source", path)
	}
}

func compareStat(t *testing.T, path string, e *snapshot.Entry) {
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	got := fmt.Sprintf("%o %d:%d links %d ino %d rdev %x size %d mtime %v ctime %v", e.Mode, e.UID, e.GID, e.Nlink, e.Ino, e.Rdev, e.Size, e.Mtime, e.Ctime)
	rdev := st.Rdev
	if k := st.Mode & unix.S_IFMT; k != unix.S_IFCHR && k != unix.S_IFBLK {
		rdev = 0
	}
	want := fmt.Sprintf("%o %d:%d links %d ino %d rdev %x size %d mtime %v ctime %v", st.Mode, st.Uid, st.Gid, st.Nlink, st.Ino, rdev, st.Size,
		snapshot.Time{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}, snapshot.Time{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)})
	if got != want {
		t.Errorf("%q\n got %s\nwant %s", path, got, want)
	}
	if e.Btime.Sec < 1_500_000_000 {
		t.Errorf("%q was born at %v", path, e.Btime)
	}
}

func compareRest(t *testing.T, r *rig, path string, e *snapshot.Entry) {
	x, err := snapshot.GetXattrs(t.Context(), r.vault, e)
	must(t, err)
	got, want := map[string]string{}, map[string]string{}
	must(t, x.All(func(n, v []byte) bool { got[string(n)] = string(v); return true }))
	list, value := make([]byte, xattrSize), make([]byte, xattrSize)
	n, err := unix.Llistxattr(path, list)
	must(t, err)
	for name := range strings.SplitSeq(strings.Trim(string(list[:n]), "\x00"), "\x00") {
		if name != "" && !snapshot.IsRestoreMark(name) {
			n, err := unix.Lgetxattr(path, name, value)
			must(t, err)
			want[name] = string(value[:n])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q: attributes %q, want %q", path, got, want)
	}
	switch e.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		if target, _ := os.Readlink(path); target != string(e.Target) {
			t.Errorf("%q leads to %q, want %q", path, e.Target, target)
		}
	case unix.S_IFREG:
		if e.Size > 1<<30 {
			return
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if got, _ := r.content(e); !bytes.Equal(got, want) {
			t.Errorf("%q: content differs", path)
		}
	}
}
