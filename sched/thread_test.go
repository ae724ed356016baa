package sched

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A manner is how gently a thread works.
type manner struct {
	nice    int
	class   IOClass // 0: none was set
	level   int
	isThere bool
}

// mannerOf asks the kernel about a thread, 0 for the calling one.
func mannerOf(thread int) manner {
	const whoProcess = 1
	nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	io, _, errno := syscall.Syscall(syscall.SYS_IOPRIO_GET, whoProcess, uintptr(thread), 0)
	return manner{20 - nice, IOClass(io >> 13), int(io & 7), err == nil && errno == 0}
}

// gentle lists the threads of this process that are not as ours is.
func gentle(t *testing.T, usual manner) (threads []string) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := mannerOf(id); m.isThere && m != usual {
			threads = append(threads, fmt.Sprintf("%d: %+v", id, m))
		}
	}
	return threads
}

func TestJobRunsOnAThreadOfItsPriority(t *testing.T) {
	for _, p := range []Priority{Low, High} {
		var got manner
		new(Crew).Run(p, func() { got = mannerOf(0) })
		if want := (manner{p.Nice, p.IOClass, p.IOLevel, true}); got != want {
			t.Errorf("%s: got %+v, want %+v", p.Name, got, want)
		}
	}
	usual, got := mannerOf(0), manner{}
	new(Crew).Run(Max, func() { got = mannerOf(0) })
	if got != usual {
		t.Errorf("max: got %+v, not %+v as usual", got, usual)
	}
}

// Whatever runs beside gentle jobs, is started by them, or comes after them, is as usual: a restore, a mount.
func TestNoOtherGoroutineRunsOnAGentleThread(t *testing.T) {
	usual, crew := mannerOf(0), new(Crew)
	check := func(who string) {
		if m := mannerOf(0); m != usual {
			t.Errorf("a goroutine %s has %+v, not %+v", who, m, usual)
		}
	}
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			crew.Run(Low, func() {
				inside := make(chan struct{})
				go func() { check("started by a job"); close(inside) }()
				<-inside
			})
			check("that had a job run")
		})
		all.Go(func() { check("beside") })
	}
	all.Wait()
	for range 1000 { // threads end a moment after their goroutines
		if len(gentle(t, usual)) == 0 {
			return
		}
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 10_000})
	}
	t.Errorf("gentle threads are left: %q", gentle(t, usual))
}

// While somebody wants something of the process, nobody waits for a nice thread.
func TestCrewHurriesWhileItIsAwaited(t *testing.T) {
	var awaited atomic.Bool
	c := &Crew{Awaited: awaited.Load}
	nice, usual := manner{Low.Nice, Low.IOClass, Low.IOLevel, true}, manner{Max.Nice, Max.IOClass, Max.IOLevel, true}
	becomes := func(want manner) {
		t.Helper()
		for end := time.Now().Add(time.Minute); mannerOf(0) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it stays %+v, want %+v", mannerOf(0), want)
			}
		}
	}
	c.Run(Low, func() {
		becomes(nice)
		awaited.Store(true)
		becomes(usual)
		c.Run(Low, func() {
			if got := mannerOf(0); got != usual {
				t.Errorf("one that joins a crew in a hurry is %+v", got)
			}
		})
		awaited.Store(false)
		becomes(nice)
	})
	c.Run(Low, func() { becomes(nice) })
}

func TestPanicOfAJobIsItsCallers(t *testing.T) {
	defer func() {
		if got := recover(); got != "broken" {
			t.Errorf("got %v", got)
		}
	}()
	new(Crew).Run(Low, func() { panic("broken") })
	t.Error("came back")
}
