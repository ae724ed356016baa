package fs

import (
	"bytes"
	"fmt"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The requests that are answered here (linux/fuse.h, enum fuse_opcode).
const (
	opLookup      = 1
	opForget      = 2
	opGetAttr     = 3
	opReadlink    = 5
	opRead        = 15
	opGetXattr    = 22
	opListXattr   = 23
	opReadDir     = 28
	opInterrupt   = 36
	opBatchForget = 42
	opReadDirPlus = 44
)

// opNames are for the trace, as go-fuse writes them.
var opNames = map[uint32]string{
	opLookup: "LOOKUP", opGetAttr: "GETATTR", opReadlink: "READLINK", opRead: "READ", opGetXattr: "GETXATTR", opListXattr: "LISTXATTR",
	opReadDir: "READDIR", opReadDirPlus: "READDIRPLUS",
}

const (
	inHeader  = int(unsafe.Sizeof(fuse.InHeader{}))
	outHeader = int(unsafe.Sizeof(fuse.OutHeader{}))
)

// A reply is an answer while it is made, in memory that is used for one after the other.
type reply struct {
	buf  []byte // the header, then what is told
	list dirList
	own  bool // of the goroutine that reads requests
	job  *job // that it is of, nil if it is of none; conn.own while that goroutine may come to wait for the vault
}

// room makes the reply n bytes long besides its header, and returns these.
func (r *reply) room(n int) []byte {
	if n += outHeader; cap(r.buf) < n {
		r.buf = make([]byte, n, max(n, 8<<10))
	}
	r.buf = r.buf[:n]
	return r.buf[outHeader:]
}

// in returns room for a T, zeroed.
func in[T any](r *reply) *T {
	b := r.room(int(unsafe.Sizeof(*new(T))))
	clear(b)
	return (*T)(unsafe.Pointer(unsafe.SliceData(b)))
}

// head writes the header; more bytes come after what is in the buffer.
func (r *reply) head(unique uint64, st fuse.Status, more int) {
	*(*fuse.OutHeader)(unsafe.Pointer(unsafe.SliceData(r.buf))) = fuse.OutHeader{Length: uint32(len(r.buf) + more), Status: -int32(st), Unique: unique}
}

// fail sends an answer that is nothing but an error.
func (r *reply) fail(c *conn, unique uint64, st fuse.Status) {
	r.room(0)
	r.head(unique, st, 0)
	c.write(r.buf)
}

// cut says that only the first n bytes after the header are told.
func (r *reply) cut(n int) { r.buf = r.buf[:outHeader+n] }

// answer answers a request; false if go-fuse must do it, or if it would have to wait and cancel is inline.
func (c *conn) answer(req []byte, cancel <-chan struct{}, r *reply) bool {
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(req)))
	name := opNames[h.Opcode]
	if name == "" {
		return false
	}
	st, pieces := c.ask(h, req, cancel, r)
	if st == mustWait {
		return false
	}
	if c.trace != nil {
		fmt.Fprintf(c.trace, "rx %d: %s n%d\n", h.Unique, name, h.NodeId)
	}
	if st != fuse.OK {
		r.room(0)
	}
	node, times := r.tells(h, st)
	c.view.tell(node, times) // before the kernel can forget it
	if r.job != nil && !c.claim(r) {
		if pieces != nil {
			pieces.done()
		}
		c.view.forget(node, times)
		return true
	}
	if pieces == nil {
		r.head(h.Unique, st, 0)
		if !c.write(r.buf) {
			c.view.forget(node, times)
		}
		return true
	}
	r.head(h.Unique, st, pieces.size)
	c.sendPieces(r.buf, pieces)
	return true
}

// tells returns how many nodes the kernel is told of, and one of them or the folder that they are in.
func (r *reply) tells(h *fuse.InHeader, st fuse.Status) (node nodeID, times uint64) {
	switch {
	case st != fuse.OK:
	case h.Opcode == opReadDirPlus:
		return nodeID(h.NodeId), r.list.told
	case h.Opcode == opLookup:
		if id := nodeID((*fuse.EntryOut)(unsafe.Pointer(unsafe.SliceData(r.buf[outHeader:]))).NodeId); id != 0 {
			return id, 1
		}
	}
	return 0, 0
}

// sendPieces sends an answer to Read: what is small as one piece, for that is quicker.
func (c *conn) sendPieces(head []byte, p *pieces) {
	defer p.done()
	const small = 16 << 10
	if p.size <= small {
		for _, b := range p.list {
			head = append(head, b...)
		}
		c.write(head)
		return
	}
	p.iov = append(append(p.iov[:0], head), p.list...)
	c.writev(p.iov)
	clear(p.iov)
}

