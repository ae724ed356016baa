package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yester/control"
	"yester/store"
)

func TestKeysAreAddedChangedAndRemoved(t *testing.T) {
	o := options(t)
	c, stop := serve(t, o)
	if _, err := c.VaultInit(t.Context(), control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	keys, err := c.VaultKeys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].Kind != control.KeyOpen {
		t.Fatalf("got %+v, %v", keys, err)
	}
	for _, r := range []control.KeyAddRequest{{Kind: "magic"}, {Kind: control.KeyPassphrase}, {Kind: control.KeyOpen, Passphrase: "x"}} {
		if _, err := c.KeyAdd(t.Context(), r); !errors.Is(err, control.BadRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	recovery, err := c.KeyAdd(t.Context(), control.KeyAddRequest{Kind: control.KeyRecovery})
	if err != nil || len(recovery.Recovery) != 69 {
		t.Fatalf("got %+v, %v", recovery, err)
	}
	if _, err := c.KeyRemove(t.Context(), keys[0].ID); !errors.Is(err, control.Conflict) {
		t.Errorf("the last key but a recovery key: %v", err)
	}
	if _, err := c.KeyRemove(t.Context(), "nope"); !errors.Is(err, control.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := c.KeyAdd(t.Context(), control.KeyAddRequest{Kind: control.KeyPassphrase, Passphrase: "old"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []control.KeyChangeRequest{{Old: "wrong", New: "new"}, {New: "new"}, {Old: "old"}} {
		if _, err := c.KeyChange(t.Context(), r); !errors.Is(err, control.BadRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if k, err := c.KeyChange(t.Context(), control.KeyChangeRequest{Old: "old", New: "new"}); err != nil || len(k.Warnings) > 0 {
		t.Fatalf("got %q, %v", k.Warnings, err)
	}
	r, err := c.KeyRemove(t.Context(), keys[0].ID)
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "the daemon has none; put it into a file of root's") {
		t.Fatalf("got %q, %v", r.Warnings, err)
	}
	stop()
	opensWith(t, o, map[string]bool{"": false, "old\n": false, "new\n": true, recovery.Recovery: true})
}

// opensWith tries to serve with passphrase files.
func opensWith(t *testing.T, o Options, texts map[string]bool) {
	t.Helper()
	for text, opens := range texts {
		o.Settings.PassphraseFile = ""
		if text != "" {
			o.Settings.PassphraseFile = filepath.Join(t.TempDir(), "passphrase")
			if err := os.WriteFile(o.Settings.PassphraseFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if opens {
			_, stop := serve(t, o)
			stop()
			continue
		}
		c, stop := serve(t, o)
		if _, err := c.VaultInfo(t.Context()); !errors.Is(err, control.WrongKey) || strings.Contains(err.Error(), "old") {
			t.Errorf("with %q: %v", text, err)
		}
		stop()
	}
}

func TestDaemonWithoutPassphraseSaysWhereItGoes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	o := options(t)
	o.Tempo = 1000
	says := "passphrase_file in " + o.Home.Settings
	info, err := InitVault(t.Context(), o, control.VaultInitRequest{Passphrase: "secret"})
	if err != nil || len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], says) || !strings.Contains(info.Warnings[0], "unless the service manager") {
		t.Fatalf("got %q, %v", info.Warnings, err)
	}
	c, _ := serve(t, o)
	wantUnopened(t, c, control.WrongKey, says)
	if err := os.WriteFile(filepath.Join(dir, "passphrase"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantBack(t, c)
}

// Of the passphrases that were given the last one may be removed.
func TestPassphraseThatStaysOpensTheVaultAgain(t *testing.T) {
	o := options(t)
	if err := o.Home.make(); err != nil {
		t.Fatal(err)
	}
	s := &site{home: o.Home, db: newState(t), log: quiet()}
	v := mustNot[*store.Vault](t)(s.init(t.Context(), control.VaultInitRequest{Passphrase: "first"}, cacheBytes))
	d := &Daemon{site: s, vault: v, log: quiet()}
	k := mustNot[control.AddedKey](t)(d.keyAdd(t.Context(), control.KeyAddRequest{Kind: control.KeyPassphrase, Passphrase: "second"}))
	mustNot[control.RemovedKey](t)(d.keyRemove(t.Context(), control.KeyRemoveRequest{ID: k.ID}))
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustNot[*store.Vault](t)(s.open(t.Context(), cacheBytes)).Close(); err != nil {
		t.Error(err)
	}
}

// What the daemon asks to be put into the settings is read while it runs.
func TestPassphraseFileThatIsNamedLaterIsUsed(t *testing.T) {
	o := options(t)
	o.Tempo = 1000
	mustNot[control.VaultInfo](t)(InitVault(t.Context(), o, control.VaultInitRequest{Passphrase: "secret"}))
	c, _ := serve(t, o)
	wantUnopened(t, c, control.WrongKey, "passphrase_file in "+o.Home.Settings)
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := errors.Join(os.WriteFile(file, []byte("secret\n"), 0o600), os.WriteFile(o.Home.Settings, []byte("passphrase_file = \""+file+"\"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantBack(t, c)
	if a := mustNot[control.Adoption](t)(c.Adopt(t.Context(), control.AdoptRequest{})); len(a.Warnings) > 0 {
		t.Errorf("got %q", a.Warnings)
	}
}

func TestDaemonWithWrongPassphraseSaysWhereItIsFrom(t *testing.T) {
	o := options(t)
	o.Tempo = 1000
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{Passphrase: "secret"}); err != nil {
		t.Fatal(err)
	}
	o.Settings.PassphraseFile = filepath.Join(t.TempDir(), "passphrase")
	c, _ := serve(t, o)
	wantUnopened(t, c, control.WrongKey, "name another file as passphrase_file in "+o.Home.Settings)
	if err := os.WriteFile(o.Settings.PassphraseFile, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantUnopened(t, c, control.WrongKey, "wrong passphrase; the passphrase is read from "+o.Settings.PassphraseFile)
	if _, err := c.VaultInfo(t.Context()); strings.Contains(err.Error(), "guess") {
		t.Error(err)
	}
	if err := os.WriteFile(o.Settings.PassphraseFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantBack(t, c)
}

// Whoever can write in a place could put a vault of his own there, or keys of his own in it, and read what is sealed with them from then on.
func TestAnotherVaultOrMasterKeyIsLeftAlone(t *testing.T) {
	o, _, _, _, stop := startFilledUntil(t)
	stop()
	other := options(t)
	if _, err := InitVault(t.Context(), other, control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	id, theirs := vaultID(t, o.Home.Vault), vaultID(t, other.Home.Vault)
	if err := os.RemoveAll(o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.Home.Vault, o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	isLeftAlone := func(o Options, kind error, says string) {
		t.Helper()
		c, stop := serve(t, o)
		defer stop()
		if _, err := c.Backup(t.Context(), control.BackupRequest{}); !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
			t.Errorf("a backup: %v", err)
		}
		s, err := c.Status(t.Context())
		if err != nil || s.Vault != "" || s.Mount.Mounted || len(s.Attention) == 0 || !strings.Contains(s.Attention[0], says) {
			t.Errorf("status %+v, %v", s, err)
		}
		if err := filepath.WalkDir(filepath.Join(o.Home.Vault, "instances"), func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, fmt.Errorf("there is %s", path))
		}); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	isLeftAlone(o, control.Conflict, "another vault")
	if moved, err := filepath.Glob(o.Home.Index + "*broken*"); err != nil || len(moved) > 0 {
		t.Errorf("the index of the old one was moved to %q, %v", moved, err)
	}
	named := o
	named.Settings.Vault.Places = []string{o.Home.Vault + "/"}
	isLeftAlone(named, control.Conflict, "another vault")
	for _, name := range []string{"vault.json", "vault.json.copy"} {
		path := filepath.Join(o.Home.Vault, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, resealed(t, strings.Replace(string(b), theirs, id, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	isLeftAlone(o, control.WrongKey, "another master key")

	c, stop := serve(t, o)
	if _, err := c.Adopt(t.Context(), control.AdoptRequest{}); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	stop()
	c, stop = serve(t, o)
	defer stop()
	backUp(t, c)
}

// A disk that was not mounted when the daemon was started, and another one in its place, is no reason to start it again.
func TestVaultThatIsBackIsUsedAgain(t *testing.T) {
	o, _, _, _, stop := startFilledUntil(t)
	stop()
	away := o.Home.Vault + ".away"
	if err := os.Rename(o.Home.Vault, away); err != nil {
		t.Fatal(err)
	}
	other := options(t)
	if _, err := InitVault(t.Context(), other, control.VaultInitRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.Home.Vault, o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	o.Tempo = 1000
	c, stop := serve(t, o)
	defer stop()
	open := func() (of []control.Message) {
		t.Helper()
		of, err := c.Messages(t.Context(), control.MessagesRequest{Open: "true"})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(of, func(m control.Message) bool { return m.Cause != unopenedCause })
	}
	eventually(t, "the message", func() bool { return len(open()) == 1 })
	if err := errors.Join(os.RemoveAll(o.Home.Vault), os.Rename(away, o.Home.Vault)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return len(open()) == 0 })
	backUp(t, c)
}

// Where a disk was mixed up, the daemon knows which of two vaults is its own, and goes on with what it has of that.
func TestOfTwoVaultsThatOfBeforeIsUsed(t *testing.T) {
	o, other := options(t), options(t)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	info, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: []string{first, second}})
	if err == nil {
		_, err = InitVault(t.Context(), other, control.VaultInitRequest{})
	}
	if err := errors.Join(err, os.RemoveAll(first), os.Rename(other.Home.Vault, first)); err != nil {
		t.Fatal(err)
	}
	c, _ := serve(t, o)
	if got, err := c.VaultInfo(t.Context()); err != nil || got.ID != info.ID {
		t.Errorf("%+v, %v", got, err)
	}
	eventually(t, "the message", func() bool {
		of, err := c.Messages(t.Context(), control.MessagesRequest{Open: "true"})
		return err == nil && len(of) == 1 && of[0].Cause == placeCause(first)
	})
}

// In a folder that the settings name instead of the old one another vault is meant.
func TestAnotherVaultInAnotherFolderIsTaken(t *testing.T) {
	o, other := options(t), options(t)
	for _, o := range []Options{o, other} {
		if _, err := InitVault(t.Context(), o, control.VaultInitRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	_, stop := serve(t, o)
	stop()
	o.Settings.Vault.Places = []string{other.Home.Vault}
	c, stop := serve(t, o)
	defer stop()
	info, err := c.VaultInfo(t.Context())
	if err != nil || info.ID != vaultID(t, other.Home.Vault) {
		t.Errorf("%+v, %v", info, err)
	}
}

// vaultID reads the id of a vault.
func vaultID(t *testing.T, dir string) string {
	t.Helper()
	var e struct {
		Body struct {
			Vault string `json:"vault"`
		} `json:"body"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "vault.json"))
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || e.Body.Vault == "" {
		t.Fatalf("%s, %v", b, err)
	}
	return e.Body.Vault
}

// resealed gives a small file of the vault the checksum of what is in it.
func resealed(t *testing.T, text string) []byte {
	t.Helper()
	var e struct {
		What string          `json:"yester"`
		Sum  string          `json:"crc32c"`
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	e.Sum = fmt.Sprintf("%08x", crc32.Checksum(e.Body, crc32.MakeTable(crc32.Castagnoli)))
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
