package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"time"

	"yester/store/place"
)

// The small files of a vault are JSON that a person can read, in an envelope that tells damage:
//
//	{"yester":"vault","crc32c":"1c291ca3","body":{…}}
//
// where crc32c is the CRC-32C (Castagnoli) of the body's bytes just as they stand there, and the first word says what the body is. Each is written
// twice, under its name and with ".copy" after it; either will do.
//
// A file that was written again counts how often in "renewed" (see renewal), before the body; then crc32c is that of the body and of this number's digits. Of a file
// that places have in several states, the one renewed most often holds.
type envelope struct {
	What    string          `json:"yester"`
	Sum     string          `json:"crc32c"`
	Renewed uint64          `json:"renewed,omitempty"`
	Body    json.RawMessage `json:"body"`

	raw []byte // all of the file, if it was read from one
}

const (
	copySuffix   = ".copy"
	maxSmallFile = 1 << 20
)

func sealEnvelope(what string, renewed uint64, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	e := envelope{What: what, Renewed: renewed, Body: b}
	e.Sum = e.sum()
	b, err = json.Marshal(e)
	return append(b, '\n'), err
}

// parseEnvelope checks the checksum.
func parseEnvelope(b []byte) (e envelope, err error) {
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if e.Sum != e.sum() {
		return e, fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	e.raw = b
	return e, nil
}

func (e *envelope) open(what string, body any) error {
	if e.What != what {
		return fmt.Errorf("%w: not a %s", ErrCorrupt, what)
	}
	if err := json.Unmarshal(e.Body, body); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

func (e *envelope) sum() string {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(e.Body, table)
	if e.Renewed > 0 {
		sum = crc32.Update(sum, table, strconv.AppendUint(nil, e.Renewed, 10))
	}
	return fmt.Sprintf("%08x", sum)
}

// newer tells which of two states of a file holds. That of two that were renewed as often, apart from each other, one is chosen always is all that
// matters.
func (e *envelope) newer(o *envelope) bool {
	if e.Renewed != o.Renewed {
		return e.Renewed > o.Renewed
	}
	return e.Sum > o.Sum
}

// writeSmall writes a small file and its copy.
func writeSmall(ctx context.Context, p place.Place, name, what string, body any) error {
	return writeEnvelope(ctx, p, name, what, renewal(ctx, p, name), body)
}

// renewal is the number of a file's next state: one more than that of the state which holds, 0 for the first. While a place cannot tell what it has, as it is missing or that
// is damaged, it is no less than the Unix time in microseconds, for what is written now must hold when that is seen again; nothing is renewed as often.
func renewal(ctx context.Context, p place.Place, name string) (next uint64) {
	doubt := missesSome(p)
	for _, h := range holders(p) {
		e, err := readEither(ctx, h, name)
		if err == nil {
			next = max(next, e.Renewed+1)
		}
		doubt = doubt || err != nil && !notThere(err)
	}
	if doubt {
		next = max(next, uint64(time.Now().UnixMicro()))
	}
	return next
}

func writeEnvelope(ctx context.Context, p place.Place, name, what string, renewed uint64, body any) error {
	b, err := sealEnvelope(what, renewed, body)
	if err != nil {
		return err
	}
	for _, n := range []string{name + copySuffix, name} {
		if err := p.Write(ctx, n, b); err != nil {
			return fmt.Errorf("write %s: %w", what, placeError(err))
		}
	}
	return nil
}

// readSmall reads a small file, or its copy if that is all there is. ErrNotFound if there is neither, else the error of the
// first.
func readSmall(ctx context.Context, p place.Place, name, what string, body any) error {
	e, err := newest(ctx, p, name)
	if err == nil {
		err = e.open(what, body)
	}
	if notThere(err) {
		return fmt.Errorf("read %s in %s: %w", name, p, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read %s in %s: %w", name, p, err)
	}
	return nil
}

// newest reads a small file in the state that holds, of those there are in p.
func newest(ctx context.Context, p place.Place, name string) (best envelope, err error) {
	err = fs.ErrNotExist
	found := false
	for _, h := range holders(p) {
		e, readErr := readEither(ctx, h, name)
		switch {
		case readErr == nil && (!found || e.newer(&best)):
			best, found, err = e, true, nil
		case readErr != nil && !found && notThere(err):
			err = readErr
		}
	}
	return best, err
}

// readEither reads a small file of one place, or its copy.
func readEither(ctx context.Context, p place.Place, name string) (envelope, error) {
	e, err := readOne(ctx, p, name)
	if err != nil {
		if e, copyErr := readOne(ctx, p, name+copySuffix); copyErr == nil {
			return e, nil
		}
	}
	return e, err
}

func readOne(ctx context.Context, p place.Place, name string) (envelope, error) {
	b, err := readFile(ctx, p, name, maxSmallFile)
	if err != nil {
		return envelope{}, err
	}
	return parseEnvelope(b)
}

// readFile reads a whole file of at most limit bytes.
func readFile(ctx context.Context, p place.Place, name string, limit int64) ([]byte, error) {
	f, err := p.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, fmt.Errorf("%s is %d bytes long: %w", name, f.Size(), ErrCorrupt)
	}
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}
