package docs

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/argon2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A vault, by sections 1 and 2 of the page.
type vault struct {
	places []string // folders
	id     []byte
	master []byte
	packs  map[string]*packFiles // by id
	where  map[string]location   // by chunk id
}

type location struct {
	pack  *packFiles
	frame int
}

// small reads one of the small files, or its copy, and checks its envelope.
func small(t *testing.T, path, what string, body any) {
	t.Helper()
	for _, name := range []string{path, path + ".copy"} {
		b, err := os.ReadFile(name)
		must(t, err)
		var e struct {
			Yester  string
			CRC32C  string
			Renewed uint64
			Body    json.RawMessage
		}
		must(t, json.Unmarshal(b, &e))
		summed := []byte(e.Body)
		if e.Renewed > 0 {
			summed = fmt.Append(summed, e.Renewed)
		}
		if sum := fmt.Sprintf("%08x", crc32.Checksum(summed, castagnoli)); sum != e.CRC32C || e.Yester != what {
			t.Fatalf("%s is a %s with the sum %s, and says %s", name, e.Yester, sum, e.CRC32C)
		}
		must(t, json.Unmarshal(e.Body, body))
	}
}

type description struct {
	Format int
	Vault  string
	Shards struct{ Data, Parity int }
	Places []struct {
		ID, Kind string
	}
	Place    string
	KeyCheck string `json:"key_check"`
}

// openVault opens the vault in some places with the key of one kind.
func openVault(t *testing.T, places []string, kind, secret string) *vault {
	t.Helper()
	var d description
	for _, p := range places {
		small(t, p+"/vault.json", "vault", &d)
	}
	if d.Format != 1 {
		t.Fatal("format", d.Format)
	}
	v := &vault{places: places, id: unhex(t, d.Vault), packs: map[string]*packFiles{}, where: map[string]location{}}
	v.master = v.openKey(t, kind, secret)
	check := make([]byte, 16)
	blake3.DeriveKey("yester 2026-11-23 key check 1", v.master, check)
	if hex.EncodeToString(check) != d.KeyCheck {
		t.Fatal("that is not the vault's master key")
	}
	v.findChunks(t)
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	must(t, err)
	return b
}

func gcm(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	must(t, err)
	aead, err := cipher.NewGCM(block)
	must(t, err)
	return aead
}

func (v *vault) openKey(t *testing.T, kind, secret string) []byte {
	t.Helper()
	paths, err := filepath.Glob(v.places[0] + "/keys/????????????????")
	must(t, err)
	for _, path := range paths {
		var k struct {
			ID, Kind, Vault, Salt, Key string
			Time, Memory               uint32
			Threads                    uint8
		}
		small(t, path, "key", &k)
		if k.ID != filepath.Base(path) {
			t.Fatalf("%s says it is %s", path, k.ID)
		}
		if k.Kind != kind {
			continue
		}
		var wrapping []byte
		switch kind {
		case "open":
			return unhex(t, k.Key)
		case "passphrase":
			wrapping = argon2.IDKey([]byte(secret), unhex(t, k.Salt), k.Time, k.Memory, k.Threads, 32)
		case "recovery":
			wrapping = make([]byte, 32)
			blake3.DeriveKey("yester 2026-11-23 recovery key 1", append(recoveryKey(t, secret), unhex(t, k.Salt)...), wrapping)
		}
		data := append(append(v.id[:16:16], unhex(t, k.ID)...), k.Kind...)
		master, err := gcm(t, wrapping).Open(nil, make([]byte, 12), unhex(t, k.Key), data)
		must(t, err)
		return master
	}
	t.Fatal("no key of the kind", kind)
	return nil
}