// ask asks the view. What it tells is in r, and in the pieces if it is what is in a file.
func (c *conn) ask(h *fuse.InHeader, req []byte, cancel <-chan struct{}, r *reply) (st fuse.Status, p *pieces) {
	defer func() {
		if p := recover(); p != nil {
			st = c.view.panicked(p)
		}
	}()
	switch h.Opcode {
	case opLookup:
		return c.view.Lookup(cancel, h, text(req[inHeader:]), in[fuse.EntryOut](r)), nil
	case opGetAttr:
		return c.view.GetAttr(cancel, (*fuse.GetAttrIn)(unsafe.Pointer(h)), in[fuse.AttrOut](r)), nil
	case opReadlink:
		target, st := c.view.Readlink(cancel, h)
		copy(r.room(len(target)), target)
		return st, nil
	case opGetXattr, opListXattr:
		c.view.ahead.askedMore()
		return c.xattr(h, req, cancel, r), nil
	case opReadDir, opReadDirPlus:
		i := (*fuse.ReadIn)(unsafe.Pointer(h))
		if cancel == inline && i.Size > maxInline {
			return mustWait, nil
		}
		list := &r.list
		*list = dirList{buf: r.room(int(i.Size))[:0:i.Size], plus: h.Opcode == opReadDirPlus}
		st := c.view.readDir(cancel, i, list)
		r.cut(len(list.buf))
		if list.plus && st == fuse.OK {
			dir := nodeID(h.NodeId)
			if slot := c.view.ahead.listed(dir, c.view.parent(dir), list.slot); slot != 0 && !(r.own && c.lead(slot, req, r)) {
				c.later(slot)
			}
		}
		return st, nil
	case opRead:
		i := (*fuse.ReadIn)(unsafe.Pointer(h))
		if cancel == inline && i.Size > maxInline {
			return mustWait, nil
		}
		id := nodeID(i.NodeId)
		if cancel == inline && c.ready(id, i, r) {
			return fuse.OK, nil
		}
		r.room(0)
		st, p, whole := c.view.readFile(cancel, i)
		if st == mustWait && r.own && c.decodeNow(id, req, r) && c.ready(id, i, r) {
			return fuse.OK, nil
		}
		if whole != 0 && c.view.ahead.saw(id, whole) {
			c.later(id.slot())
		}
		return st, p
	}
	return mustWait, nil
}

// ready answers a READ of a small file from its beginning, if it is decoded.
func (c *conn) ready(id nodeID, i *fuse.ReadIn, r *reply) (ok bool) {
	if i.Offset != 0 {
		return false
	}
	r.room(0)
	if r.buf, ok = c.view.ahead.readyFile(id, r.buf); ok {
		c.view.requests.Add(1)
		if n := int(i.Size); n < len(r.buf)-outHeader {
			r.cut(n)
		}
	}
	return ok
}

// decodeNow decodes a small file of a page that is read ahead in pauses, unless that took long lately.
func (c *conn) decodeNow(id nodeID, req []byte, r *reply) bool {
	s := &c.steps
	if s.left.Load() == 0 || nanotime() < s.unhurried {
		return false
	}
	c.mayWait(req, r)
	if took := s.take(func() { c.view.decodeNow(id) }); took > slowStep {
		s.unhurried = nanotime() + int64(time.Second)
	}
	return true
}

// A forgotten is what the kernel tells of each node that it forgets (linux/fuse.h, struct fuse_forget_one).
type forgotten struct{ node, times uint64 }

// forget takes in which nodes the kernel forgot.
func (c *conn) forget(h *fuse.InHeader, req []byte) {
	const item = unsafe.Sizeof(forgotten{})
	if h.Opcode == opForget {
		c.view.forget(nodeID(h.NodeId), (*fuse.ForgetIn)(unsafe.Pointer(h)).Nlookup)
		return
	}
	for all := req[inHeader+8:]; uintptr(len(all)) >= item; all = all[item:] { // after their number
		one := (*forgotten)(unsafe.Pointer(unsafe.SliceData(all)))
		c.view.forget(nodeID(one.node), one.times)
	}
}

// xattr answers GETXATTR and LISTXATTR, which ask for the size of what they would be told if they give no room for it.
func (c *conn) xattr(h *fuse.InHeader, req []byte, cancel <-chan struct{}, r *reply) (st fuse.Status) {
	i := (*fuse.GetXAttrIn)(unsafe.Pointer(h))
	room := int(i.Size)
	if cancel == inline && room > maxInline {
		return mustWait
	}
	var n uint32
	dest := r.room(room)
	if h.Opcode == opGetXattr {
		n, st = c.view.GetXAttr(cancel, h, text(req[unsafe.Sizeof(*i):]), dest)
	} else {
		n, st = c.view.ListXAttr(cancel, h, dest)
	}
	if room == 0 {
		in[fuse.GetXAttrOut](r).Size = n
	} else {
		r.cut(int(n))
	}
	return st
}

// text returns what comes before the zero byte, for as long as the request is there.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}
