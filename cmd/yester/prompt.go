package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"yester/control"
)

var passphraseFileFlag = &cli.StringFlag{Name: "passphrase-file", Usage: "read the passphrase from `FILE`, - for standard input"}

// terminal returns the descriptor of the terminal that questions are asked on.
func (p *program) terminal() (fd int, ok bool) {
	f, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// A secretText is what a secret is called, and the flag that names a file with it.
type secretText struct{ what, flag string }

var (
	passphraseText = secretText{"passphrase", "--passphrase-file"}
	passwordText   = secretText{"password", "--password-file"}
	keyText        = secretText{"key", "--key-file"}
)

// secret reads a passphrase from a file, or asks for it without showing it.
func (p *program) secret(ctx context.Context, file, prompt string) (string, error) {
	return p.secretOf(ctx, file, prompt, passphraseText)
}

// secretOf is secret for any kind of secret.
func (p *program) secretOf(ctx context.Context, file, prompt string, s secretText) (string, error) {
	if file != "" {
		return p.secretFile(file, s)
	}
	fd, ok := p.terminal()
	if !ok {
		return "", usage("there is no terminal to ask for the %s on", s.what).WithHint("give it with %s", s.flag)
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	p.note("%s", prompt)
	text, err := await(ctx, func() (string, error) { b, err := term.ReadPassword(fd); return string(b), err })
	p.note("\n")
	if ctx.Err() != nil {
		_ = term.Restore(fd, before) // whoever reads still holds the echo off
	}
	return text, err
}

// secretFile reads a secret: all of a file but its last newline.
func (p *program) secretFile(file string, s secretText) (text string, err error) {
	var b []byte
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(p.in, 1<<16))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return "", control.Errorf(control.BadRequest, "the %s cannot be read: %v", s.what, err)
	}
	if text = strings.TrimRight(string(b), "\r\n"); text == "" {
		return "", usage("the %s in %s is empty", s.what, file)
	}
	return text, nil
}

// newSecret is a new passphrase if the kind of key is that, and refuses kinds that are none of kinds.
func (p *program) newSecret(ctx context.Context, kind, file string, kinds ...string) (string, error) {
	switch {
	case !slices.Contains(kinds, kind):
		return "", usage("--key or --kind %q is none of %s", kind, strings.Join(kinds, ", "))
	case kind != control.KeyPassphrase && file != "":
		return "", usage("--passphrase-file is for a key of the kind passphrase")
	case kind != control.KeyPassphrase:
		return "", nil
	}
	return p.newPassphrase(ctx, file)
}

// newPassphrase asks for a new passphrase twice, or reads it from a file.
func (p *program) newPassphrase(ctx context.Context, file string) (string, error) {
	first, err := p.secret(ctx, file, "New passphrase: ")
	if err != nil || file != "" {
		return first, err
	}
	again, err := p.secret(ctx, "", "Again: ")
	switch {
	case err != nil:
		return "", err
	case first == "":
		return "", usage("the passphrase is empty")
	case first != again:
		return "", usage("the two are not the same; nothing was changed")
	}
	return first, nil
}

// confirm asks a question, unless yes says that it is answered. Without a terminal it must be.
func (p *program) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if _, ok := p.terminal(); !ok {
		return usage("there is no terminal to ask on").WithHint("say --yes if you are sure")
	}
	p.note("%s [y/N] ", question)
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(p.in).ReadString('\n') })
	if err != nil && ctx.Err() != nil {
		p.note("\n")
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		p.note("Nothing was changed.\n")
		return errSaid
	}
	return nil
}

// await returns what read reads, or the context's error. What reads goes on until the program ends.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
