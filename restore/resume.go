package restore

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"yester/snapshot"
)

// A claim is what the mark of a target says. Its times are in seconds, by the clock of the target's file system.
type claim struct {
	moment string // in which something was put there that may not be on the disk; "": it is not known to be there, not even if that goes on
	from   int64  // when the first restore began
	until  int64  // when the last one ended, and all of it was on the disk; 0: it did not
	job    string // of the first one
}

func (c *claim) text() []byte {
	return fmt.Appendf(nil, "%s\n%d %d\n%s", c.moment, c.from, c.until, c.job)
}

func parseClaim(text string) (c claim) {
	c.moment, text, _ = strings.Cut(text, "\n")
	times, job, _ := strings.Cut(text, "\n")
	c.job = job
	_, _ = fmt.Sscan(times, &c.from, &c.until)
	return c
}

// clockBack is by how many seconds the clock may be set back while a restore runs, as on a machine whose clock is in another zone until the network is up.
const clockBack = 24 * 60 * 60

// has tells whether what was changed last at a time may be as a restore left it: nobody has touched it since.
func (c *claim) has(changed int64) bool {
	return changed >= c.from-clockBack && (c.until == 0 || changed <= c.until)
}

// begin marks the target, from before the first file gets its name until all that was put there is on the disk, so that what a power cut tore is found: new files get their names before
// their content is on the disk, for to wait for each would make a restore many times slower. The mark of an earlier restore that was broken off stays.
func (r *run) begin() {
	marks, since := [...]string{snapshot.RestoringMark, snapshot.RestoringMarkOfUser}, moment(r.o.Target)
	value := make([]byte, 256)
	for _, r.mark = range marks {
		if n, err := unix.Fgetxattr(r.o.Target, r.mark, value); err == nil {
			c := parseClaim(string(value[:n]))
			r.resumes, r.doubts, r.ends = true, c.until == 0 && (since == "" || c.moment != since), c.job == r.job()
			r.earlier, r.claim = c, c
			if c.until != 0 && r.writes() {
				r.claim.moment, r.claim.until = since, 0
				set := r.setMark
				if !r.ends { // of another restore, all of which is on the disk
					set = func() error { return r.setMarkNow(&r.claim.from) }
				}
				r.unmarked = set() != nil
			}
			return
		}
	}
	if !r.writes() {
		return
	}
	r.ends, r.claim = true, claim{moment: since, job: r.job()}
	for _, r.mark = range marks {
		if r.setMarkNow(&r.claim.from) == nil {
			return
		}
	}
	r.unmarked = true
}

func (r *run) setMark() error {
	if err := unix.Fsetxattr(r.o.Target, r.mark, r.claim.text(), 0); err != nil {
		return err
	}
	return unix.Fsync(r.o.Target)
}

// setMarkNow sets the mark with the time at which it is set, which a mark without it tells.
func (r *run) setMarkNow(now *int64) error {
	if err := unix.Fsetxattr(r.o.Target, r.mark, r.claim.text(), 0); err != nil {
		return err
	}
	st, err := lookFD(r.o.Target)
	if err != nil {
		return err
	}
	*now = st.Ctime.Sec
	return r.setMark()
}

// syncPatience is how long a restore that is broken off waits until what it wrote is on the disk.
const syncPatience = 2 * time.Second

var errNotSynced = errors.New("the disk takes longer")

// sync waits until everything is on the disk, and once the restore is broken off not for long: then what is there stays in doubt. If the disk says, be it later, that it could not keep all,
// the mark tells so: that is said once, and what was lost may still be in memory.
func (r *run) sync(well bool) error {
	done, err := apart(r.o.Target, func(fd int) error {
		err := unix.Syncfs(fd)
		if err != nil && !r.unmarked {
			lost := r.claim
			lost.moment, lost.until = "", 0
			_ = unix.Fsetxattr(fd, r.mark, lost.text(), 0)
			_ = unix.Fsync(fd)
		}
		return err
	})
	if err != nil {
		return err
	}
	if well {
		select {
		case err := <-done:
			return err
		case <-r.ctx.Done():
		}
	}
	select {
	case err := <-done:
		return err
	case <-time.After(syncPatience):
		return cmp.Or(r.ctx.Err(), errNotSynced)
	}
}

