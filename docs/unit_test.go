package docs

import (
	"os"
	"strings"
	"testing"
)

// unitSettings are the settings of the unit of systemd.
func unitSettings(t *testing.T) map[string]string {
	t.Helper()
	unit, err := os.ReadFile("yester.service")
	must(t, err)
	settings := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	return settings
}

// Hooks and their end are the daemon's: a stop must not send them what it sends the daemon, nor must one that takes too much memory end it.
func TestServiceLeavesHooksToTheDaemon(t *testing.T) {
	settings := unitSettings(t)
	for name, want := range map[string]string{"KillMode": "mixed", "OOMPolicy": "continue", "RuntimeDirectoryPreserve": "yes"} {
		if settings[name] != want {
			t.Errorf("%s=%s, want %s", name, settings[name], want)
		}
	}
}

// Backups must not end for good because somebody sent a signal.
func TestServiceIsStartedAgainHoweverItEnded(t *testing.T) {
	settings := unitSettings(t)
	if settings["Restart"] != "always" || settings["RestartSec"] != "10s" { // so that five starts in ten seconds, which systemd takes for a loop, do not come about
		t.Errorf("got Restart=%s, RestartSec=%s", settings["Restart"], settings["RestartSec"])
	}
	for name := range settings {
		if name == "RestartPreventExitStatus" || name == "SuccessExitStatus" || strings.HasPrefix(name, "StartLimit") {
			t.Errorf("%s may keep it from being started again", name)
		}
	}
}
