package docs

import (
	"os"
	"strings"
	"testing"
)

// Backups must not end for good because somebody sent a signal.
func TestServiceIsStartedAgainHoweverItEnded(t *testing.T) {
	unit, err := os.ReadFile("yester.service")
	must(t, err)
	settings := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	if settings["Restart"] != "always" || settings["RestartSec"] != "10s" { // so that five starts in ten seconds, which systemd takes for a loop, do not come about
		t.Errorf("got Restart=%s, RestartSec=%s", settings["Restart"], settings["RestartSec"])
	}
	for name := range settings {
		if name == "RestartPreventExitStatus" || name == "SuccessExitStatus" || strings.HasPrefix(name, "StartLimit") {
			t.Errorf("%s may keep it from being started again", name)
		}
	}
}
