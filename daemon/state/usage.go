package state

import (
	"encoding/json"
	"errors"

	"yester/control"
)

// Metering is the day that was metered last, "" if none was since the service began or went on.
func (db *DB) Metering() (day string, err error) {
	if err = db.get("metering", &day); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return day, err
}

// PutMetering keeps it, together with what was metered: all or nothing.
func (db *DB) PutMetering(day string, days ...control.Metered) error {
	all := map[string]any{"metering": day}
	for _, m := range days {
		all[usageKey(m.Day, m.Instance)] = m
	}
	return db.putAll(all)
}

// Metered is what was metered of an instance on a day; ok is false if nothing was.
func (db *DB) Metered(day, instance string) (m control.Metered, ok bool, err error) {
	if err = db.get(usageKey(day, instance), &m); errors.Is(err, ErrNotFound) {
		return m, false, nil
	}
	return m, err == nil, err
}

// AllMetered lists what was metered, by day and then instance.
func (db *DB) AllMetered() (all []control.Metered, err error) {
	err = db.each("usage/", func(_ string, b []byte) error {
		var m control.Metered
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		all = append(all, m)
		return nil
	})
	return all, err
}

func usageKey(day, instance string) string { return "usage/" + day + "/" + instance }
