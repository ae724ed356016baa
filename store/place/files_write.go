package place

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

const (
	// tempFolder holds files being written. It is one for the whole place, not one in each folder, so that after a
	// crash Sweep need not walk the vault; and it lies on the same file system, so that a rename leads out of it.
	tempFolder = ".tmp"

	// writeMost is the most that is written in one step, so that a cancelled context is soon heard.
	writeMost = 4 << 20

	// tries bounds the rounds against others that take away a folder just made, or make a temporary name just thought
	// of. Within a process each is won in a few.
	tries = 30
)

// Write implements Place, in this order:
//
//  1. a new file in .tmp: create, write, sync, close
//  2. the folders above name: each missing one is made and its parent synced
//  3. rename to name
//  4. sync of the folder
//
// Before 3 there is only a temporary name, which Sweep removes. A power loss between 3 and 4 may show either state, and
// both are whole: the bytes are durable since 1.
func (p *files) Write(ctx context.Context, name string, parts ...[]byte) error {
	if err := check(ctx, checkName(name)); err != nil {
		return p.failed("write", name, err)
	}
	temp, f, err := p.create()
	if err != nil {
		return p.failed("write", name, err)
	}
	err = fill(ctx, f, parts)
	if closed := f.close(); err == nil {
		err = closed // some file systems tell only now that the bytes found no room
	}
	if err == nil {
		err = p.publish(temp, name)
	}
	if err != nil {
		_ = p.disk.remove(temp) // as good as it gets: Sweep takes what stays
		return p.failed("write", name, err)
	}
	return p.failed("write", name, p.syncRemaining(parent(name)))
}

// create makes a file under a new temporary name.
func (p *files) create() (temp string, f tempFile, err error) {
	for range tries {
		temp = fmt.Sprintf("%s/%016x", tempFolder, p.random())
		f, err = p.disk.create(temp)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// The folder's own name need not be durable: without it there is nothing to sweep.
			if err = p.disk.mkdir(tempFolder); err != nil && !errors.Is(err, fs.ErrExist) {
				return temp, nil, err
			}
		case !errors.Is(err, fs.ErrExist):
			return temp, f, err
		}
	}
	return temp, nil, err
}

// fill writes the parts and makes them durable.
func fill(ctx context.Context, f tempFile, parts [][]byte) error {
	for _, b := range parts {
		for len(b) > 0 {
			n := min(len(b), writeMost)
			if err := check(ctx, f.write(b[:n])); err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return check(ctx, f.sync())
}

// publish gives the temporary file its name. A folder that a concurrent Remove found empty is made again.
func (p *files) publish(temp, name string) (err error) {
	for range tries {
		if err = p.ensure(parent(name)); err != nil {
			return err
		}
		if err = p.disk.rename(temp, name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.forget(parent(name))
	}
	return err
}
