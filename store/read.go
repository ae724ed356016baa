package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"yester/store/pack"
)

// Get returns a chunk's raw bytes, from the cache, or read from its pack, opened and decoded. The bytes are shared: the caller must
// not change them, and may keep them. ErrNotFound, ErrCorrupt.
func (v *Vault) Get(ctx context.Context, id ID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Others may wait for what this call loads, so it must not end with this caller's context.
	return v.cache.get(id, v.load)
}

// GetInto is Get for who needs the chunk once: it decodes into buf if that is large enough (ReadSlack more than the chunk; the length of
// buf does not matter), and leaves the cache alone, but for a group of small chunks, which is kept for the others in it. The bytes are the caller's.
func (v *Vault) GetInto(ctx context.Context, id ID, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	raw, shared, err := v.loadInto(id, buf)
	if shared {
		raw = append(pack.Memory(buf, len(raw))[:0], raw...)
	}
	return raw, err
}

// ReadSlack is how many bytes more than the chunk GetInto needs room for.
const ReadSlack = pack.DecodeSlack

// Cached is Get for who must not wait: false if the chunk is not in the cache.
func (v *Vault) Cached(id ID) ([]byte, bool) {
	if b, ok := v.cache.peek(id); ok {
		return b, true
	}
	l, ok := v.near.find(&id)
	if !ok || l.frame.Group == 0 {
		return nil, false
	}
	p := v.packOf(&l, nil)
	if p == nil {
		return nil, false
	}
	group, ok := v.cache.peek(groupID(p, &l.frame))
	if !ok {
		return nil, false
	}
	b, err := pack.Member(group, &l.frame)
	return b, err == nil
}

// load reads a chunk. That of a group is not to be kept by itself.
func (v *Vault) load(id ID) (raw []byte, keep bool, err error) {
	raw, shared, err := v.loadInto(id, nil)
	return raw, !shared, err
}

// loadInto is load into the memory of buf, if there is enough of it. Shared is a chunk in the memory of a group that is in the cache.
// A pack that is gone may have been written anew, by another name, since the chunk was looked up.
func (v *Vault) loadInto(id ID, buf []byte) (raw []byte, shared bool, err error) {
	for last := int64(-1); ; {
		l, p, err := v.locate(id)
		if err != nil {
			return nil, false, err
		}
		raw, shared, err = v.loadFrom(&l, p, buf)
		if err != nil && v.near.forget(l.pack) {
			continue // the index may know another
		}
		if errors.Is(err, ErrCorrupt) {
			raw, shared, err = v.loadElsewhere(&l, buf, err)
		}
		if errors.Is(err, ErrCorrupt) && v.index.temp != nil && !v.went(context.Background(), l.pack, p) {
			v.tooDamaged(err, packName(p.instance, p.id))
		}
		if err == nil || int64(l.pack) == last || v.packOf(&l, nil) != nil {
			return raw, shared, err
		}
		last = int64(l.pack) // it was taken away before it could be opened
	}
}

func (v *Vault) loadFrom(l *location, p *packInfo, buf []byte) (raw []byte, shared bool, err error) {
	if l.frame.Group != 0 {
		raw, err = v.loadMember(l, p)
		return raw, true, err
	}
	raw, err = v.loadAt(l, p, buf)
	return raw, false, err
}

// loadElsewhere is for a chunk that cannot be read from where it was found.
func (v *Vault) loadElsewhere(l *location, buf []byte, cause error) (raw []byte, shared bool, err error) {
	others, err := v.index.elsewhere(l)
	if err != nil {
		return nil, false, err
	}
	for i := range others {
		p := v.packOf(&others[i], nil)
		if p == nil {
			continue
		}
		if raw, shared, err = v.loadFrom(&others[i], p, buf); err == nil {
			return raw, shared, nil
		}
	}
	return nil, false, cause
}

// loadMember reads a chunk of a group, through the cache.
func (v *Vault) loadMember(l *location, p *packInfo) ([]byte, error) {
	group, err := v.cache.get(groupID(p, &l.frame), func(ID) ([]byte, bool, error) {
		group, err := v.loadAt(l, p, nil)
		return group, true, err
	})
	if err != nil {
		return nil, err
	}
	raw, err := pack.Member(group, &l.frame)
	if err != nil {
		return nil, v.corrupt(p.id, int64(l.frame.Offset), err)
	}
	return raw, nil
}

