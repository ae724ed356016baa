package integration

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What benchmarks work on is made from seeds, so that it is the same on every machine.

// A prose writes words that come again and again, as text and code do: lz4 halves it, about.
type prose struct {
	rnd   *rand.Rand
	words [4096][]byte
	line  []byte
}

func newProse(seed byte) *prose {
	p := &prose{rnd: rand.New(newStream(seed))}
	for i := range p.words {
		w := make([]byte, 2+p.rnd.IntN(9))
		for j := range w {
			w[j] = byte('a' + p.rnd.IntN(26))
		}
		p.words[i] = append(w, ' ')
	}
	return p
}

// Read fills b with words; one in a while is new.
func (p *prose) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(p.line) == 0 {
			// A few words are said much more often than the others.
			p.line = p.words[min(p.rnd.IntN(4096), p.rnd.IntN(4096), p.rnd.IntN(4096))]
			if p.rnd.IntN(16) == 0 {
				p.line = fmt.Appendf(nil, "%x\n", p.rnd.Uint32())
			}
		}
		k := copy(b[n:], p.line)
		n, p.line = n+k, p.line[k:]
	}
	return len(b), nil
}

// An accessLog writes lines as a web server logs them: lz4 makes a fifth of it.
type accessLog struct {
	rnd   *rand.Rand
	names [512]string
	now   time.Time
	line  []byte
	at    int // bytes of the line that were written
}

func newAccessLog(seed byte) *accessLog {
	l := &accessLog{rnd: rand.New(newStream(seed)), now: time.Unix(1_750_000_000, 0).UTC()}
	for i := range l.names {
		l.names[i] = strconv.FormatUint(uint64(l.rnd.Uint32()), 36)
	}
	return l
}

// Read fills b with lines.
func (l *accessLog) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if l.at == len(l.line) {
			r := l.rnd
			l.now = l.now.Add(time.Duration(r.IntN(500)) * time.Millisecond)
			l.at, l.line = 0, l.now.AppendFormat(fmt.Appendf(l.line[:0], "%d.%d.%d.%d - - [", 1+r.IntN(223), r.IntN(256), r.IntN(256), r.IntN(256)), "02/Jan/2006:15:04:05 -0700")
			l.line = fmt.Appendf(l.line, "] \"GET /%s/%s/%d HTTP/1.1\" %d %d \"https://www.example.com/%s\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36\"\n",
				l.names[r.IntN(32)], l.names[r.IntN(512)], r.IntN(1e6), []int{200, 200, 200, 304, 404}[r.IntN(5)], r.IntN(50_000), l.names[r.IntN(64)], 100+r.IntN(40))
		}
		k := copy(b[n:], l.line[l.at:])
		n, l.at = n+k, l.at+k
	}
	return len(b), nil
}

// makeBig makes a file of n bytes.
func makeBig(b testing.TB, path string, from io.Reader, n int64) {
	b.Helper()
	f, err := os.Create(path)
	must(b, err)
	defer f.Close()
	_, err = io.CopyBuffer(f, io.LimitReader(from, n), make([]byte, mib))
	must(b, err)
	must(b, f.Sync())
}

// makeFiles makes n files below dir, of mean bytes on average: many small, few large.
func makeFiles(b testing.TB, dir string, seed byte, n, inFolder, mean int) {
	b.Helper()
	p := newProse(seed)
	sizes := rand.New(newStream(seed + 1))
	buf := make([]byte, 64*mean)
	for i := range n {
		folder := filepath.Join(dir, fmt.Sprintf("part-%02d", i/inFolder%30), fmt.Sprintf("folder-%05d", i/inFolder))
		if i%inFolder == 0 {
			must(b, os.MkdirAll(folder, 0o755))
		}
		size := min(int(sizes.ExpFloat64()*float64(mean)), len(buf))
		_, _ = p.Read(buf[:size])
		must(b, os.WriteFile(fmt.Sprintf("%s/file-%06d.txt", folder, i), buf[:size], 0o644))
	}
}

// makeNames makes n empty files in one folder.
func makeNames(b testing.TB, dir string, n int) {
	b.Helper()
	must(b, os.Mkdir(dir, 0o755))
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/name-%07d", dir, i))
		must(b, err)
		must(b, f.Close())
	}
}

// drain reads a file to its end and throws it away, as dd does.
func drain(b testing.TB, path string) {
	b.Helper()
	f, err := os.Open(path)
	must(b, err)
	defer f.Close()
	_, err = io.Copy(struct{ io.Writer }{io.Discard}, bufio.NewReaderSize(f, mib))
	must(b, err)
}
