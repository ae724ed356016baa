package pack

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/zeebo/blake3"
)

// Key is a vault's master key.
type Key [32]byte

const (
	keyContext   = "yester 2026-11-23 pack key 1"
	tableContext = "yester pack table 1"
	groupContext = "yester pack group 1"
	tableNumber  = 1<<32 - 1
)

// A Sealer seals and opens the frames and the table of one pack. It may be used by many goroutines at once.
//
// The key is BLAKE3 in its key-derivation mode over master key and pack id, the cipher AES-256-GCM. The nonce is the
// frame's number, little-endian in the first four of twelve bytes, the table's number being 0xFFFFFFFF. The
// associated data are the frame's table line without its stored length, so that a frame opens only as what its line
// says it is:
//
//	0  [32] chunk id    32  u32 raw length | kind<<28    36  u8 encoding
//
// and for the table the ASCII text "yester pack table 1" followed by the pack id.
//
// The chunks of a group have one frame, which any of their lines opens: its nonce is the offset in the first four bytes and 1 in the next, and the
// associated data are the ASCII text "yester pack group 1", the group's length as a u32 and its encoding.
//
// A nonce must not be used twice: one pack id, one Builder, one Finish.
type Sealer struct {
	id   ID
	aead cipher.AEAD
}

// NewSealer returns the sealer of pack id under the master key, which it does not keep.
func NewSealer(master *Key, id ID) (*Sealer, error) {
	var material [len(Key{}) + len(ID{})]byte
	copy(material[:], master[:])
	copy(material[len(master):], id[:])
	var key [32]byte
	blake3.DeriveKey(keyContext, material[:], key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{id: id, aead: aead}, nil
}

// Seal appends frame number frame to dst: payload (the chunk as encoded) under the seal, Overhead bytes longer. Of f
// it reads Chunk, Kind, Encoding and Raw, of a group Encoding, Offset and Group. Payload and the free part of dst must not overlap.
func (s *Sealer) Seal(dst []byte, frame uint32, f Frame, payload []byte) []byte {
	if frame >= MaxFrames {
		panic("pack: frame number out of range")
	}
	c := forFrame(frame, &f)
	defer seals.Put(c)
	return s.aead.Seal(dst, c.nonce[:], payload, c.data[:c.n])
}

// Open appends the payload of frame number frame to dst, given the frame's stored bytes; sealed[:0] as dst opens in
// place. The error is ErrSeal unless f and frame are just those it was sealed as.
func (s *Sealer) Open(dst []byte, frame uint32, f Frame, sealed []byte) ([]byte, error) {
	c := forFrame(frame, &f)
	defer seals.Put(c)
	out, err := s.aead.Open(dst, c.nonce[:], sealed, c.data[:c.n])
	if err != nil {
		return dst, fmt.Errorf("pack %v frame %d: %w", s.id, frame, ErrSeal)
	}
	return out, nil
}

func (s *Sealer) sealTable(dst, lines []byte) []byte {
	c := forTable(s.id)
	defer seals.Put(c)
	return s.aead.Seal(dst, c.nonce[:], lines, c.data[:c.n])
}

func (s *Sealer) openTable(sealed []byte) ([]byte, error) {
	c := forTable(s.id)
	defer seals.Put(c)
	lines, err := s.aead.Open(nil, c.nonce[:], sealed, c.data[:c.n])
	if err != nil {
		return nil, fmt.Errorf("table of pack %v: %w", s.id, ErrSeal)
	}
	return lines, nil
}

// A sealing is a nonce and associated data. They reach the cipher through an interface, so on the stack they would be
// allocated anew for every frame.
type sealing struct {
	nonce [12]byte
	data  [37]byte
	n     int // bytes of data in use
}

var seals = sync.Pool{New: func() any { return new(sealing) }}

func forFrame(number uint32, f *Frame) *sealing {
	c := seals.Get().(*sealing)
	if f.Group != 0 {
		binary.LittleEndian.PutUint32(c.nonce[:], f.Offset)
		c.nonce[4] = 1
		c.n = copy(c.data[:], groupContext)
		binary.LittleEndian.PutUint32(c.data[c.n:], f.Group)
		c.data[c.n+4] = byte(f.Encoding)
		c.n += 5
		return c
	}
	binary.LittleEndian.PutUint32(c.nonce[:], number)
	c.nonce[4] = 0
	copy(c.data[:], f.Chunk[:])
	binary.LittleEndian.PutUint32(c.data[32:], f.Raw|uint32(f.Kind)<<28)
	c.data[36] = byte(f.Encoding)
	c.n = 37
	return c
}

func forTable(id ID) *sealing {
	c := seals.Get().(*sealing)
	binary.LittleEndian.PutUint32(c.nonce[:], tableNumber)
	c.nonce[4] = 0
	c.n = copy(c.data[:], tableContext)
	c.n += copy(c.data[c.n:], id[:])
	return c
}
