package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yester/control"
)

// halfMade is a home, and three folders in which a vault was being made when that was killed.
func halfMade(t *testing.T, lacking ...string) (o Options, places []string) {
	o, places = threePlaces(t)
	both := []string{"vault.json", "vault.json.copy"}
	for i, names := range [][]string{lacking, both, both} {
		for _, name := range names {
			if err := os.Remove(filepath.Join(places[i], name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.Home = options(t).Home // which has heard of no vault
	return o, places
}

func TestInitThatWasKilledIsRunAgain(t *testing.T) {
	for i, lacking := range [][]string{{"vault.json"}, nil, {"vault.json"}, nil} {
		o, places := halfMade(t, lacking...)
		r := control.VaultInitRequest{Places: places}
		if i < 2 {
			_, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: places[:2]})
			if e, is := errors.AsType[*control.Error](err); !is || !errors.Is(err, control.Exists) || !strings.Contains(e.Hint, "same folders") {
				t.Errorf("fewer folders: %v", err)
			}
		} else {
			o.Settings.Vault.Places, r.Places = places, nil
		}
		in, err := InitVault(t.Context(), o, r)
		if err != nil || len(in.Places) != 3 {
			t.Fatalf("got %+v, %v", in, err)
		}
		if _, err := InitVault(t.Context(), o, r); !errors.Is(err, control.Exists) {
			t.Errorf("once more: %v", err)
		}
		c, stop := serve(t, o)
		if got, err := c.VaultInfo(t.Context()); err != nil || got.ID != in.ID {
			t.Errorf("got %+v, %v", got, err)
		}
		stop()
	}
}

// The daemon that had the vault knows better than what is left in the folders.
func TestInitMakesNoVaultWhereTheDaemonHadOne(t *testing.T) {
	o, places := threePlaces(t)
	for _, place := range places[1:] {
		for _, name := range []string{"vault.json", "vault.json.copy"} {
			if err := os.Remove(filepath.Join(place, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: places}); !errors.Is(err, control.Exists) {
		t.Errorf("got %v", err)
	}
}
