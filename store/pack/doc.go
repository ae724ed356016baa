// Package pack is the bytes of a pack: frames, table, checksums, parity. It works on memory and on io.ReaderAt, knows
// nothing of files and places, and may be given any bytes: what is damaged or forged is healed or refused, never
// believed.
//
// A chunk goes in by Encoder.Encode, Builder.Append, Builder.Finish and Built.File, and comes out by ReadMeta,
// Meta.Table, then Sources.ReadData, Sealer.Open and Decode. Small ones go by Group and Builder.AppendGroup, and come
// out by Member. Check and Sources.Repair need no key.
//
// # Format 1
//
// All integers are little-endian. A pack is one file that holds all of it, or, spread over places, one file for each
// shard. A file is a sequence of blocks of 4096 bytes:
//
//	n meta blocks | data blocks | parity blocks | the same n meta blocks again     the file of all shards
//	n meta blocks | the S blocks of one shard   | the same n meta blocks again     the file of a shard
//
// # Meta blocks
//
// Each describes the whole file, so any one of them gives its geometry, and each may be taken from the end that has
// it intact.
//
//	 0  "YSTP"
//	 4  u32   CRC32C (Castagnoli) of bytes 8 to 4095 of this block
//	 8  u8    format, 1
//	 9  u8    shard: 255 for the file of all shards, else the number of the one in this file
//	10  u8    k, data shards, at least 1
//	11  u8    m, parity shards; k+m is at most 255
//	12  u16   index of this meta block
//	14  u16   n, meta blocks at each end
//	16  [16]  pack id
//	32  [16]  vault id
//	48  u32   D, length of the data region in bytes, at most 256 MiB
//	52  u32   T, length of the sealed table in bytes: 40 for each chunk and 16
//	56  u32   number of chunks, at most 1048576
//	60  u32   0
//	64  ...   4032 bytes of payload
//
// The payloads of the n meta blocks, joined, are the sealed table (T bytes), a u32 CRC32C for each data block, one
// for each parity block, and zeros to the end. They are the same in every file of the pack. So n is the least number
// of blocks that holds T + 4*(B + m*S) bytes, B and S being those of the next section, and at least 1.
//
// The first nine bytes mean the same in every format to come.
//
// # Data, shards and parity
//
// The data region is the frames back to back, D bytes, then zeros up to a multiple of 4096: B = ceil(D/4096) blocks.
// Each shard is S = ceil(B/k) blocks; data shard j is blocks j*S to (j+1)*S-1 of the data region. Those of them from
// B on are virtual: they are all zero, have no checksum, and are not stored in the file of all shards, though they
// are in the file of a shard. k+m shards are at most 1 GiB.
//
// Parity is Reed-Solomon over GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1 (0x11D) and a Cauchy matrix that depends
// on k and m only: byte i of parity shard p is the sum (XOR), over the data shards c = 0 to k-1, of
//
//	inverse((k+p) XOR c) * byte i of data shard c
//
// with virtual blocks as zeros. Block r of all shards is row r; in each row any m blocks may be lost. Blocks are
// numbered through the shards, virtual ones included: block b is row b%S of shard b/S. With k=32, m=2 and 32 MiB of
// data S is 256, and the pack survives any burst over 512 blocks, 2 MiB.
//
// # Frames
//
// A frame is a chunk, encoded, then sealed; or a group of small ones. It is encoded only if that makes it shorter:
//
//	0  raw
//	1  one LZ4 block
//	2  one Zstandard frame that states its length and needs no dictionary
//	9  a group, as one LZ4 block
//	10 a group, as one Zstandard frame
//
// The seal is AES-256-GCM, the tag of 16 bytes at the end. The key is that of the pack: BLAKE3 in its key-derivation
// mode with the context "yester 2026-11-23 pack key 1" over the master key (32 bytes) and the pack id (16 bytes). Of a
// chunk by itself the nonce is 12 bytes, the number of its line in the table, counted from 0, as a u32, and zeros. The
// associated data are 37 bytes:
//
//	 0  [32]  chunk id
//	32  u32   length of the chunk | kind << 28
//	36  u8    encoding
//
// Kinds are 1 file content, 2 tree page, 3 list page, 4 extended attributes, 5 version record. A chunk is at most 16
// MiB.
//
// # Groups
//
// A group is chunks back to back, then a line of 12 bytes for each of them, then how many they are:
//
//	[8]  first bytes of the chunk id    u32  length of the chunk      for each
//	u32  number of chunks
//
// It is at most 1 MiB, and encoded and sealed as a whole. Its nonce is the frame's offset in the data region as a u32,
// a byte 1, and zeros; the associated data are 24 bytes:
//
//	 0  [19]  "yester pack group 1"
//	19  u32   length of the group
//	23  u8    encoding
//
// # Table
//
// One line of 40 bytes for each chunk, in the order of the frames, and of a group's chunks:
//
//	 0  [32]  chunk id
//	32  u32   length of the chunk | kind << 28
//	36  u32   length of the sealed frame, tag included | encoding << 28
//
// Of a group the first line has the length of the sealed frame; the lines behind it of the same encoding that have the
// length 0 are the rest of it. So the place of a frame is the sum of the stored lengths before it.
//
// The lines are sealed like a frame, with the nonce 0xFFFFFFFF as a u32 and zeros, and as associated data the ASCII text
// "yester pack table 1" and the pack id.
//
// # Example
//
// The pack of testdata/tiny.hex has k=2, m=1, the pack id 10 11 .. 1f, the vault id 20 21 .. 2f, and was written
// under the master key 00 01 .. 1f. It holds two chunks: "hello" as file content with the id 40 41 .. 5f, raw, and
// twenty letters a as a tree page with the id 60 61 .. 7f, of which one LZ4 block is 1a 61 01 00 50 61 61 61 61 61.
// The frames are 5+16 and 10+16 bytes, so D is 47, there is one data block and S is 1; the second data shard is
// virtual. The file is four blocks:
//
//	0000  59 53 54 50                "YSTP"
//	0004  a5 11 7a 05                CRC32C of 0008 to 0fff
//	0008  01 ff 02 01                format 1, all shards, k=2, m=1
//	000c  00 00 01 00                meta block 0 of 1
//	0010  10 11 .. 1f                pack id
//	0020  20 21 .. 2f                vault id
//	0030  2f 00 00 00 60 00 00 00    D=47, T=96: two lines and a tag
//	0038  02 00 00 00 00 00 00 00    two frames, and nothing
//	0040  f1 63 0a 4a e7 4c ba f2 .. the sealed table: 80 bytes of lines, and from 0090 its tag
//	00a0  38 1f 97 7d f4 20 db be    CRC32C of block 1000 and of block 2000
//	00a8  00 ..                      to 0fff
//	1000  39 6d 91 18 92 f1 6b 1a .. frame 0, 21 bytes; frame 1 from 1015, 26 bytes; zeros from 102f
//	2000  92 b8 c6 0c 49 f6 bb 0d .. parity: each byte of 1000 times inverse(2 XOR 0) = 8e; so 39 * 8e = 92
//	3000  the same as 0000
//
// The table at 0040, opened with the nonce ff ff ff ff 00 .. 00, is
//
//	40 41 .. 5f  05 00 00 10  15 00 00 00    5 bytes of kind 1, 21 stored in encoding 0
//	60 61 .. 7f  14 00 00 20  1a 00 00 10    20 bytes of kind 2, 26 stored in encoding 1
//
// and frame 0 opens with a nonce of zeros and the associated data 40 41 .. 5f 05 00 00 10 00, frame 1 with the nonce
// 01 00 .. 00 and 60 61 .. 7f 14 00 00 20 01.
package pack
