package main

import (
	"bytes"
	"strings"
	"testing"

	"yester/control"
)

func TestActivateAndStatusNameTheFoldersThatAreLeftOut(t *testing.T) {
	policy := control.Policy{Start: "03:17", Priority: "low", RetentionDays: 30, Excludes: []string{"*.iso"}}
	root := control.Partition{Name: "root", MountPoint: "/", Selected: true, LeftOut: []string{"/bin", "/srv"}}
	const want = "*.iso, the system's /bin, /srv (--include-system takes them)"
	for name, show := range map[string]func(*program){
		"activate": func(p *program) {
			p.showActivation(&control.Activation{Policy: policy, Partitions: []control.Partition{root}})
		},
		"status": func(p *program) {
			p.showStatus(&control.Status{Policy: &policy, Partitions: []control.Partition{root}})
		},
	} {
		var out bytes.Buffer
		show(&program{out: &out, err: &out})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s says %s", name, out.String())
		}
	}
}

func TestStatusTellsOfTheDiskOfTheVaultAndOfNoPseudoFileSystem(t *testing.T) {
	var out bytes.Buffer
	(&program{out: &out, err: &out}).showStatus(&control.Status{Partitions: []control.Partition{
		{Name: "backup", MountPoint: "/backup", Size: 1 << 30, Excluded: "it holds the vault"}, {Name: "proc", MountPoint: "/proc", Excluded: "pseudo"},
	}})
	if got := out.String(); !strings.Contains(got, "(it holds the vault)") || strings.Contains(got, "proc") {
		t.Errorf("status says %s", got)
	}
}