// apart does what may take minutes, and cannot be cancelled, with a descriptor of its own, so that nobody need wait for it. The error may be that of closing it.
func apart(fd int, do func(fd int) error) (<-chan error, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := do(own)
		done <- cmp.Or(err, unix.Close(own))
	}()
	return done, nil
}

// end removes the mark when everything is on the disk, and all was restored, or notes in it that nothing is in doubt. That of an earlier restore stays if something that it may have put
// there was not looked at.
func (r *run) end(well bool) {
	all := r.o.OnConflict == Overwrite && r.select_.top().in && len(r.select_.excludes) == 0
	switch {
	case well && (!r.resumes || (r.ends || all) && r.result.Failed.Count == 0):
		_ = unix.Fremovexattr(r.o.Target, r.mark)
	case !r.doubts:
		_ = r.setMarkNow(&r.claim.until)
	}
	if well && r.lockTop != 0 {
		r.lock(&holder{fd: r.o.Target}, r.lockTop)
	}
}

// leftover is what tempName makes.
var leftover = regexp.MustCompile("^" + regexp.QuoteMeta(temporary) + "[0-9a-f]{8}-[0-9a-f]{16}$")

// sweep removes from a folder what an earlier restore was making when it was killed: files that nobody holds any more, and what cannot be held and was there before this restore began, as
// symlinks and further names of files are only for a moment.
func (r *run) sweep(dir int) {
	d, err := reopen(dir)
	if err != nil {
		return
	}
	defer d.Close()
	for names, err := d.Readdirnames(1000); err == nil; names, err = d.Readdirnames(1000) {
		for _, name := range names {
			if leftover.MatchString(name) && !strings.HasPrefix(name, ours) {
				r.sweepName(dir, name)
			}
		}
	}
}

func (r *run) sweepName(dir int, name string) {
	st, there, err := look(dir, name)
	kind := st.Mode & unix.S_IFMT
	if err != nil || !there || kind == unix.S_IFDIR {
		return
	}
	if kind != unix.S_IFREG || st.Nlink != 1 {
		if time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec)).Before(r.began) {
			_ = unix.Unlinkat(dir, name, 0)
		}
		return
	}
	fd, err := openIn(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = unix.Unlinkat(dir, name, 0)
	}
}

// moment names the boot and the mount of the target: what was written in the same one is there, whatever was killed. "" before Linux 6.8, where it cannot be told.
func moment(fd int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var st unix.Statx_t
	if err != nil || unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st) != nil || st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d", strings.TrimSpace(string(boot)), st.Mnt_id)
}

// markUnfinished marks a folder that this restore is to give what the version has for it. Without that, one that goes on leaves the folder as it is.
func markUnfinished(fd int) {
	if st, err := lookFD(fd); err == nil {
		text := fmt.Appendf(nil, "%o %d %d", st.Mode&0o7777, st.Uid, st.Gid)
		if unix.Fsetxattr(fd, snapshot.UnfinishedMark, text, 0) != nil {
			_ = unix.Fsetxattr(fd, snapshot.UnfinishedMarkOfUser, text, 0)
		}
	}
}

// unmark removes the marks of an unfinished folder, and tells whether there was one.
func unmark(fd int) bool {
	privileged, ofUser := unix.Fremovexattr(fd, snapshot.UnfinishedMark), unix.Fremovexattr(fd, snapshot.UnfinishedMarkOfUser)
	return privileged == nil || ofUser == nil
}