// recoveryKey decodes what a person has on paper.
func recoveryKey(t *testing.T, text string) []byte {
	t.Helper()
	var bits, n uint
	var b []byte
	for _, c := range strings.ReplaceAll(text, "-", "") {
		bits, n = bits<<5|uint(strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c)), n+5
		if n >= 8 {
			n -= 8
			b = append(b, byte(bits>>n))
		}
	}
	crc := uint32(0xB704CE)
	for _, x := range b[:32] {
		crc ^= uint32(x) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864CFB
			}
		}
	}
	if len(b) != 35 || crc != uint32(b[32])<<16|uint32(b[33])<<8|uint32(b[34]) {
		t.Fatalf("%x with the CRC %06x", b, crc)
	}
	return b[:32]
}

// findChunks reads the tables of all packs: an index of the vault.
func (v *vault) findChunks(t *testing.T) {
	t.Helper()
	for _, place := range v.places {
		paths, err := filepath.Glob(place + "/instances/*/packs/*/*")
		must(t, err)
		for _, path := range paths {
			file, err := os.ReadFile(path)
			must(t, err)
			p, err := parsePack(file)
			must(t, err)
			id := hex.EncodeToString(p.id)
			if id != filepath.Base(path) || filepath.Base(filepath.Dir(path)) != id[:2] || string(p.vault) != string(v.id) {
				t.Fatalf("%s holds pack %s of vault %x", path, id, p.vault)
			}
			if v.packs[id] == nil {
				v.packs[id] = &packFiles{}
			}
			v.packs[id].add(p)
		}
	}
	for _, p := range v.packs {
		p.open(t, v.master)
		for i, f := range p.table {
			v.where[string(f.chunk)] = location{p, i}
		}
	}
}

// chunk reads a chunk and checks that it is what its id says.
func (v *vault) chunk(t *testing.T, id []byte, kind int) []byte {
	t.Helper()
	l, ok := v.where[string(id)]
	if !ok {
		t.Fatalf("no pack has chunk %x", id)
	}
	if got := l.pack.table[l.frame].kind; got != kind {
		t.Fatalf("chunk %x is of kind %d, want %d", id, got, kind)
	}
	raw := l.pack.frame(t, l.frame)
	if got := v.chunkID(raw); string(got) != string(id) {
		t.Fatalf("chunk %x is named %x", got, id)
	}
	return raw
}

func (v *vault) chunkID(raw []byte) []byte {
	key := make([]byte, 32)
	blake3.DeriveKey("yester 2026-11-23 chunk id key 1", v.master, key)
	h, err := blake3.NewKeyed(key)
	if err != nil {
		panic(err)
	}
	h.Write(raw)
	return h.Sum(nil)
}

// record returns the root entry that a version's record holds.
func (v *vault) record(t *testing.T, version string) []byte {
	t.Helper()
	paths, err := filepath.Glob(v.places[0] + "/instances/*/versions/*/" + version)
	must(t, err)
	if len(paths) != 1 {
		t.Fatalf("records of %s: %q", version, paths)
	}
	file, err := os.ReadFile(paths[0])
	must(t, err)
	p, err := parsePack(file)
	must(t, err)
	var files packFiles
	files.add(p)
	files.open(t, v.master)
	if len(files.table) != 1 || files.table[0].kind != 5 {
		t.Fatalf("the record has the table %v", files.table)
	}
	raw := files.frame(t, 0)
	if string(v.chunkID(raw)) != string(files.table[0].chunk) {
		t.Fatal("the record is not the chunk its table says")
	}
	key, body, _ := strings.Cut(string(raw), "\n")
	if want, _ := filepath.Rel(v.places[0]+"/instances", paths[0]); key != strings.Replace(want, "/versions/", "/", 1) {
		t.Fatalf("the file of %s holds the record of %s", paths[0], key)
	}
	var r struct {
		Format int
		Root   string
		Totals struct{ Files, Dirs, Bytes uint64 }
	}
	must(t, json.Unmarshal([]byte(body), &r))
	if r.Format != 1 {
		t.Fatal("record of format", r.Format)
	}
	root, err := base64.StdEncoding.DecodeString(r.Root)
	must(t, err)
	return root
}
