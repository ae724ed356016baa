package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yester/control"
	"yester/store"
)

// another is a daemon's options with another home, on another machine.
func another(t *testing.T) Options {
	t.Helper()
	o := options(t)
	o.MachineID = filepath.Join(t.TempDir(), "machine-id")
	if err := os.WriteFile(o.MachineID, []byte(strings.Repeat("7a", 16)+"\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	return o
}

// wantFailed takes a backup that must fail because the instance is another daemon's.
func wantFailed(t *testing.T, c *control.Client) {
	t.Helper()
	if task := backUp(t, c); task.State != control.Failed || !strings.Contains(task.Error, "belong to another daemon") {
		t.Errorf("got %+v", task)
	}
}

func TestInstanceIsAdoptedByOneDaemonAtATime(t *testing.T) {
	o, c, dir, version := startFilled(t)
	was, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, _ := serve(t, another(t))
	if _, err := other.Adopt(t.Context(), control.AdoptRequest{}); !errors.Is(err, control.NoVault) {
		t.Errorf("without a vault: %v", err)
	}
	if _, err := other.Adopt(t.Context(), control.AdoptRequest{Places: []string{t.TempDir()}}); !errors.Is(err, control.NoVault) {
		t.Errorf("of a folder without a vault: %v", err)
	}
	a, err := other.Adopt(t.Context(), control.AdoptRequest{Places: []string{o.Home.Vault}})
	if err != nil || a.Anew || len(a.Instances) != 1 || a.Instances[0].ID != was.Instance.ID || a.Instances[0].Ours || a.Instances[0].Newest != version.Version || a.Instances[0].Owner == nil || !a.Instances[0].Owner.Other {
		t.Fatalf("got %+v, %v", a, err)
	}
	to := t.TempDir()
	task, err := other.Restore(t.Context(), control.RestoreRequest{Instance: was.Instance.Name, Version: "latest", Paths: []string{filepath.Join(dir, "big")}, To: to})
	if task = await(t, other, task, err); task.State != control.Completed || task.Restored.Files != 1 {
		t.Errorf("another instance's file: %+v, %+v", task, task.Restored)
	}
	if _, err := other.Restore(t.Context(), control.RestoreRequest{Version: "latest", To: to}); !errors.Is(err, control.NotFound) {
		t.Errorf("a version of its own, which has none: %v", err)
	}
	if _, err := other.Restore(t.Context(), control.RestoreRequest{Instance: "nobody", Version: "latest", To: to}); !errors.Is(err, control.NotFound) {
		t.Errorf("a version of nobody: %v", err)
	}
	if _, err := other.Adopt(t.Context(), control.AdoptRequest{AsInstance: "nobody"}); !errors.Is(err, control.NotFound) {
		t.Errorf("as nobody: %v", err)
	}
	a, err = other.Adopt(t.Context(), control.AdoptRequest{AsInstance: was.Instance.Name})
	if err != nil || !a.Anew || a.Instance.ID != was.Instance.ID || a.Instances[0].Owner.Other {
		t.Fatalf("got %+v, %v", a, err)
	}
	until(t, "the other daemon to be the instance", func() bool {
		s, err := other.Status(t.Context())
		return err == nil && s.Instance.ID == was.Instance.ID
	})
	if _, err := other.Activate(t.Context(), control.ActivateRequest{}); err != nil {
		t.Fatal(err)
	}
	if task := backUp(t, other); task.State != control.Completed || len(task.Results) != 1 || task.Results[0].Parent != version.Version || task.Results[0].Added != 0 {
		t.Errorf("got %+v", task)
	}
	wantFailed(t, c)
	if err := c.Pin(t.Context(), control.PinRequest{Partition: version.Partition, Version: version.Version}); !errors.Is(err, control.Conflict) {
		t.Errorf("pin: %v", err)
	}
	if _, err := c.VaultGC(t.Context()); !errors.Is(err, control.Conflict) {
		t.Errorf("gc: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || !strings.Contains(strings.Join(s.Attention, "\n"), "belong to another daemon") {
		t.Errorf("status says %q, %v", s.Attention, err)
	}
}

// What the settings name as the passphrase may be that of another vault.
func TestVaultThatWasAdoptedIsOpenedAnewWithWhatWasGiven(t *testing.T) {
	o, c, _, _, stop := startFilledUntil(t)
	was := mustNot[control.Status](t)(c.Status(t.Context()))
	keys := mustNot[[]control.Key](t)(c.VaultKeys(t.Context()))
	mustNot[control.AddedKey](t)(c.KeyAdd(t.Context(), control.KeyAddRequest{Kind: control.KeyPassphrase, Passphrase: "secret"}))
	mustNot[control.RemovedKey](t)(c.KeyRemove(t.Context(), keys[0].ID))
	stop()
	oo := another(t)
	oo.Settings.PassphraseFile = filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(oo.Settings.PassphraseFile, []byte("stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	other, _ := serve(t, oo)
	a, err := other.Adopt(t.Context(), control.AdoptRequest{Places: []string{o.Home.Vault}, Passphrase: "secret", AsInstance: was.Instance.Name})
	if err != nil || !a.Anew || len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "wrong passphrase; the passphrase is read from "+oo.Settings.PassphraseFile) {
		t.Fatalf("got %+v, %v", a, err)
	}
	until(t, "the other daemon to be the instance, with the vault", func() bool {
		s, err := other.Status(t.Context())
		return err == nil && s.Instance.ID == was.Instance.ID && s.Vault == was.Vault
	})
	if err := os.WriteFile(oo.Settings.PassphraseFile, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := other.Adopt(t.Context(), control.AdoptRequest{}); err != nil || len(a.Warnings) > 0 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// A daemon that has no policy yet deletes by the one that the vault has a copy of, and nothing if there is none.
func TestAdoptedInstanceDeletesByThePolicyItHad(t *testing.T) {
	o, c, dir, _, stop := startFilledUntil(t)
	was, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set(t.Context(), control.ActivateRequest{Excludes: []string{"*.iso"}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the vault to have a copy of the policy", func() bool {
		v := mustNot[*Offline](t)(OpenOffline(t.Context(), OfflineOptions{Places: []string{o.Home.Vault}, Log: quiet()}))
		defer v.Close()
		p, err := policyOf(t.Context(), v.vault, was.Instance.ID, true)
		return err == nil && len(p.Excludes) == 1
	})
	stop()
	other, _ := serve(t, another(t))
	if _, err := other.Adopt(t.Context(), control.AdoptRequest{Places: []string{o.Home.Vault}, AsInstance: was.Instance.Name}); err != nil {
		t.Fatal(err)
	}
	until(t, "the other daemon to be the instance", func() bool {
		s, err := other.Status(t.Context())
		return err == nil && s.Instance.ID == was.Instance.ID
	})
	for _, name := range []string{"new.iso", "surplus"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := control.RestoreRequest{Version: "latest", Paths: []string{dir}, OnConflict: control.ConflictOverwrite, Delete: true}
	task, err := other.Restore(t.Context(), r)
	if task = await(t, other, task, err); task.Restored == nil || task.Restored.Deleted != 1 || !exists(filepath.Join(dir, "new.iso")) {
		t.Errorf("got %+v, %+v", task, task.Restored)
	}
	copies, err := filepath.Glob(filepath.Join(o.Home.Vault, "instances/*/policy.json*"))
	if err != nil || len(copies) == 0 {
		t.Fatalf("copies of the policy: %q, %v", copies, err)
	}
	for _, file := range copies {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Restore(t.Context(), r); !errors.Is(err, control.Damaged) || !exists(filepath.Join(dir, "new.iso")) {
		t.Errorf("without a policy: %v", err)
	}
	r.Delete = false
	task, err = other.Restore(t.Context(), r)
	if task = await(t, other, task, err); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
}

// A machine that was copied with all it had is two that are the same. The one that was started later goes on.
func TestOfACopiedMachineTheLaterGoesOn(t *testing.T) {
	o, _, _, _, stop := startFilledUntil(t)
	stop()
	copied := o
	copied.Home = newHome(t)
	copied.Home.Mount, copied.Home.Vault = "", o.Home.Vault
	if err := os.CopyFS(copied.Home.State, os.DirFS(o.Home.State)); err != nil {
		t.Fatal(err)
	}
	first, _ := serve(t, o)
	if task := backUp(t, first); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	second, _ := serve(t, copied)
	if task := backUp(t, second); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
	wantFailed(t, first)
	wantFailed(t, first) // also when it has been told
	if a, err := first.Adopt(t.Context(), control.AdoptRequest{}); err != nil || !a.Instances[0].Ours || !a.Instances[0].Owner.Other {
		t.Errorf("got %+v, %v", a, err)
	}
	if task := backUp(t, second); task.State != control.Completed {
		t.Errorf("got %+v", task)
	}
}

// Of two processes that are the same daemon the one whose word is older gives way, also if that came back with a place, or was thought not to be written.
func TestOlderProcessOfADaemonGivesWay(t *testing.T) {
	s := newStill(t)
	s.days("2026-11-24")
	own := mustNot[store.Owner](t)(s.vault.Owner(t.Context(), s.instance.ID))
	says := func(run string, after time.Duration, other bool) {
		t.Helper()
		o := own
		o.Run, o.Since = run, own.Since.Add(after)
		if err := s.vault.PutOwner(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := s.keepOff(t.Context(), s.vault); errors.Is(err, control.Conflict) != other || s.isOther(&o) != other {
			t.Errorf("%s, %v: %v", run, after, err)
		}
	}
	says("another", -time.Second, false)
	says("another", 0, true)
	says("another", time.Second, true)
	s.owned.taken = false // writing it is told to have failed
	says(own.Run, 0, false)
	says("another", time.Second, true)
}

// oldVault has the service go on with a new vault, and returns the folder of the one that it had.
func (s *still) oldVault() string {
	s.t.Helper()
	dir := s.o.Home.Vault + ".old"
	if err := errors.Join(s.end(), os.Rename(s.o.Home.Vault, dir)); err != nil {
		s.t.Fatal(err)
	}
	if err := mustNot[*store.Vault](s.t)(s.site.init(s.t.Context(), control.VaultInitRequest{}, cacheBytes)).Close(); err != nil {
		s.t.Fatal(err)
	}
	s.begin(s.o, s.db)
	return dir
}

// An active service may come to versions most of which have expired by its settings; nobody has looked at them yet.
func TestVersionsThatAServiceComesToStayForADay(t *testing.T) {
	took := func(s *still, r control.AdoptRequest) []string {
		return mustNot[control.Adoption](s.t)(s.adopt(s.t.Context(), r)).Warnings
	}
	for name, comes := range map[string]func(s *still, at func()) (told []string){
		"the settings name another vault": func(s *still, at func()) (told []string) {
			o := s.o
			o.Settings.Vault.Places = []string{s.oldVault()}
			at()
			if err := s.end(); err != nil {
				s.t.Fatal(err)
			}
			s.begin(o, s.db)
			for _, m := range mustNot[control.MessageList](s.t)(s.messages(s.t.Context(), control.MessagesRequest{})).Messages {
				if m.Kind == control.MessagePlace {
					told = append(told, m.Text)
				}
			}
			return told
		},
		"another vault is adopted": func(s *still, at func()) []string {
			old := s.oldVault()
			at()
			if err := errors.Join(s.end(), os.Rename(s.o.Home.Vault, old+".new"), os.Rename(old, s.o.Home.Vault)); err != nil {
				s.t.Fatal(err)
			}
			s.begin(s.o, s.db)
			s.swept("2027-03-24 12:00")
			return took(s, control.AdoptRequest{})
		},
		"it has its own again": func(s *still, at func()) []string {
			if err := s.vault.PutOwner(s.t.Context(), store.Owner{Instance: s.instance.ID, Holder: "other", Run: "other"}); err != nil {
				s.t.Fatal(err)
			}
			at()
			s.swept("2027-03-24 12:00")
			told := took(s, control.AdoptRequest{AsInstance: s.instance.ID})
			if len(told) != 2 || !strings.HasPrefix(told[0], "the settings of this machine hold for its versions from now on") {
				s.t.Errorf("told %q", told)
			}
			return told[1:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStill(t)
			s.days("2026-11-24", "2026-11-25", "2026-11-26")
			told := comes(s, func() { s.at("2027-03-24 12:00") })
			if len(told) != 1 || !strings.Contains(told[0], "2 versions have expired by the settings of this machine and will be deleted from 2027-03-25 12:00 on") {
				t.Errorf("told %q", told)
			}
			for _, clock := range []string{"2027-03-24 12:00", "2027-03-25 11:59"} {
				s.swept(clock)
				s.wantVersions("2026-11-24T0317", "2026-11-25T0317", "2026-11-26T0317")
			}
			s.swept("2027-03-25 12:00")
			s.wantVersions("2026-11-26T0317")
		})
	}
}
