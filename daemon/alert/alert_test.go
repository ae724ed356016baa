package alert

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"yester/control"
)

// kept is a Keeper in memory.
type kept map[string]control.Message

func (k kept) Messages() ([]control.Message, error) {
	var all []control.Message
	for _, id := range slices.Sorted(maps.Keys(k)) {
		all = append(all, k[id])
	}
	return all, nil
}

func (k kept) PutMessage(m control.Message, _ ...control.Delivery) error {
	k[m.ID] = m
	return nil
}
func (k kept) ForgetMessage(id string) error { delete(k, id); return nil }

type clock struct{ t time.Time }

func newBook(t *testing.T, k kept) (*Book, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)}
	b, err := Open(k, nil, func() time.Time { return c.t }, func() time.Time { return c.t })
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneMessageForACauseAndDay(t *testing.T) {
	k := kept{}
	b, c := newBook(t, k)
	for range 3 {
		must(t, b.Raise("place", "place/a", "a is missing"))
		c.t = c.t.Add(time.Hour)
	}
	must(t, b.Raise("place", "place/b", "b is missing"))
	if all := b.List(true); len(all) != 2 || all[0].Count != 3 || all[0].Last.Sub(all[0].Time) != 2*time.Hour {
		t.Errorf("got %+v", all)
	}
	c.t = c.t.Add(22 * time.Hour)
	must(t, b.Raise("place", "place/a", "a is missing"))
	if open, all := b.List(true), b.List(false); len(open) != 2 || len(all) != 3 {
		t.Errorf("the next day: %+v of %+v", open, all)
	}
}

func TestWhatIsOverIsSaid(t *testing.T) {
	b, _ := newBook(t, kept{})
	must(t, b.Raise("place", "place/a", "a is missing"))
	must(t, b.Raise("place", "place/ab", "ab is missing"))
	must(t, b.Raise("backup", "backup/failed", "no"))
	must(t, b.Resolve("place/a"))
	if open := b.List(true); len(open) != 2 || open[0].Cause != "place/ab" {
		t.Errorf("open: %+v", open)
	}
	must(t, b.Resolve("place/"))
	if open, all := b.List(true), b.List(false); len(open) != 1 || open[0].Kind != "backup" || len(all) != 3 || all[0].Resolved == nil {
		t.Errorf("open: %+v of %+v", open, all)
	}
}

func TestWhatComesAndGoesHasOneMessageAnHour(t *testing.T) {
	b, c := newBook(t, kept{})
	for range 5 {
		must(t, b.Raise("place", "place/a", "a is missing"))
		if open, all := b.List(true), b.List(false); len(open) != 1 || len(all) != 1 {
			t.Errorf("got %+v of %+v", open, all)
		}
		must(t, b.Resolve("place/a"))
		c.t = c.t.Add(12 * time.Minute)
	}
	must(t, b.Raise("place", "place/a", "a is missing"))
	if all := b.List(false); len(all) != 2 || all[0].Count != 5 || all[0].Resolved == nil || all[1].Count != 1 {
		t.Errorf("got %+v", all)
	}
}

func TestWhatFailsEveryNightIsToldEveryNight(t *testing.T) {
	b, c := newBook(t, kept{})
	for range 7 {
		must(t, b.Raise("backup", "backup/failed", "it failed"))
		c.t = c.t.Add(time.Hour)
		must(t, b.Raise("backup", "backup/failed", "it failed when it was tried again"))
		c.t = c.t.Add(23*time.Hour - time.Second)
	}
	if open, all := b.List(true), b.List(false); len(open) != 1 || len(all) != 7 || all[6].Count != 2 {
		t.Errorf("got %+v of %+v", open, all)
	}
}

// What came up again when it had just been told that it was over is told after the hour, if it is not over.
func TestWhatIsThereAgainIsNotForgotten(t *testing.T) {
	b, c := newBook(t, kept{})
	for _, over := range []bool{true, false} {
		must(t, b.Raise("backup", "backup/failed", "it failed"))
		must(t, b.Resolve("backup/"))
		must(t, b.Raise("backup", "backup/failed", "it failed again"))
		if over {
			must(t, b.Resolve("backup/"))
		}
		for _, want := range []int{1, 1, 2, 2} {
			must(t, b.Remind())
			if over {
				want = 1
			}
			if all := b.List(false); len(all) != want || want == 2 && all[1].Text != "it failed again" {
				t.Errorf("over %v: got %+v", over, all)
			}
			c.t = c.t.Add(30 * time.Minute)
		}
		b, c = newBook(t, kept{})
	}
}

func TestWhatGoesOnIsSaidOnceADay(t *testing.T) {
	b, c := newBook(t, kept{})
	for range 48 {
		must(t, b.Hold("space", "space/a", "a is nearly full"))
		c.t = c.t.Add(time.Hour)
	}
	if open, all := b.List(true), b.List(false); len(open) != 1 || len(all) != 2 || all[0].Count != 1 || all[1].Count != 1 {
		t.Errorf("got %+v of %+v", open, all)
	}
}

