package state

import (
	"encoding/json"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"yester/control"
)

// Messages lists all messages by their ids.
func (db *DB) Messages() (all []control.Message, err error) {
	return list[control.Message](db, "message/")
}

// PutMessage keeps a message, replacing what was kept of it, together with what is to be delivered of it: all or nothing.
func (db *DB) PutMessage(m control.Message, to ...control.Delivery) error {
	all := map[string]any{"message/" + m.ID: m}
	for _, d := range to {
		all[deliveryKey(&d)] = d
	}
	return db.putAll(all)
}

// ForgetMessage deletes a message.
func (db *DB) ForgetMessage(id string) error { return db.delete("message/" + id) }

// Channels lists the channels of alerts by name.
func (db *DB) Channels() ([]control.Channel, error) { return list[control.Channel](db, "channel/") }

// Deliveries lists what waits to be delivered, by channel and as it came.
func (db *DB) Deliveries() ([]control.Delivery, error) {
	return list[control.Delivery](db, "delivery/")
}

// PutChannel keeps a channel, replacing what was kept of it, and forgets deliveries that are done with: all or nothing.
func (db *DB) PutChannel(c control.Channel, done ...control.Delivery) error {
	if err := db.room(); err != nil {
		return err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return db.b.Update(func(tx *badger.Txn) error {
		err := tx.Set([]byte("channel/"+c.Name), b)
		for i := 0; i < len(done) && err == nil; i++ {
			err = tx.Delete([]byte(deliveryKey(&done[i])))
		}
		if err != nil {
			return fmt.Errorf("write channel %s: %w", c.Name, err)
		}
		return nil
	})
}

// ForgetChannel deletes a channel and what waits for it: all or nothing.
func (db *DB) ForgetChannel(name string, waiting ...control.Delivery) error {
	keys := []string{"channel/" + name}
	for _, d := range waiting {
		keys = append(keys, deliveryKey(&d))
	}
	return db.delete(keys...)
}

func deliveryKey(d *control.Delivery) string { return "delivery/" + d.Channel + "/" + d.ID }

// list decodes the values of the keys that begin with prefix, in their order.
func list[T any](db *DB, prefix string) (all []T, err error) {
	err = db.each(prefix, func(_ string, b []byte) error {
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		all = append(all, v)
		return nil
	})
	return all, err
}
