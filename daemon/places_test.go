package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yester/control"
)

// threePlaces makes a vault in three folders, one of which may be lost, and serves it.
func threePlaces(t *testing.T) (o Options, places []string) {
	t.Helper()
	o = options(t)
	for _, name := range []string{"a", "b", "c"} {
		places = append(places, filepath.Join(t.TempDir(), name))
	}
	if _, err := InitVault(t.Context(), o, control.VaultInitRequest{Places: places}); err != nil {
		t.Fatal(err)
	}
	return o, places
}

func TestBackupsGoOnWithoutAPlace(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o, places := threePlaces(t)
	if err := os.Rename(places[1], places[1]+".away"); err != nil {
		t.Fatal(err)
	}
	c, stop := serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	if task := backUp(t, c); task.State != control.Completed {
		t.Errorf("without a place: %+v", task)
	}
	stop()
	if err := errors.Join(os.Rename(places[1]+".away", places[1]), os.Rename(places[2], places[2]+".away")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(places[2]); err == nil {
		t.Fatal("it is still there")
	}
	c, _ = serve(t, o)
	if vs, err := c.Versions(t.Context(), control.VersionsRequest{}); err != nil || len(vs) != 1 {
		t.Errorf("got %+v, %v", vs, err)
	}
}

func TestVaultWithoutTooManyPlacesIsRefused(t *testing.T) {
	o, places := threePlaces(t)
	if err := errors.Join(os.Rename(places[0], places[0]+".away"), os.Rename(places[1], places[1]+".away")); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); err == nil {
		t.Error("it is served")
	}
}