func TestWhatWasHealedIsNotOpen(t *testing.T) {
	b, c := newBook(t, kept{})
	for range 2 {
		must(t, b.Note("damage", "healed/p", "healed"))
		c.t = c.t.Add(time.Minute)
	}
	if open, all := b.List(true), b.List(false); len(open) != 0 || len(all) != 1 || all[0].Count != 2 {
		t.Errorf("got %+v, %+v", open, all)
	}
}

func TestMessagesOutliveTheBookAndAreForgotten(t *testing.T) {
	k := kept{}
	b, _ := newBook(t, k)
	must(t, b.Raise("place", "place/a", "a is missing"))
	must(t, b.Note("damage", "healed/p", "healed"))
	b, c := newBook(t, k)
	must(t, b.Raise("place", "place/a", "a is missing"))
	if all := b.List(false); len(all) != 2 || all[0].Count != 2 {
		t.Errorf("got %+v", all)
	}
	c.t = c.t.Add(history + day)
	must(t, b.Raise("place", "place/b", "b is missing"))
	if all := b.List(false); len(all) != 2 || len(k) != 2 || !strings.Contains(all[1].Text, "b is") || all[1].ID == all[0].ID {
		t.Errorf("after a long time: %+v, kept %d", all, len(k))
	}
}

// A full disk keeps nobody from being told, and the message is kept once there is room.
func TestMessageThatCannotBeKeptIsTold(t *testing.T) {
	d := &fullDesk{desk: newDesk()}
	out := openOutbox(t, d.desk, Options{})
	add(t, out, control.Channel{Name: "page", Command: []string{"/bin/true"}}, "")
	b, err := Open(d, out, time.Now, time.Now)
	must(t, err)
	d.full = true
	for range 2 {
		_ = b.Hold("late", "late/root", "no version for a day")
	}
	if n := out.Channels()[0].Waiting; n != 1 {
		t.Errorf("%d wait", n)
	}
	d.full = false
	must(t, b.Hold("late", "late/root", "no version for a day"))
	d.full = true
	_ = b.Resolve("late/root")
	if n := out.Channels()[0].Waiting; n != 2 {
		t.Errorf("%d wait", n)
	}
	d.full = false
	must(t, b.Raise("space", "space/vault", "it is full"))
	for _, m := range d.kept {
		if m.Cause == "late/root" && m.Resolved == nil {
			t.Errorf("that it is over is not kept: %+v", m)
		}
	}
	if len(d.deliveries) != 3 {
		t.Errorf("%d deliveries are kept", len(d.deliveries))
	}
	if len(d.kept) != 2 || out.Channels()[0].Waiting != 3 {
		t.Errorf("kept %+v, %d wait", d.kept, out.Channels()[0].Waiting)
	}
}

// One that goes on from an older message is told, too.
func TestMessageThatGoesOnIsToldOnAFullDisk(t *testing.T) {
	d, out, b, now := onFullDesk(t)
	must(t, b.Raise("backup", "backup/failed", "it failed"))
	*now = now.Add(25 * time.Hour)
	d.full = true
	_ = b.Raise("backup", "backup/failed", "it failed again")
	if n := out.Channels()[0].Waiting; n != 2 {
		t.Errorf("%d wait", n)
	}
}

// A fullDesk keeps no message while it is full, and forgets none while it is stuck.
type fullDesk struct {
	*desk
	full, stuck bool
}

// onFullDesk has a book on such a desk, a channel that is told, and a clock.
func onFullDesk(t *testing.T) (d *fullDesk, out *Outbox, b *Book, now *time.Time) {
	t.Helper()
	d = &fullDesk{desk: newDesk()}
	out = openOutbox(t, d.desk, Options{})
	add(t, out, control.Channel{Name: "page", Command: []string{"/bin/true"}}, "")
	now = new(time.Now()) // a channel is told nothing of before
	clock := func() time.Time { return *now }
	b, err := Open(d, out, clock, clock)
	must(t, err)
	return d, out, b, now
}

func (d *fullDesk) ForgetMessage(id string) error {
	if d.stuck {
		return errors.New("no space")
	}
	return d.desk.ForgetMessage(id)
}

func (d *fullDesk) PutMessage(m control.Message, to ...control.Delivery) error {
	if d.full {
		return errors.New("no space")
	}
	return d.desk.PutMessage(m, to...)
}

// That an old message cannot be forgotten keeps no new one from being told and kept.
func TestMessageThatCannotBeForgottenIsNoHindrance(t *testing.T) {
	d, out, b, now := onFullDesk(t)
	must(t, b.Note("damage", "healed/p", "healed"))
	*now = now.Add(history + day)
	d.stuck = true
	_ = b.Raise("backup", "backup/failed", "it failed")
	if all := b.List(false); len(all) != 2 || len(d.kept) != 2 || out.Channels()[0].Waiting != 2 {
		t.Errorf("got %+v, kept %+v", all, d.kept)
	}
	d.stuck = false
	must(t, b.Raise("backup", "backup/skipped", "it was skipped"))
	if all := b.List(false); len(all) != 2 || len(d.kept) != 2 {
		t.Errorf("got %+v, kept %+v", all, d.kept)
	}
}
