package daemon

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"yester/control"
	"yester/store"
)

// credential is the name under which the service manager hands over the passphrase.
const credential = "passphrase"

// maxGiven is how many of the passphrases that were given are kept.
const maxGiven = 8

// give has the daemon open the vault with passphrases or recovery keys from now on, whatever a file says: they are what somebody gave when the vault was opened, or as a key was made. What was
// given before is tried after them: the key of a later one may be removed. "" changes nothing.
func (s *site) give(texts ...string) {
	for {
		old := s.given.Load()
		var all []string
		for _, text := range slices.Concat(texts, s.passphrases()) {
			if text != "" && !slices.Contains(all, text) && len(all) < maxGiven {
				all = append(all, text)
			}
		}
		if s.given.CompareAndSwap(old, &all) {
			return
		}
	}
}

// passphrases are what was given, the last one first.
func (s *site) passphrases() []string {
	if texts := s.given.Load(); texts != nil {
		return *texts
	}
	return nil
}

// secretFile is the file that should hold the passphrase, "" if nobody named one. It is the one that the settings file names now, which may not be what it said when the daemon began.
func (s *site) secretFile() string {
	if _, now, err := s.home.Load(); err == nil && now.PassphraseFile != "" {
		return now.PassphraseFile
	}
	if s.settings.PassphraseFile != "" {
		return s.settings.PassphraseFile
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && exists(filepath.Join(dir, credential)) { // there may be others
		return filepath.Join(dir, credential)
	}
	return ""
}

// secret is the passphrase or recovery key of a vault that has no open key: what was given, or else what is filed.
func (s *site) secret(ctx context.Context, keys []store.KeyInfo) (store.Secret, error) {
	if texts := s.passphrases(); len(texts) > 0 {
		return store.Secret{Text: texts[0]}, nil
	}
	return s.filed(ctx, keys)
}

// filed is what the daemon has when it starts: what is in the file that the settings name, or else from the service manager. WrongKey if there is none.
func (s *site) filed(context.Context, []store.KeyInfo) (store.Secret, error) {
	file := s.secretFile()
	if file == "" {
		return store.Secret{}, control.Errorf(control.WrongKey, "the vault opens with a passphrase or recovery key only, and the daemon has none").
			WithHint("put it into a file of root's and name that as passphrase_file in %s", s.home.Settings)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return store.Secret{}, control.Errorf(control.WrongKey, "the vault opens with a passphrase or recovery key only, and the file %s cannot be read (%v)",
			file, cause(err)).WithHint("put it there, or name another file as passphrase_file in %s", s.home.Settings)
	}
	if info, err := os.Stat(file); err == nil && info.Mode()&0o077 != 0 {
		s.log.Warn("others than root may read the vault's passphrase", "file", file, "mode", info.Mode().String())
	}
	return store.Secret{Text: string(bytes.TrimRight(b, "\r\n"))}, nil
}

// closed warns if the daemon, when it is started again, will have nothing that opens the vault.
func (s *site) closed(ctx context.Context, v *store.Vault) []string {
	err := v.CanOpen(ctx, s.filed)
	if !errors.Is(err, store.ErrKey) && !errors.Is(err, control.WrongKey) {
		return nil // what else keeps it from being found out has nothing to do with what was asked for
	}
	dirs, _ := s.places() // that it lies in
	e := s.openError(dirs, err)
	unless := ""
	if s.secretFile() == "" { // whoever is asked without a daemon is not told what that is given
		unless = ", unless the service manager hands over what opens it"
	}
	return []string{"from its next start on the daemon cannot open the vault" + unless + ": " + e.Message + "; " + e.Hint}
}
