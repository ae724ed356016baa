package store

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"yester/store/place"
)

func pinned(versions ...string) Policy {
	p := Policy{Instance: machine, Policy: json.RawMessage(`{"start":"03:17"}`)}
	for _, v := range versions {
		p.Pinned = append(p.Pinned, Pin{Partition: "root", Version: v})
	}
	return p
}

func (sv *spreadVault) hasPolicy(want Policy) {
	sv.t.Helper()
	if got, err := sv.Policy(sv.t.Context(), machine); err != nil || !reflect.DeepEqual(got, want) {
		sv.t.Errorf("got %+v, %v", got, err)
	}
}

func TestPolicyOutlivesPlacesAndIsTheNewest(t *testing.T) {
	sv := newSpreadVault(t, shape{3, 1})
	sv.backup("v1", 0, 1)
	if _, err := sv.Policy(t.Context(), machine); !errors.Is(err, ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	put := func(p Policy) {
		t.Helper()
		if err := sv.PutPolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	put(pinned("v1"))
	sv.reopen(sv.mems[1:]...)
	put(pinned("v1", "v2"))
	sv.reopen(sv.mems...)
	sv.hasPolicy(pinned("v1", "v2"))
	sv.mendAll()
	sv.whole()
	sv.reopen(sv.mems[:2]...)
	sv.hasPolicy(pinned("v1", "v2"))
}

// What is written last holds, also over what could not be read then.
func TestPolicyHoldsOverWhatCouldNotBeRead(t *testing.T) {
	for name, begin := range map[string]func(sv *spreadVault, m *place.Mem){
		"damaged": func(sv *spreadVault, m *place.Mem) {
			for _, n := range []string{policyName(machine), policyName(machine) + copySuffix} {
				must(t, m.Damage(n, func(b []byte) []byte { clear(b); return b }))
			}
		},
		"removed": func(sv *spreadVault, m *place.Mem) {
			for _, n := range []string{policyName(machine), policyName(machine) + copySuffix} {
				must(t, m.Remove(t.Context(), n))
			}
		},
		"of before": func(sv *spreadVault, m *place.Mem) {
			sv.reopen(sv.mems[1])
			for range 5 {
				must(t, sv.PutPolicy(t.Context(), pinned("v1")))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			sv := newSpreadVault(t, shape{2, 1})
			sv.backup("v1", 0, 1)
			for range 5 {
				must(t, sv.PutPolicy(t.Context(), pinned("v1")))
			}
			begin(sv, sv.mems[0])
			sv.reopen(sv.mems[0])
			must(t, sv.PutPolicy(t.Context(), pinned("v1", "v2")))
			sv.reopen(sv.mems...)
			sv.hasPolicy(pinned("v1", "v2"))
			must(t, sv.PutPolicy(t.Context(), pinned("v2")))
			sv.hasPolicy(pinned("v2"))
			sv.mendAll()
			sv.whole()
			sv.reopen(sv.mems[1])
			sv.hasPolicy(pinned("v2"))
		})
	}
}

func TestDamagedPolicyIsHealedFromItsCopyOrAnError(t *testing.T) {
	tv, m := memVault(t)
	tv.mend.stop() // or it heals what is spoiled here before it is looked at
	if err := tv.PutPolicy(t.Context(), pinned("v1")); err != nil {
		t.Fatal(err)
	}
	spoil := func(name string) {
		t.Helper()
		if err := m.Write(t.Context(), name, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	spoil(policyName(machine))
	if got, err := tv.Policy(t.Context(), machine); err != nil || !reflect.DeepEqual(got, pinned("v1")) {
		t.Errorf("got %+v, %v", got, err)
	}
	spoil(policyName(machine) + copySuffix)
	if _, err := tv.Policy(t.Context(), machine); !errors.Is(err, ErrCorrupt) {
		t.Errorf("both are damaged: %v", err)
	}
}

// Policies name paths, and who may write to the places must not choose what expires.
func TestPolicyIsSealedForItsMachine(t *testing.T) {
	tv, m := memVault(t)
	p := Policy{Instance: machine, Policy: json.RawMessage(`{"paths":["/home/secret"]}`)}
	if err := tv.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	e, err := readEither(t.Context(), m, policyName(machine))
	if err != nil || strings.Contains(string(e.raw), "secret") {
		t.Errorf("%s, %v", e.raw, err)
	}
	var s sealedPolicy
	if err := e.open("policy", &s); err != nil {
		t.Fatal(err)
	}
	const other = "00112233445566778899aabbccddeeff"
	s.Instance = other
	if err := writeSmall(t.Context(), tv.place, policyName(other), "policy", s); err != nil {
		t.Fatal(err)
	}
	if got, err := tv.Policy(t.Context(), other); !errors.Is(err, ErrCorrupt) || got.Policy != nil {
		t.Errorf("that of another machine: %+v, %v", got, err)
	}
}

// An instance that is gone leaves nothing; one that went while a place was away can begin again, and the old pins do not come back.
func TestRemovedInstanceCanBeginAgain(t *testing.T) {
	for _, away := range []bool{false, true} {
		sv := newSpreadVault(t, shape{2, 1})
		describe := func() error {
			return errors.Join(sv.PutInstance(t.Context(), Instance{ID: machine, Name: "web1"}), sv.PutPolicy(t.Context(), pinned("v1")))
		}
		if err := describe(); err != nil {
			t.Fatal(err)
		}
		there := []*place.Mem{sv.mems[0]}
		if away {
			sv.reopen(there...)
		}
		if gone, err := sv.RemoveInstance(t.Context(), machine); gone == away || err != nil {
			t.Fatalf("away %v: gone %v, %v", away, gone, err)
		}
		all, err := sv.Instances(t.Context())
		if p, policyErr := sv.Policy(t.Context(), machine); len(p.Pinned) > 0 || p.Policy != nil || !away && (len(all) > 0 || !errors.Is(policyErr, ErrNotFound)) || err != nil {
			t.Errorf("away %v: %v, %v; %+v, %v", away, all, err, p, policyErr)
		}
		sv.reopen(sv.mems...)
		sv.mendAll()
		if p, _ := sv.Policy(t.Context(), machine); len(p.Pinned) > 0 {
			t.Errorf("away %v: came back %+v", away, p)
		}
		if err := describe(); err != nil {
			t.Errorf("away %v: again: %v", away, err)
		}
		sv.hasPolicy(pinned("v1"))
	}
}

// A note of a removal that one place kept alone, as it was lost just then, takes nothing away that was made anew.
func TestStrayNoteOfARemovalTakesNothingMadeAnew(t *testing.T) {
	sv := newSpreadVault(t, shape{2, 1})
	if err := sv.PutInstance(t.Context(), Instance{ID: machine, Name: "web1"}); err != nil {
		t.Fatal(err)
	}
	sv.mems[1].FailWrites(syscall.EIO)
	if err := sv.PutPolicy(t.Context(), pinned("v1")); err != nil {
		t.Fatal(err)
	}
	sv.mems[1].FailWrites(nil)
	for _, name := range []string{policyName(machine), policyName(machine) + copySuffix} {
		if err := sv.mems[1].Write(t.Context(), stone(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	sv.mendAll()
	sv.hasPolicy(pinned("v1"))
	sv.mendAll()
	sv.reopen(sv.mems[1])
	sv.hasPolicy(pinned("v1"))
	if sv.place.stones.any() {
		t.Error("the note is still there")
	}
}
