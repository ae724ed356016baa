package alert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Secrets lie in files of their own, which only root can read, and not with the channels: what is deleted there is not gone for long.

func (b *Outbox) secretFile(name string) string { return filepath.Join(b.o.Secrets, name) }

// putSecret keeps the secret of a channel; an empty one is none.
func (b *Outbox) putSecret(name, secret string) error {
	if secret == "" {
		return nil
	}
	if err := os.MkdirAll(b.o.Secrets, 0o700); err != nil {
		return fmt.Errorf("keep the secret of channel %s: %w", name, err)
	}
	if err := replace(b.secretFile(name), []byte(secret)); err != nil {
		return fmt.Errorf("keep the secret of channel %s: %w", name, err)
	}
	return nil
}

// replace writes a file whole or not at all.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// secret reads the secret of a channel that should have one.
func (b *Outbox) secret(name string) (string, error) {
	s, err := os.ReadFile(b.secretFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("its secret is gone, remove the channel and add it anew")
	}
	return string(s), err
}

func (b *Outbox) removeSecret(name string) error {
	if err := os.Remove(b.secretFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the secret of channel %s: %w", name, err)
	}
	return nil
}
