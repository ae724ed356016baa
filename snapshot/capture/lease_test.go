package capture

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"yester/store"
	"yester/store/pack"
)

// lease takes a lease on a file as a file server does, and calls asked when it is asked to give it up.
func lease(t *testing.T, path string, asked func(f *os.File)) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, unix.SIGIO)
	go func() {
		defer close(done)
		for range signals {
			asked(f)
		}
	}()
	t.Cleanup(func() {
		signal.Stop(signals)
		close(signals)
		<-done
		f.Close()
	})
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	must(t, err)
	return f
}

// leaseRig has a version of an older file, so that it is not opened ahead.
func leaseRig(t *testing.T) (r *rig, dir string) {
	r, dir = emptyRig(t)
	for _, name := range []string{"a", "leased", "z"} {
		write(t, dir+"/"+name, "x")
	}
	r.run()
	write(t, dir+"/leased", "22")
	return r, dir
}

func TestLeaseIsAskedBack(t *testing.T) {
	r, dir := leaseRig(t)
	lease(t, dir+"/leased", func(f *os.File) {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	})
	r.o.patience = time.Hour
	v := r.run()
	if got := r.paths(v, dir); !slices.Equal(got, []string{"a", "leased", "z"}) {
		t.Errorf("%q", got)
	}
	compare(t, r, v, dir)
}

func TestFileWhoseLeaseIsNotGivenUpIsSkipped(t *testing.T) {
	r, dir := leaseRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := lease(t, dir+"/leased", func(*os.File) { cancel() })
	r.o.patience = time.Hour
	if _, err := r.try(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.o.patience = 20 * time.Millisecond
	v := r.run("leased: it is skipped: open: another program has a lease on it, and does not give it up")
	if got := r.paths(v, dir); !slices.Equal(got, []string{"a", "z"}) || v.Skipped != 1 {
		t.Errorf("%q, %d skipped", got, v.Skipped)
	}
	must(t, f.Close())
	compare(t, r, r.run(), dir)
}

// What a try used up another has not.
func TestPatienceForLeasesIsThatOfAllTries(t *testing.T) {
	r, dir := leaseRig(t)
	lease(t, dir+"/leased", func(*os.File) {})
	src := openedSource(t, dir)
	r.o.patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	put, err := r.vault.Writer(r.o.Instance.ID, store.WriterOptions{Encoding: pack.LZ4})
	must(t, err)
	defer put.Close()
	w, err := newWalker(r.vault, put, &r.o, src)
	must(t, err)
	if _, err := w.openLeased(ctx, &target{dir: src.fd, name: zname("leased\x00")}); !errors.Is(err, errLeased) {
		t.Error(err)
	}
}
