package integration

import (
	"fmt"
	"os"
)

// newYesterTool is ours at priority max, for a source.
func newYesterTool(s *backupBench, source *partition, name, compression string) *tool {
	dir := "yester-" + source.name + "-" + compression
	var d *daemon
	return &tool{
		name: name,
		begin: func() {
			home := s.target.path(dir, "home")
			must(s.b, os.MkdirAll(home, 0o755))
			d = start(s.b, home)
			d.activate("max", source)
			d.run(done, "set", "--compression", compression)
		},
		backup:  func() measure { return s.measureDaemon(d, "backup", "--wait") },
		restore: func(to string) measure { return s.measureDaemon(d, "restore", "latest", "--to", to, "--wait") },
		forget: func() {
			d.stop()
			d = start(s.b, d.home)
		},
		method: func() string {
			all := d.versions(source)
			v := all[len(all)-1]
			if v.Because != "" {
				s.b.Logf("%s: by %s because %s", name, v.Method, v.Because)
			}
			return v.Method
		},
		size: func() int64 { return bytesBelow(s.b, s.target.path(dir, "home", "vault")) },
		end: func() {
			d.stop()
			s.clear(dir + "/home") // beside it is the daemon's log, which is looked at later
		},
	}
}

func newResticTool(s *backupBench) *tool {
	repo := s.target.path("restic")
	env := []string{
		"RESTIC_REPOSITORY=" + repo, "RESTIC_PASSWORD=x", "RESTIC_CACHE_DIR=" + s.target.path("restic-cache"), "TMPDIR=" + s.target.dir,
		"RESTIC_PROGRESS_FPS=0.1",
	}
	run := func(args ...string) measure {
		return s.measureCommand(env, append([]string{"restic", "-q"}, args...)...)
	}
	return &tool{
		name:    "restic",
		begin:   func() { run("init") },
		backup:  func() measure { return run("backup", "--one-file-system", s.source.dir) },
		restore: func(to string) measure { return run("restore", "latest", "--target", to) },
		size:    func() int64 { return bytesBelow(s.b, repo) },
		end: func() {
			s.clear("restic")
			s.clear("restic-cache")
		},
	}
}

func newBorgTool(s *backupBench) *tool {
	repo := s.target.path("borg")
	env := []string{
		"BORG_REPO=" + repo, "BORG_PASSPHRASE=x", "BORG_BASE_DIR=" + s.target.path("borg-base"), "TMPDIR=" + s.target.dir,
		"LANG=C.UTF-8", "BORG_RELOCATED_REPO_ACCESS_IS_OK=yes",
	}
	run := func(args ...string) measure { return s.measureCommand(env, append([]string{"borg"}, args...)...) }
	archives := 0
	return &tool{
		name:  "borg",
		begin: func() { run("init", "--encryption", "repokey-blake2") },
		backup: func() measure {
			archives++
			return run("create", "--one-file-system", "--compression", "lz4", fmt.Sprint("::", archives), s.source.dir)
		},
		restore: func(to string) measure {
			return s.measureCommand(env, "sh", "-c", `cd "$0" && borg extract "$1"`, to, fmt.Sprint("::", archives))
		},
		size: func() int64 { return bytesBelow(s.b, repo) },
		end: func() {
			s.clear("borg")
			s.clear("borg-base")
		},
	}
}
