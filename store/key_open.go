package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"yester/store/pack"
	"yester/store/place"
)

// A Secret is what a person knows or has on paper. It does not show itself when printed.
type Secret struct {
	// Kind is KeyPassphrase or KeyRecovery, or "" if it is not known which the Text is: then it may be either.
	Kind string

	// Text is a passphrase, which counts byte by byte, or a recovery key as ParseRecovery takes it.
	Text string
}

// String implements fmt.Stringer.
func (s Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return "(secret)" }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A secretError tells what is wrong with a secret to whoever gave it. It is ErrKey to errors.Is.
type secretError string

func (e secretError) Error() string { return string(e) }

// Is implements the interface of errors.Is.
func (e secretError) Is(target error) bool { return target == ErrKey }

const (
	errPassphrase = secretError("wrong passphrase")
	errRecovery   = secretError("wrong recovery key: it was removed, or is that of another vault")
)

// masterKey finds the key that opens the vault, with the secret that ask gives if no open key does. ErrKey, and the errors of ask.
// It writes nothing.
func masterKey(ctx context.Context, p place.Place, d *description, ask func(context.Context, []KeyInfo) (Secret, error)) (*pack.Key, error) {
	keys, err := readKeys(ctx, p, d)
	if err != nil {
		return nil, err
	}
	var closed []keyFile
	for _, k := range keys {
		switch {
		case k.fault != nil:
		case k.Kind == KeyOpen:
			master, _ := k.unwrap("")
			return master, nil
		default:
			closed = append(closed, k)
		}
	}
	if len(closed) == 0 {
		return nil, noKey(p, keys)
	}
	if ask == nil {
		return nil, fmt.Errorf("%w: the vault in %s opens with a passphrase or recovery key only, and none was given", ErrKey, p)
	}
	s, err := ask(ctx, infos(closed))
	if err != nil {
		return nil, fmt.Errorf("ask for the vault's passphrase: %w", err)
	}
	master, err := s.open(ctx, closed, d)
	return master, beside(err, keys)
}

// noKey says why no key file can be of use. ErrNoKey.
func noKey(p place.Place, keys []keyFile) error {
	if len(keys) == 0 {
		return fmt.Errorf("%w: there is no key in %s; put back a copy of its folder %s/", ErrNoKey, p, keyFolder)
	}
	for _, k := range keys {
		switch {
		case errors.Is(k.fault, ErrCorrupt):
			return fmt.Errorf("%w: the vault's key file cannot be read (%w); put back a copy of the folder %s/ of %s", ErrNoKey, k.fault, keyFolder, p)
		case k.fault != errOtherVault:
			return fmt.Errorf("%w: %w", ErrNoKey, k.fault)
		}
	}
	return fmt.Errorf("%w: no key in the folder %s/ of %s opens this vault; put back the ones it was made with", ErrNoKey, keyFolder, p)
}

// beside adds to the error of a wrong secret that it may be that of a key file which cannot be read.
func beside(err error, keys []keyFile) error {
	for _, k := range keys {
		if errors.Is(err, ErrKey) && k.fault != nil && k.fault != errOtherVault {
			return fmt.Errorf("%w; but one more key is there that cannot be used: %w", err, k.fault)
		}
	}
	return err
}

// open finds the key that the secret is for. ErrKey if it is for none.
func (s Secret) open(ctx context.Context, keys []keyFile, d *description) (*pack.Key, error) {
	if s.Text == "" {
		return nil, secretError("no passphrase was given")
	}
	recovery, mistyped := ParseRecovery(s.Text)
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		secret := s.Text
		switch {
		case s.Kind != "" && s.Kind != k.Kind, k.Kind == KeyRecovery && mistyped != nil:
			continue
		case k.Kind == KeyRecovery:
			secret = string(recovery[:])
		}
		if master, ok := k.unwrap(secret); ok && keyCheck(master) == d.KeyCheck {
			return master, nil
		}
	}
	return nil, s.wrong(keys, mistyped)
}

// wrong says what is wrong with a secret that opens none of keys.
func (s Secret) wrong(keys []keyFile, mistyped error) error {
	may := func(kind string) bool {
		return s.Kind == kind || s.Kind == "" && slices.ContainsFunc(keys, func(k keyFile) bool { return k.Kind == kind })
	}
	switch {
	case !may(KeyRecovery), may(KeyPassphrase) && !looksLikeRecovery(s.Text):
		return errPassphrase
	case mistyped != nil:
		return mistyped
	}
	return errRecovery
}
