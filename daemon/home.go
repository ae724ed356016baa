package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"yester/control"
)

// A Home is where a daemon has its things. All paths are absolute.
type Home struct {
	Dir      string // what all the others lie under; "" for the system's folders
	Settings string // file, may be missing
	Vault    string // default place of the vault
	Index    string
	State    string
	Alerts   string // secrets of the channels of alerts
	Run      string // for what ends with the process: socket and lock
	Socket   string
	Mount    string
	Scratch  string // what drills restore to, and empty again

	Unfinished string // what backups that were cut off have read
}

// NewHome returns the home under dir, or the system's for "". A relative dir is taken from the working directory.
func NewHome(dir string) (Home, error) {
	if dir == "" {
		const lib, run = "/var/lib/yester/", "/run/yester"
		return Home{
			Settings: "/etc/yester/yester.toml",
			Vault:    lib + "vault", Index: lib + "index", State: lib + "state", Alerts: lib + "alerts",
			Run: run, Socket: run + "/yester.sock", Mount: "/yester", Scratch: lib + "drill", Unfinished: lib + "unfinished",
		}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Home{}, fmt.Errorf("find the home: %w", err)
	}
	below := func(name string) string { return filepath.Join(dir, name) }
	return Home{
		Dir:      dir,
		Settings: below("yester.toml"),
		Vault:    below("vault"), Index: below("index"), State: below("state"), Alerts: below("alerts"),
		Run: below("run"), Socket: below("run/yester.sock"), Mount: below("mnt"), Scratch: below("drill"), Unfinished: below("unfinished"),
	}, nil
}

// Name is what the home is called in messages.
func (h Home) Name() string {
	if h.Dir == "" {
		return "this machine"
	}
	return h.Dir
}

// own lists the folders that are never backed up.
func (h Home) own(places []string) []string { return slices.Concat(h.folders(), h.places(places)) }

// folders are those that nothing but the home's lies in.
func (h Home) folders() []string {
	all := []string{h.Index, h.Index + ".broken", h.State, h.Alerts, h.Run, h.Mount, h.Scratch, h.Unfinished}
	return slices.DeleteFunc(all, func(dir string) bool { return dir == "" }) // there may be no mount
}

// places adds the home's own place of the vault to others.
func (h Home) places(others []string) []string { return append([]string{h.Vault}, others...) }

// Own lists the folders of the home that are never backed up, as its settings have them; those of places that it knows of otherwise are told by their vaults.
func (h Home) Own(s *Settings) []string { return h.own(s.Vault.Places) }

// check refuses a home that cannot be one.
func (h Home) check() error {
	if h.Dir == "" {
		return nil
	}
	info, err := os.Stat(h.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil // it can be made, or else that will say why not
	case errors.Is(err, syscall.ENOTDIR), err == nil && !info.IsDir():
		return control.Errorf(control.BadRequest, "the home %s is a file, not a folder", h.Dir).
			WithHint("give another with --home or YESTER_HOME")
	case err != nil:
		return control.Errorf(control.Internal, "the home %s cannot be used (%v)", h.Dir, cause(err))
	}
	return nil
}

// make makes the folders that are not there, and refuses those of others. Only the way to the mount is open to users: what it shows is guarded by each file's own mode.
func (h Home) make() error {
	if h.Dir != "" {
		if err := mkdir(h.Dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(h.State), h.Index, h.State, h.Run} {
		if err := mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := own(dir); err != nil {
			return err
		}
	}
	_ = mkdir(h.Scratch, 0o700) // for backups to know it before a drill is; else the drill says why
	if err := own(h.Alerts); err != nil {
		return err
	}
	dir := filepath.Dir(h.Socket)
	if err := mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := own(dir); err != nil { // who can put another socket in its place is told passphrases
		return explain(err).WithHint("name one in a folder that only root can write in as socket in %s", h.Settings)
	}
	return nil
}

// own refuses a folder, if it is there, that others own or can write in, or that a link of theirs leads to: what the state says is done as root, so they could have made one with
// commands of theirs. The group of the process itself may write there, as it may where the umask is 002.
func own(dir string) error {
	for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return folderError(dir, err)
		}
		s := info.Sys().(*syscall.Stat_t)
		switch {
		case s.Uid != 0 && int(s.Uid) != os.Geteuid():
			return control.Errorf(control.Denied, "the folder %s belongs to user %d, who could have the daemon do anything by what is put there", dir, s.Uid).
				WithHint("give another home with --home, or remove that folder; if what is in it is yours, `chown -R` it")
		case info.IsDir() && (s.Mode&0o002 != 0 || s.Mode&0o020 != 0 && int(s.Gid) != os.Getegid()):
			return control.Errorf(control.Denied, "others than its owner can write in the folder %s, and could have the daemon do anything by what they put there", dir).
				WithHint("give another home with --home, or `chmod go-w` it if nobody else did")
		}
	}
	return nil
}

// mkdir makes a folder and those above it.
func mkdir(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return folderError(dir, err)
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return folderError(dir, err)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return folderError(dir, syscall.ENOTDIR)
	}
	return nil
}

// folderError says that a folder could not be made.
func folderError(dir string, err error) error {
	kind := control.Internal
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return control.Errorf(control.NoSpace, "the folder %s cannot be made, the disk is full", dir).WithHint("free some space there")
	case errors.Is(err, syscall.EROFS):
		return control.Errorf(control.ReadOnly, "the folder %s cannot be made, the file system is read-only", dir).
			WithHint("remount it writable, or give another home with --home")
	case errors.Is(err, fs.ErrPermission):
		kind = control.Denied
	}
	return control.Errorf(kind, "the folder %s cannot be made (%v)", dir, cause(err)).WithHint("make it, or give another home with --home")
}

// cause strips what the system's calls say around an error number.
func cause(err error) error {
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return n
	}
	return err
}
