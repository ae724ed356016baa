package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"yester/store/pack"
)

// A record file is a pack of its own with one frame: the version's key, a newline, and the record, so that a file under another version's
// name is told.

// Record returns the record of a version as it was committed, from the first place that has it intact. ErrNotFound, also for one that is
// being deleted; ErrCorrupt.
func (v *Vault) Record(ctx context.Context, k VersionKey) ([]byte, error) {
	if !v.hasVersion(k) {
		return nil, fmt.Errorf("version %v: %w", k, ErrNotFound)
	}
	record, tell, err := v.record(ctx, k)
	if tell != nil && !v.Remains(k) {
		return nil, fmt.Errorf("version %v: %w", k, ErrNotFound)
	}
	if tell != nil {
		tell()
	}
	return record, err
}

// record is Record from whatever files have the version's name. Damage that was met is the operator's to know if tell is not nil; but what
// a deletion takes away meanwhile looks the same.
func (v *Vault) record(ctx context.Context, k VersionKey) (record []byte, tell func(), err error) {
	var damage, absence error
	for _, m := range v.place.layout().sources() {
		record, healed, err := v.recordIn(ctx, m, k)
		switch {
		case err == nil:
			if healed > 0 || damage != nil {
				tell = func() { v.readAround(m, k, healed, damage) }
			}
			return record, tell, nil
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case ofPlace(err) || notThere(err) && !m.current():
			absence = err
		case damage == nil:
			damage = err
		}
	}
	if damage != nil {
		return nil, func() { v.tooDamaged(damage, k.file()) }, fmt.Errorf("read record of version %v: %w", k, damage)
	}
	if absence == nil {
		absence = v.place.missing(v.place.layout())
	}
	return nil, nil, fmt.Errorf("read record of version %v: %w", k, absence)
}

func (v *Vault) readAround(m *member, k VersionKey, healed int, damage error) {
	v.healed.Add(uint64(healed))
	v.log.Error("read around damage", "version", k, "good", m, "blocks", healed, "err", damage)
	v.mend.ask(k.file(), -1, damage)
}

// recordIn reads the record in one place. Healed are the blocks brought back from parity.
func (v *Vault) recordIn(ctx context.Context, m *member, k VersionKey) (record []byte, healed int, err error) {
	f, err := v.place.open(ctx, m, k.file())
	if err != nil {
		return nil, 0, placeError(err)
	}
	defer f.Close()
	damaged := func(id pack.ID, err error) error {
		if ofPlace(err) {
			v.place.lost(m, err)
			return err
		}
		return &CorruptError{Place: m.String(), Pack: id, Offset: -1, Err: fmt.Errorf("record of version %v: %w", k, err)}
	}
	meta, err := pack.ReadMeta(f, f.Size())
	if err != nil {
		return nil, 0, damaged(pack.ID{}, err)
	}
	raw, healed, err := v.readRecord(pack.Sources{{R: f, Meta: meta}})
	if err != nil {
		return nil, 0, damaged(meta.Header.Pack, err)
	}
	record, ok := bytes.CutPrefix(raw, []byte(k.String()+"\n"))
	if !ok {
		return nil, 0, damaged(meta.Header.Pack, fmt.Errorf("the file holds the record of another version: %w", pack.ErrDamaged))
	}
	return record, healed, nil
}

// readRecord reads the one frame of a record's pack.
func (v *Vault) readRecord(s pack.Sources) (raw []byte, healed int, err error) {
	meta := s[0].Meta
	sealer, err := pack.NewSealer(v.master, meta.Header.Pack)
	if err != nil {
		return nil, 0, err
	}
	frames, err := meta.Table(sealer)
	if err != nil {
		return nil, 0, err
	}
	if len(frames) != 1 || frames[0].Kind != pack.KindRecord {
		return nil, 0, fmt.Errorf("not a record: %w", pack.ErrDamaged)
	}
	sealed, blocks, err := s.ReadData(0, frames[0].Stored)
	if err != nil {
		return nil, 0, err
	}
	payload, err := sealer.Open(nil, 0, frames[0], sealed)
	if err != nil {
		return nil, 0, err
	}
	raw, err = pack.Decode(nil, frames[0].Encoding, payload, int(frames[0].Raw))
	return raw, len(blocks), err
}

// commit writes a version's record, and so makes the version.
func (v *Vault) commit(ctx context.Context, k VersionKey, record []byte) (size uint64, err error) {
	built, err := v.buildRecord(k, record)
	if err != nil {
		return 0, err
	}
	if err := v.place.Write(ctx, k.file(), built.File(pack.AllShards)...); err != nil {
		if !errors.Is(err, ErrExists) {
			v.uncommit(context.WithoutCancel(ctx), k)
		}
		return 0, placeError(err)
	}
	h := built.Header()
	v.announce(k, true)
	return uint64(h.FileSize()), nil
}

// uncommit removes a record that too few places took: it may lie somewhere, and nothing keeps its chunks. Somebody who brought a place up to date may have met it.
func (v *Vault) uncommit(ctx context.Context, k VersionKey) {
	v.records.Lock()
	defer v.records.Unlock()
	if err := v.place.Remove(ctx, k.file()); err == nil && v.hasVersion(k) {
		v.announce(k, false)
	}
}

func (v *Vault) buildRecord(k VersionKey, record []byte) (*pack.Built, error) {
	raw := append([]byte(k.String()+"\n"), record...)
	if len(raw) > pack.MaxRaw {
		return nil, fmt.Errorf("the record of %s has %d bytes, of %d at most", k, len(raw), pack.MaxRaw)
	}
	var enc pack.Encoder
	payload, encoding := enc.Encode(raw, pack.Zstd)
	id, sealer, err := v.newPack()
	if err != nil {
		return nil, err
	}
	b, err := pack.NewBuilder(v.id, id, sealer, v.place.recordShape(), len(payload)+pack.Overhead)
	if err != nil {
		return nil, err
	}
	b.Append(pack.Frame{Chunk: v.hash.id(raw), Kind: pack.KindRecord, Encoding: encoding, Raw: uint32(len(raw))}, payload)
	return b.Finish()
}

// tooDamaged tells of damage that cannot be healed, of each file once in a while.
func (v *Vault) tooDamaged(err error, file string) {
	if !v.mend.first(file + " past healing") { // that it was to be mended a short while ago says nothing
		return
	}
	var c *CorruptError
	if errors.As(err, &c) {
		v.log.Error("damage that cannot be healed", "file", file, "err", err)
		v.place.tell(Trouble{Kind: Damaged, Place: c.Place, File: file, Pack: c.Pack, Offset: c.Offset, Err: err})
	} else if errors.Is(err, fs.ErrNotExist) {
		v.place.tell(Trouble{Kind: Damaged, Place: v.place.String(), File: file, Offset: -1, Err: err})
	}
}
