package place_test

import (
	"testing"

	"yester/store/place"
	"yester/store/place/placetest"
)

func TestDir(t *testing.T) {
	placetest.Run(t, func(t *testing.T) place.Place {
		d, err := place.NewDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestMem(t *testing.T) {
	placetest.Run(t, func(t *testing.T) place.Place { return place.NewMem(1) })
}