// isUnfinished tells whether a restore that was broken off left the folder to this one. If a restore has ended well since, or somebody has given the folder a mode or an
// owner, the mark means nothing, and goes; so it does if any owner may have set it, where the target has a mark of the other kind.
func (r *run) isUnfinished(f *folder) bool {
	value := make([]byte, 64)
	n, err := unix.Fgetxattr(f.fd, snapshot.UnfinishedMark, value)
	privileged := err == nil
	if !privileged {
		n, err = unix.Fgetxattr(f.fd, snapshot.UnfinishedMarkOfUser, value)
	}
	if err != nil {
		return false
	}
	var then struct{ mode, uid, gid uint32 }
	_, scanErr := fmt.Sscanf(string(value[:n]), "%o %d %d", &then.mode, &then.uid, &then.gid)
	st, err := lookFD(f.fd)
	mode, e := uint32(st.Mode&0o7777), &f.entry
	if n == 0 && privileged && err == nil && mode == 0o700 && int(st.Uid) == os.Geteuid() { // of a yester that did not mark the target: the folder is as it made it
		return true
	}
	ofRestore := r.resumes && (privileged || r.mark == snapshot.RestoringMarkOfUser)
	own := func(has, then, version uint32) bool { return has == then || has == version } // it may have been broken off between the two
	if ofRestore && scanErr == nil && err == nil && own(mode, then.mode, e.Mode&0o7777) && own(st.Uid, then.uid, e.UID) && own(st.Gid, then.gid, e.GID) {
		return true
	}
	if r.writes() {
		unmark(f.fd)
	}
	return false
}

// noteClosed tells, once, of a folder that stays closed to some whom the version lets in: where no mark can be set it may be one that a restore was broken off over, which made it or narrowed
// it, whoever owns it.
func (r *run) noteClosed(f *folder) {
	if !r.unmarked || !f.whole || !r.writes() {
		return
	}
	st, err := lookFD(f.fd)
	if err != nil {
		return
	}
	const group, other = 0o050, 0o005 // who may list it, and go through
	has, e := uint32(st.Mode), &f.entry
	missing := e.Mode & (group | other) &^ has
	if !r.o.NoOwner && e.UID != st.Uid { // then whom it belongs to in the version is but one of the others
		missing |= e.Mode >> 6 & other &^ has
	}
	if !r.o.NoOwner && e.GID != st.Gid {
		missing |= e.Mode >> 3 & other &^ has
	}
	if missing != 0 {
		r.noteOnce("closed", f.path, "this folder stays closed to some, as it was, whom the version lets in; if a restore that was broken off left it so, "+
			"`--on-conflict overwrite` puts it right; said once for all folders")
	}
}

// job names what is restored.
func (r *run) job() string {
	o := &r.o
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", [][]string{{o.Version.Instance, o.Version.Partition.Name, o.Version.Name}, o.Paths, o.Includes, o.Excludes}))
	return fmt.Sprintf("%x", sum[:8])
}

// torn tells a file that a restore had put there and a power loss took content from: its time was set by us. It may be as long as it should be, and take as much room: the
// pieces come to the disk in any order, and after their blocks were taken. So, after a power loss, each is compared that was not there before; after another end that is done with those
// that take too little room, which may be just compressed.
func (r *run) torn(it *item, st *unix.Statx_t) (bool, error) {
	e := &it.entry
	if !r.resumes || !r.earlier.has(st.Ctime.Sec) { // then it is somebody's: files of two versions may have one time, as those of a build do
		return false, nil
	}
	if !e.IsRegular() || st.Mode&unix.S_IFMT != unix.S_IFREG || !sameTime(fileTime(st.Mtime), e.Mtime) || !r.doubts && st.Blocks*512 >= e.Data {
		return false, nil
	}
	if st.Size != e.Size {
		return st.Size < e.Size, nil
	}
	m, err := r.asItShouldBe(it)
	return err == nil && !m.ok, err
}

func fileTime(t unix.StatxTimestamp) snapshot.Time { return snapshot.Time{Sec: t.Sec, Nsec: t.Nsec} }

// sameTime tells whether a time is what a file system may make of another: ntfs holds tenths of microseconds, network disks perhaps microseconds, ext4 with small inodes
// seconds.
func sameTime(have, want snapshot.Time) bool {
	for _, unit := range []uint32{1, 100, 1000, 1e9} {
		if have.Sec == want.Sec && have.Nsec == want.Nsec-want.Nsec%unit {
			return true
		}
	}
	return false
}
