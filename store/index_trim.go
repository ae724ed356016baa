package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The library maps all tables of the index, some 75 bytes a chunk, and what was touched of them counts as the process's memory. When tables are
// merged all of them are touched. So as long as somebody writes who wants little memory, mapped tables are given back now and then; they
// are read again when they are needed, which is seldom for chunks that are new.

const (
	trimEvery = 50 * time.Millisecond
	trimAbove = 40 << 20 // bytes of files mapped by the process, this program itself being some 25 MB of them
)

// trim gives mapped tables back until the function that it returns is called.
func (x *index) trim() (stop func()) {
	if x.guard == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(trimEvery)
		defer t.Stop()
		for {
			select {
			case <-end:
				return
			case <-t.C:
				if mappedFiles() > trimAbove {
					x.unmap()
				}
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// mappedFiles is how many bytes of files are mapped in memory; 0 if that is not to be found out.
func mappedFiles() uint64 {
	var size, resident, shared uint64
	b, _ := os.ReadFile("/proc/self/statm") // proc(5); in pages
	if _, err := fmt.Sscan(string(b), &size, &resident, &shared); err != nil {
		return 0
	}
	return shared * uint64(os.Getpagesize())
}

// unmap gives back what is mapped of the tables, and returns of how many. The kernel keeps what is not on the disk yet, and some of what lies in large pieces.
// MADV_PAGEOUT harms nobody even if another mapping has taken the place of one by then.
func (x *index) unmap() (n int) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0
	}
	defer f.Close()
	dir := []byte(x.guard.dir + "/")
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Bytes()
		var from, to uintptr
		if !bytes.Contains(line, dir) || !bytes.HasSuffix(line, []byte(".sst")) {
			continue
		}
		if _, err := fmt.Sscanf(string(line), "%x-%x", &from, &to); err != nil {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT); errno == 0 {
			n++
		}
	}
	return n
}
