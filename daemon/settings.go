package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/BurntSushi/toml"

	"yester/control"
)

// Settings are what the settings file may say:
//
//	socket = "/run/yester/yester.sock"
//	mount = "/yester"
//	log_level = "info"              # debug, info, warn, error
//	passphrase_file = "/etc/yester/passphrase"
//	scrub_days = 30                 # 0: never
//	metrics = "127.0.0.1:9469"      # serve /metrics and /health there too
//	drill_days = 7                  # 0: never
//	audit_days = 7                  # 0: never
//
//	[vault]
//	places = ["/srv/backup/vault"]
//
//	[metering]
//	free_gib = 100
//	price = 0.0045                  # of a GiB and day above that
//	currency = "EUR"
//
//	[[metering.plans]]              # paid for in advance; any number
//	gib = 500
//	from = 2026-01-01
//	to = 2026-12-31
//
// Relative paths are taken from the file's folder.
type Settings struct {
	Socket   string `toml:"socket"`
	Mount    string `toml:"mount"`
	LogLevel string `toml:"log_level"`

	PassphraseFile string `toml:"passphrase_file"`
	ScrubDays      *int   `toml:"scrub_days"`
	Metrics        string `toml:"metrics"` // HOST:PORT; "": only on the socket
	DrillDays      *int   `toml:"drill_days"`
	AuditDays      *int   `toml:"audit_days"`

	Vault struct {
		Places []string `toml:"places"`
	} `toml:"vault"`

	Metering Metering `toml:"metering"`
}

// maxDays is how many days the settings may say at most; never is 0.
const maxDays = 36500

// Load reads the settings file and moves h's paths to where it says. A missing file says nothing. BadRequest if it makes no sense, or the
// home is no folder.
func (h Home) Load() (Home, Settings, error) {
	var s Settings
	if err := h.check(); err != nil {
		return h, s, err
	}
	meta, err := toml.DecodeFile(h.Settings, &s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, s, nil
	case errors.Is(err, fs.ErrPermission):
		return h, s, nil // an ordinary user: the daemon will say what it thinks of them
	case err != nil:
		return h, s, h.wrong("cannot be read: %v", sentence(err))
	case len(meta.Undecoded()) > 0:
		return h, s, h.wrong("there is no setting %q", meta.Undecoded()[0].String())
	}
	if _, err := s.level(); err != nil {
		return h, s, h.wrong("log_level %q is none of debug, info, warn, error", s.LogLevel)
	}
	for name, days := range map[string]*int{"scrub_days": s.ScrubDays, "drill_days": s.DrillDays, "audit_days": s.AuditDays} {
		if days != nil && (*days < 0 || *days > maxDays) {
			return h, s, h.wrong("%s %d is not between 0 and %d", name, *days, maxDays)
		}
	}
	if err := CheckMetrics(s.Metrics); err != nil {
		return h, s, h.wrong("metrics: %v", err)
	}
	if err := s.Metering.check(); err != nil {
		return h, s, h.wrong("%v", err)
	}
	return h.moved(&s), s, nil
}

// CheckMetrics refuses an address for metrics that is none. Empty is none asked for.
func CheckMetrics(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 {
		return control.Errorf(control.BadRequest, "%q is no HOST:PORT", address)
	}
	return nil
}

// wrong says what is wrong with the settings.
func (h Home) wrong(format string, args ...any) error {
	return control.Errorf(control.BadRequest, "%s: %s", h.Settings, fmt.Sprintf(format, args...)).
		WithHint("correct the file; docs/CLI.md has an example")
}

// moved makes the paths of s absolute and has h follow them.
func (h Home) moved(s *Settings) Home {
	abs := func(p string) string {
		switch {
		case p == "":
			return p
		case filepath.IsAbs(p):
			return filepath.Clean(p) // as places are known, without a slash at the end
		}
		return filepath.Join(filepath.Dir(h.Settings), p)
	}
	if s.Socket != "" {
		h.Socket = abs(s.Socket)
	}
	if s.Mount != "" {
		h.Mount = abs(s.Mount)
	}
	s.PassphraseFile = abs(s.PassphraseFile)
	for i, p := range s.Vault.Places {
		s.Vault.Places[i] = abs(p)
	}
	return h
}

// scrubDays is in how many days the whole vault is read; 0: never.
func (s *Settings) scrubDays() int {
	if s.ScrubDays == nil {
		return scrubDays
	}
	return *s.ScrubDays
}

// drillDays is every how many days a restore is tried; 0: never.
func (s *Settings) drillDays() int {
	if s.DrillDays == nil {
		return drillDays
	}
	return *s.DrillDays
}

// audit is after what time a partition is walked though it is known what changed; 0: never.
func (s *Settings) audit() time.Duration {
	days := auditDays
	if s.AuditDays != nil {
		days = *s.AuditDays
	}
	return time.Duration(days) * 24 * time.Hour
}

// level is what is logged; the default is info.
func (s *Settings) level() (l slog.Level, err error) {
	if s.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	return l, l.UnmarshalText([]byte(s.LogLevel))
}

// Logger returns a logger to stderr of the level that the settings ask for.
func (s *Settings) Logger() *slog.Logger {
	l, _ := s.level() // was checked by Load
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}
