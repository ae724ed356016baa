package store

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"yester/store/pack"
	"yester/store/place"
)

const goldenVaults = "../integration/testdata/vaults"

// goldenFiles are the files of the golden vaults whose name, below a place, matches.
func goldenFiles(t testing.TB, match string) (files [][]byte) {
	t.Helper()
	err := filepath.WalkDir(goldenVaults, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(path, match) || strings.HasSuffix(path, copySuffix) {
			return err
		}
		b, err := os.ReadFile(path)
		files = append(files, b)
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden files of %s, %v", len(files), match, err)
	}
	return files
}

// FuzzSmallFiles tries every small file as vault.json, as the description of an instance and as a key, by way of a place.
func FuzzSmallFiles(f *testing.F) {
	for _, match := range []string{"/vault.json", "/instance.json", "/keys/"} {
		for _, b := range goldenFiles(f, match) {
			var e envelope
			if err := json.Unmarshal(b, &e); err != nil {
				f.Fatal(err)
			}
			f.Add(b, "", uint64(0))
			f.Add([]byte(e.Body), e.What, e.Renewed)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, what string, renewed uint64) {
		if what != "" { // a right checksum lets the fuzzer past it
			var err error
			if b, err = sealEnvelope(what, renewed, json.RawMessage(b)); err != nil {
				return
			}
		}
		m := place.NewMem(1)
		for _, name := range []string{vaultFile, instanceName(machine), keyFolder + "/" + goldenKeyID} {
			if err := m.Write(t.Context(), name, b); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := seePlace(t.Context(), m); err == nil {
			newLayout(&s.desc, []seenPlace{s})
			if again := s.desc; again.check() != nil || s.desc.Format != Format || len(s.desc.Places) > maxPlaces {
				t.Fatalf("%+v", s.desc)
			}
			if _, err := readKeys(t.Context(), m, &s.desc); err != nil {
				t.Fatal(err)
			}
		}
		var in Instance
		_ = readSmall(t.Context(), m, instanceName(machine), "instance", &in) // whatever it says is only shown
	})
}

// FuzzRecordFile tries files as the record of a version, by way of a vault: none is taken for the record but that itself.
func FuzzRecordFile(f *testing.F) {
	m := place.NewMem(1)
	v := openNew(f, Options{Places: []place.Place{m}, Log: slog.New(slog.DiscardHandler), Reserve: 1})
	record := []byte(`{"format":1}`)
	built, err := v.buildRecord(key("v1"), record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join(built.File(pack.AllShards), nil), true)
	other, err := v.buildRecord(key("v2"), record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join(other.File(pack.AllShards), nil), false)
	for _, b := range goldenFiles(f, "/versions/") {
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, file []byte, damaged bool) {
		if damaged && len(file) > 3*pack.BlockSize {
			file[pack.BlockSize+10] ^= 1
		}
		m := place.NewMem(1)
		if err := m.Write(t.Context(), key("v1").file(), file); err != nil {
			t.Fatal(err)
		}
		member := &member{place: m}
		got, _, err := v.recordIn(t.Context(), member, key("v1"))
		if err == nil && !bytes.Equal(got, record) {
			t.Fatalf("the record is %q", got)
		}
	})
}

// Small files are read whole, whatever is in them, and take little memory.
func TestHostileSmallFilesTakeLittleMemory(t *testing.T) {
	long := strings.Repeat("0", maxSmallFile-200)
	for name, body := range map[string]string{
		"places":      `{"format":1,"places":[` + strings.Repeat("{},", maxSmallFile/3-100) + `{}]}`,
		"a long id":   `{"format":1,"vault":"` + long + `"}`,
		"a long time": `{"format":1,"created":"` + long + `"}`,
		"a long key":  `{"id":"` + goldenKeyID + `","kind":"open","key":"` + long + `"}`,
		"a number":    `{"format":` + long + `1}`,
		"deep":        strings.Repeat("[", maxSmallFile/2) + strings.Repeat("]", maxSmallFile/2-200),
	} {
		m := place.NewMem(1)
		for _, what := range []string{"vault", "key"} {
			b, err := sealEnvelope(what, 0, json.RawMessage(body))
			if err != nil { // then it stands as it is
				b = []byte(`{"yester":"` + what + `","crc32c":"00000000","body":` + body + `}`)
			}
			must(t, m.Write(t.Context(), vaultFile, b))
			must(t, m.Write(t.Context(), keyFolder+"/"+goldenKeyID, b))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = seePlace(t.Context(), m)
			keys, listErr := readKeys(t.Context(), m, &description{})
			runtime.ReadMemStats(&after)
			must(t, listErr)
			if err == nil || len(keys) != 1 || keys[0].fault == nil {
				t.Errorf("%s in a %s: %v, %+v", name, what, err, keys)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
				t.Errorf("%s in a %s: %d bytes are allocated for %d", name, what, n, len(b))
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
