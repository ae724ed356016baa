package store

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The library maps all tables of the index, some 75 bytes a chunk, and what was touched of them counts as the process's memory. When tables are
// merged all of them are touched. So as long as somebody writes who wants little memory, the entries in mapped tables are given back now and then; they
// are read again when they are needed, which is seldom for chunks that are new. That they are new the filters say, which stay, at the tables' ends: they are asked
// for each chunk, and would be read from the disk each time. They are some 3 bytes a chunk.

const (
	trimEvery = 50 * time.Millisecond
	trimAbove = 40 << 20 // bytes of files mapped by the process beside filters, this program itself being some 25 MB of them
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
		m := mappedTables{dir: x.guard.dir}
		for {
			select {
			case <-end:
				return
			case <-t.C:
				if mappedFiles() > trimAbove+m.kept {
					m.unmap()
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

// mappedTables are the tables of an index in a folder. It is for one goroutine.
type mappedTables struct {
	dir  string
	data map[string]int64 // by name, bytes of those that were seen last that are entries
	kept uint64           // bytes of them that are not
}

// unmap gives back what is mapped of the entries in tables, and returns of how many tables and bytes. The kernel keeps what is not on the disk yet, and some of what lies in large
// pieces. MADV_PAGEOUT harms nobody even if another mapping has taken the place of one by then.
func (m *mappedTables) unmap() (n int, size uint64) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	seen := map[string]int64{}
	m.kept = 0
	for s := bufio.NewScanner(f); s.Scan(); {
		_, name, is := strings.Cut(s.Text(), m.dir+"/")
		if !is || filepath.Ext(name) != ".sst" {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(s.Text(), "%x-%x", &from, &to); err != nil {
			continue
		}
		data := m.data[name]
		if data == 0 {
			data = entriesOf(filepath.Join(m.dir, name))
		}
		data = min(data, int64(to-from))
		seen[name] = data
		m.kept += uint64(to-from) - uint64(data)
		data -= data % int64(os.Getpagesize())
		if data == 0 {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, uintptr(data), unix.MADV_PAGEOUT); errno == 0 {
			n++
			size += uint64(data)
		}
	}
	m.data = seen
	return n, size
}

// entriesOf is how many bytes of a table are entries, before its index and filter; 0 if it is not finished. See verifyTable.
func entriesOf(name string) int64 {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	at := info.Size()
	for range 2 { // the checksum, and what is before it
		var length [4]byte
		if _, err := f.ReadAt(length[:], at-4); err != nil {
			return 0
		}
		n := int64(binary.BigEndian.Uint32(length[:]))
		if n == 0 {
			return 0
		}
		at -= 4 + n
	}
	return max(at, 0)
}
