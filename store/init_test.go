package store

import (
	"errors"
	"log/slog"
	"testing"

	"yester/store/place"
)

func initOptions(mems []*place.Mem) Options {
	o := Options{Log: slog.New(slog.DiscardHandler), Reserve: 1, Survive: 1}
	for _, m := range mems {
		o.Places = append(o.Places, m)
	}
	return o
}

// cutOff has the power go after n steps of an Init in several places. Before tells that it had not ended.
func cutOff(t *testing.T, n, places int) (mems []*place.Mem, before bool) {
	seed, power := newSeed(t), place.NewPower(n)
	for i := range places {
		mems = append(mems, place.NewMem(seed+uint64(i)))
		mems[i].Plug(power)
	}
	before = Init(t.Context(), initOptions(mems)) != nil
	for i := range mems {
		mems[i] = mems[i].Crash()
	}
	return mems, before
}

func TestInitThatWasCutOffIsDoneAgain(t *testing.T) {
	again := 0
	for before, n := true, 0; before; n++ {
		var mems []*place.Mem
		mems, before = cutOff(t, n, 3)
		o := initOptions(mems)
		left, err := Unfinished(t.Context(), o.Places)
		must(t, err)
		if err = Init(t.Context(), o); err != nil && (!errors.Is(err, ErrExists) || left) {
			t.Fatalf("after %d steps: %v", n, err)
		}
		if left && err == nil {
			again++
		}
		v, err := Open(t.Context(), o)
		if err != nil {
			t.Fatalf("after %d steps: %v", n, err)
		}
		must(t, v.Mend(t.Context()))
		for _, p := range v.Places(t.Context()) {
			if p.Err != nil || p.Behind {
				t.Errorf("after %d steps: %+v", n, p)
			}
		}
		must(t, v.Close())
	}
	if again < 3 {
		t.Errorf("%d times something of a vault was there", again)
	}
}

// halfMade is a half-made vault in three places.
func halfMade(t *testing.T) []*place.Mem {
	for n := 0; ; n++ {
		mems, before := cutOff(t, n, 3)
		if !before {
			t.Fatal("it was never half made")
		}
		if _, err := mems[0].Open(t.Context(), vaultFile); err == nil {
			return mems
		}
	}
}

func TestInitMakesNoVaultWhereOneMayBe(t *testing.T) {
	whole := func(t *testing.T) []*place.Mem {
		seed := newSeed(t)
		mems := []*place.Mem{place.NewMem(seed), place.NewMem(seed + 1), place.NewMem(seed + 2)}
		must(t, Init(t.Context(), initOptions(mems)))
		return mems
	}
	for name, places := range map[string]func(t *testing.T) []*place.Mem{
		"a vault": whole,
		"one of its places is not mounted": func(t *testing.T) []*place.Mem {
			return []*place.Mem{whole(t)[0], place.NewMem(1), place.NewMem(2)}
		},
		"two are": func(t *testing.T) []*place.Mem {
			mems := whole(t)
			return []*place.Mem{mems[0], place.NewMem(1), mems[2]}
		},
		"fewer than were meant": func(t *testing.T) []*place.Mem { return halfMade(t)[:2] },
		"others than were meant": func(t *testing.T) []*place.Mem {
			mems := halfMade(t)
			return []*place.Mem{mems[0], mems[1], halfMade(t)[2]}
		},
		"something else": func(t *testing.T) []*place.Mem {
			mems := halfMade(t)
			must(t, mems[1].Write(t.Context(), "letter", []byte("dear")))
			return mems
		},
		"packs": func(t *testing.T) []*place.Mem {
			mems := halfMade(t)
			must(t, mems[2].Write(t.Context(), "instances/x/packs/00/00", []byte("a pack")))
			return mems
		},
		"a removal": func(t *testing.T) []*place.Mem {
			mems := halfMade(t)
			must(t, mems[2].Write(t.Context(), "deleted/keys/x"))
			return mems
		},
		"a damaged vault": func(t *testing.T) []*place.Mem {
			mems := whole(t)
			for _, name := range []string{vaultFile, vaultFile + copySuffix} {
				must(t, mems[0].Damage(name, func(b []byte) []byte { return b[:20] }))
				must(t, mems[1].Remove(t.Context(), name))
			}
			return mems
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := initOptions(places(t))
			left, err := Unfinished(t.Context(), o.Places)
			if err != nil || left {
				t.Errorf("taken for unfinished: %v", err)
			}
			if err := Init(t.Context(), o); !errors.Is(err, ErrExists) {
				t.Errorf("got %v", err)
			}
		})
	}
}
