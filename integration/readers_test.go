package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const manyReaders = 50

// Fifty processes read different versions and check every byte, while the daemon backs up, deletes, collects and scrubs. In a
// torture they do so on each file system, until its time is over; else each reads one version once.
func TestFiftyReadersBesideAllOtherWork(t *testing.T) {
	t.Parallel()
	systems, until := fileSystems[:1], time.Duration(0)
	if long := tortureTime(t); long > 0 {
		systems, until = fileSystems, long/time.Duration(len(fileSystems))
	}
	for _, fs := range systems {
		t.Run(fs, func(t *testing.T) {
			home := newHome(t)
			p := newPartition(t, fs, 4*gib)
			tr := &tree{t: t, fs: fs, dir: p.dir, rand: newStream(5)}
			tr.sizes()
			tr.broad("broad", 300)
			tr.big("big", 4*mib)
			c := &changer{t: t, dir: p.dir, rand: newRand(t)}
			d := start(t, home)
			d.activate("max", p)

			var keep []version
			sums := filepath.Join(filepath.Dir(home), "sums")
			must(t, os.Mkdir(sums, 0o755))
			for i := range 10 {
				v := d.backup(p)
				if i%2 == 0 { // the others are deleted, and the packs that they share with these written anew
					keep = append(keep, v)
					all, err := checksums(p.dir)
					must(t, err)
					b, err := json.Marshal(all)
					must(t, err)
					must(t, os.WriteFile(filepath.Join(sums, v.Version), b, 0o644))
				}
				c.change(read(t, p.dir), 0.1)
			}

			stop := d.underLoad(p, keep...)
			var wg sync.WaitGroup
			reads := make([]reads, manyReaders)
			for i := range reads {
				v := keep[i%len(keep)]
				wg.Go(func() {
					reader := user{name: "root"}
					if err := reader.tryProbe(t, &reads[i], "read", v.Path, filepath.Join(sums, v.Version), strconv.Itoa(i), until.String()); err != nil {
						t.Errorf("reader %d of %s: %v", i, v.Version, err)
					}
				})
			}
			wg.Wait()
			stop()
			var files, bytes int64
			for i, r := range reads {
				files, bytes = files+r.Files, bytes+r.Bytes
				for _, wrong := range r.Wrong {
					t.Errorf("reader %d: %s", i, wrong)
				}
			}
			t.Logf("%d readers read %d files, %d MB", manyReaders, files, bytes/1e6)
			tally(t, int(files), "files read and compared beside backups, collections and scrubs")
		})
	}
}

// reads are what one reader did.
type reads struct {
	Files, Bytes int64
	Wrong        []string // at most maxDifferences
}

// checksums are those of all that a tree holds, by path.
func checksums(root string) (map[string]string, error) {
	all := map[string]string{}
	return all, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err == nil {
			all[rel], _, err = checksum(path)
		}
		return err
	})
}

// checksum is what a name has that must be right: attributes, names, target or bytes, of which it tells how many were read.
func checksum(path string) (sum string, n int64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", 0, err
	}
	sum = fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	h := sha256.New()
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return sum + " " + target, 0, err
	case unix.S_IFDIR:
		entries, err := os.ReadDir(path)
		for _, e := range entries {
			fmt.Fprintf(h, "%q\n", e.Name())
		}
		return fmt.Sprintf("%s %x", sum, h.Sum(nil)), 0, err
	case unix.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return "", 0, err
		}
		defer f.Close()
		n, err := io.Copy(h, f)
		return fmt.Sprintf("%s %d %x", sum, n, h.Sum(nil)), n, err
	}
	return sum, 0, nil
}

// readVersion reads a version in a random order, all of it at least once, and again until a time is over. Its arguments are the version's
// folder, a file of checksums, a seed, and how long.
func readVersion(args []string) (out reads, err error) {
	dir := args[0]
	b, err := os.ReadFile(args[1])
	if err != nil {
		return out, err
	}
	want := map[string]string{}
	if err := json.Unmarshal(b, &want); err != nil {
		return out, err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return out, err
	}
	long, err := time.ParseDuration(args[3])
	if err != nil {
		return out, err
	}
	paths := make([]string, 0, len(want))
	for path := range want {
		paths = append(paths, path)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for began := time.Now(); ; {
		r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		for _, rel := range paths {
			path := filepath.Join(dir, rel)
			got, n, err := checksum(path)
			if (err != nil || got != want[rel]) && len(out.Wrong) < maxDifferences {
				out.Wrong = append(out.Wrong, fmt.Sprintf("%s is %s, not %s: %v", path, got, want[rel], err))
			}
			out.Files, out.Bytes = out.Files+1, out.Bytes+n
			if r.IntN(4) == 0 {
				forgetCached(path)
			}
		}
		if time.Since(began) >= long {
			return out, nil
		}
	}
}

// forgetCached has the kernel drop what it keeps of a file, so that the daemon is asked again.
func forgetCached(path string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
}
