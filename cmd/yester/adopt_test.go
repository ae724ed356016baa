package main

import (
	"io"
	"strings"
	"testing"

	"yester/control"
)

func TestInstanceIsNotTakenFromAnotherDaemonWithoutAsking(t *testing.T) {
	id := strings.Repeat("62857db6", 4)
	other := &control.OwnerText{Machine: "web1", Other: true}
	for _, tt := range []struct {
		in   control.AdoptedInstance
		name string
		asks bool
	}{
		{control.AdoptedInstance{Name: "web1", Owner: other}, "web1", true},
		{control.AdoptedInstance{Name: "web1", Owner: other}, id, true},
		{control.AdoptedInstance{Name: "web1", Owner: other}, "62857db6", true},
		{control.AdoptedInstance{Name: "web1", Owner: other}, "web1~62857db6", true},
		{control.AdoptedInstance{Name: "62857db6", Owner: other}, "~62857db6", true}, // it has no name
		{control.AdoptedInstance{Name: "web1", Owner: other, Ours: true}, "web1", true},
		{control.AdoptedInstance{Name: "web1", Owner: other}, "web2", false},
		{control.AdoptedInstance{Name: "web1", Owner: &control.OwnerText{Machine: "web1"}, Ours: true}, "web1", false},
		{control.AdoptedInstance{Name: "web1"}, "web1", false},
	} {
		tt.in.ID = id
		p := &program{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
		err := p.confirmAdoption(t.Context(), &control.Adoption{Instances: []control.AdoptedInstance{tt.in}}, tt.name, false)
		if asks := err != nil && strings.Contains(err.Error(), "there is no terminal to ask on"); asks != tt.asks || !asks && err != nil {
			t.Errorf("%s of %+v: %v", tt.name, tt.in, err)
		}
		if err := p.confirmAdoption(t.Context(), &control.Adoption{Instances: []control.AdoptedInstance{tt.in}}, tt.name, true); err != nil {
			t.Errorf("with --yes: %v", err)
		}
	}
}
