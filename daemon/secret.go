package daemon

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"yester/control"
	"yester/store"
)

// credential is the name under which the service manager hands over the passphrase.
const credential = "passphrase"

// secretFile is the file that should hold the passphrase, "" if nobody named one.
func (s *site) secretFile() string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); s.settings.PassphraseFile == "" && dir != "" {
		return filepath.Join(dir, credential)
	}
	return s.settings.PassphraseFile
}

// secret is the passphrase or recovery key of a vault that has no open key: from the file that the settings name, or else from the
// service manager. WrongKey if there is none.
func (s *site) secret(context.Context, []store.KeyInfo) (store.Secret, error) {
	file := s.secretFile()
	if file == "" && s.passphrase != "" {
		return store.Secret{Text: s.passphrase}, nil
	}
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