// Warm brings the group that a small chunk lies in into the cache, in stages between which it calls pause, so that who has other things to do is never long away: all of it takes as
// long as some twenty reads of what is there. It ends early if pause says no. What goes wrong is left to whoever reads the chunk.
func (v *Vault) Warm(id ID, pause func() bool) {
	l, p, err := v.locate(id)
	if err != nil || l.frame.Group == 0 {
		return
	}
	group := groupID(p, &l.frame)
	if v.cache.has(group) {
		return
	}
	f, err := v.files.open(p)
	if err != nil {
		return
	}
	defer v.closeGone(&l, p)
	defer v.files.release(f)
	buf := sealedBufs.Get().(*[]byte)
	defer sealedBufs.Put(buf)
	n := int(l.frame.Stored)
	*buf = pack.Memory(*buf, n)
	sealed := (*buf)[:n]
	if f.readAt(sealed, int64(l.frame.Offset)) != nil || !pause() {
		return
	}
	payload, err := f.sealer.Open(sealed[:0], l.num, l.frame, sealed)
	if err != nil || !pause() {
		return
	}
	if raw, err := pack.Decode(nil, l.frame.Encoding.Single(), payload, l.frame.Length()); err == nil {
		v.cache.offer(group, raw)
	}
}

// loadAt reads a chunk, or its group, from where it was found.
func (v *Vault) loadAt(l *location, p *packInfo, dst []byte) ([]byte, error) {
	f, err := v.files.open(p)
	if err != nil {
		return nil, fmt.Errorf("read chunk: %w", err)
	}
	defer v.closeGone(l, p)
	defer v.files.release(f)
	if l.frame.Encoding == pack.Raw { // it is opened where it is to be
		dst = pack.Memory(dst, int(l.frame.Raw)+pack.DecodeSlack)
		return v.readFrame(f, l, &dst)
	}
	buf := sealedBufs.Get().(*[]byte)
	defer sealedBufs.Put(buf)
	payload, err := v.readFrame(f, l, buf)
	if err != nil {
		return nil, err
	}
	raw, err := pack.Decode(dst, l.frame.Encoding.Single(), payload, l.frame.Length())
	if err != nil {
		return nil, v.corrupt(p.id, int64(l.frame.Offset), err)
	}
	return raw, nil
}

var sealedBufs = sync.Pool{New: func() any { return new([]byte) }}

// locate finds a chunk and the pack it lies in. ErrNotFound.
func (v *Vault) locate(id ID) (location, *packInfo, error) {
	if l, ok := v.near.find(&id); ok {
		if p := v.packOf(&l, nil); p != nil {
			return l, p, nil
		}
	}
	l, p, err := v.lookUp(id)
	if err == nil && p == nil {
		l, p, err = v.lookUp(id) // it may have moved between the two looks that lookUp takes
	}
	if err == nil && p == nil {
		err = fmt.Errorf("chunk %v: %w", id, ErrNotFound)
	}
	if err == nil && v.near.saw(l.pack) {
		v.learn(l.pack, p)
	}
	return l, p, err
}

// Has tells whether the vault has a chunk, as far as the index knows.
func (v *Vault) Has(id ID) (bool, error) {
	_, p, err := v.lookUp(id)
	return p != nil, err
}

// lookUp is locate with a nil pack for a chunk that is not there.
func (v *Vault) lookUp(id ID) (location, *packInfo, error) { return v.lookUpWith(id, nil) }

// lookUpWith is lookUp, and calls then, if it is not nil, with what was found before the pack can be taken away. When the pack went
// between the two steps, the chunk was moved or is gone, which a second look tells.
func (v *Vault) lookUpWith(id ID, then func(*location, *packInfo)) (location, *packInfo, error) {
	for last := int64(-1); ; {
		l, found, err := v.index.find(id)
		if err != nil || !found {
			return l, nil, err
		}
		if p := v.packOf(&l, then); p != nil || int64(l.pack) == last {
			return l, p, nil
		}
		last = int64(l.pack)
	}
}

// packOf returns the pack that a chunk lies in, nil if there is none.
func (v *Vault) packOf(l *location, then func(*location, *packInfo)) *packInfo {
	v.mu.RLock()
	defer v.mu.RUnlock()
	p := v.packs[l.pack]
	if p != nil && then != nil {
		then(l, p)
	}
	return p
}

// readFrame reads a frame and opens its seal, around damage if it must.
func (v *Vault) readFrame(f *packFile, l *location, buf *[]byte) ([]byte, error) {
	n := int(l.frame.Stored)
	*buf = pack.Memory(*buf, n)
	sealed := (*buf)[:n]
	err := f.readAt(sealed, int64(l.frame.Offset))
	if err == nil {
		var payload []byte
		if payload, err = f.sealer.Open(sealed[:0], l.num, l.frame, sealed); err == nil {
			return payload, nil
		}
	}
	return v.readDamaged(f, l, err)
}
