package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yester/control"
	"yester/fs"
	"yester/store"
	"yester/store/place"
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

func TestVaultWithoutTooManyPlacesIsUsedWhenTheyAreBack(t *testing.T) {
	o, places := threePlaces(t)
	o.Tempo, o.Settings.Vault.Places = 1000, places
	if err := errors.Join(os.Rename(places[0], places[0]+".away"), os.Rename(places[1], places[1]+".away")); err != nil {
		t.Fatal(err)
	}
	c, _ := serve(t, o)
	wantAway(t, c, "2 must be there; not there: "+places[0])
	if err := os.Rename(places[1]+".away", places[1]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the vault", func() bool { _, err := c.VaultInfo(t.Context()); return err == nil })
}

func TestPlaceIsAddedAndReplacedWhileServed(t *testing.T) {
	o, c, _, _, stop := startFilledUntil(t)
	second, third := filepath.Join(t.TempDir(), "second"), filepath.Join(t.TempDir(), "third")
	task, err := c.PlaceReplace(t.Context(), control.PlaceReplaceRequest{Old: o.Home.Vault, New: second})
	if !errors.Is(err, control.BadRequest) {
		t.Errorf("the only place: %+v, %v", task, err)
	}
	task, err = c.PlaceAdd(t.Context(), control.PlaceAddRequest{Place: second})
	if got := await(t, c, task, err); got.State != control.Completed || got.Kind != control.KindPlace || len(got.Report.Places) != 2 {
		t.Fatalf("got %+v, %+v", got, got.Report)
	}
	wantPlaces(t, c, o.Home.Vault, second)
	task, err = c.PlaceReplace(t.Context(), control.PlaceReplaceRequest{Old: o.Home.Vault, New: third})
	if got := await(t, c, task, err); got.State != control.Completed {
		t.Fatalf("got %+v", got)
	}
	stop()
	if err := os.RemoveAll(o.Home.Vault); err != nil {
		t.Fatal(err)
	}
	c, _ = serve(t, o)
	wantPlaces(t, c, third, second)
	if got := check(t, c, 1); got.State != control.Completed {
		t.Errorf("got %+v, %+v", got, got.Report)
	}
}

// A new disk is mounted where the lost one was; without one the disk of the system is not filled in its stead.
func TestLostPlaceIsReplacedWhereItWas(t *testing.T) {
	o, places := threePlaces(t)
	disk := filepath.Dir(places[1])
	if err := os.RemoveAll(places[1]); err != nil {
		t.Fatal(err)
	}
	c, stop := serve(t, o)
	again := control.PlaceReplaceRequest{Old: places[1], New: places[1]}
	if fs.MountOver(disk) == fs.MountOver("/") {
		if task, err := c.PlaceReplace(t.Context(), again); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "nothing is mounted") {
			t.Errorf("nothing is mounted: %+v, %v", task, err)
		}
		if _, err := os.Stat(places[1]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder was made: %v", err)
		}
	}
	if err := syscall.Mount("yester-test", disk, "tmpfs", 0, "mode=700,size=64m"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	task, err := c.PlaceReplace(t.Context(), again)
	if got := await(t, c, task, err); got.State != control.Completed {
		t.Fatalf("got %+v", got)
	}
	wantPlaces(t, c, places...)
	if task, err := c.PlaceReplace(t.Context(), again); !errors.Is(err, control.Exists) {
		t.Errorf("a place that is well: %+v, %v", task, err)
	}
}

// wantPlaces checks that the vault lies in just these places, and that they are well.
func wantPlaces(t *testing.T, c *control.Client, want ...string) {
	t.Helper()
	in, err := c.VaultInfo(t.Context())
	var got []string
	for _, p := range in.Places {
		got = append(got, p.Name)
		if p.State != control.PlaceWell || p.Because != "" || p.ID == "" || p.Total == 0 {
			t.Errorf("got %+v", p)
		}
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFoldersThatCannotBePlacesAreRefusedAndLeftAlone(t *testing.T) {
	o, places := threePlaces(t)
	c, _ := serve(t, o)
	full, fresh := t.TempDir(), filepath.Join(t.TempDir(), "fresh")
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		old, by string
		survive int
		kind    control.Kind
		says    string
	}{
		{"", full, 0, control.Exists, "not empty, it has precious"},
		{"", fresh, 4, control.BadRequest, "cannot survive the loss of 4"},
		{places[0], full, 0, control.Exists, "not empty, it has precious"},
		{places[0], places[1], 0, control.Exists, "a place of the vault already"},
		{"/nowhere", fresh, 0, control.NotFound, "no place /nowhere"},
	} {
		var err error
		if tt.old == "" {
			_, err = c.PlaceAdd(t.Context(), control.PlaceAddRequest{Place: tt.by, Survive: tt.survive})
		} else {
			_, err = c.PlaceReplace(t.Context(), control.PlaceReplaceRequest{Old: tt.old, New: tt.by})
		}
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a folder was made for what was refused")
	}
	wantPlaces(t, c, places...)
}

// What a crash leaves at each step of replacing a place by another.
func TestReplacingGoesOnWhereACrashLeftIt(t *testing.T) {
	for name, crash := range map[string]func(*store.Vault, string, place.Place) error{
		"remembered, not begun": func(*store.Vault, string, place.Place) error { return nil },
		"begun": func(v *store.Vault, old string, p place.Place) error {
			ctx, cancel := context.WithCancel(context.Background())
			err := v.ReplacePlace(ctx, old, p, store.PlaceOptions{Progress: func(string, int, int) { cancel() }})
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("not cut off: %w", err)
			}
			return nil
		},
		"done, not remembered": func(v *store.Vault, old string, p place.Place) error {
			return v.ReplacePlace(context.Background(), old, p, store.PlaceOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, places := threePlaces(t)
			by := t.TempDir()
			o = o.withDefaults()
			err := o.alone(func(s *site) error {
				v, err := s.open(t.Context(), cacheBytes)
				if err != nil {
					return err
				}
				p, err := place.NewDir(by)
				return errors.Join(err, s.expect(by), crash(v, places[1], p), v.Close())
			})
			if err != nil {
				t.Fatal(err)
			}
			c, stop := serve(t, o)
			task, err := c.PlaceReplace(t.Context(), control.PlaceReplaceRequest{Old: places[1], New: by})
			if got := await(t, c, task, err); got.State != control.Completed {
				t.Fatalf("got %+v", got)
			}
			stop()
			if err := os.RemoveAll(places[1]); err != nil {
				t.Fatal(err)
			}
			c, _ = serve(t, o)
			wantPlaces(t, c, places[0], by, places[2])
		})
	}
}

// Where the settings name the folders, a new one must stand there first, and the old one is said to be taken out.
func TestSettingsAreToNameANewPlaceBeforeItIsOne(t *testing.T) {
	o, places := threePlaces(t)
	by := filepath.Join(t.TempDir(), "by")
	say := func(dirs []string) {
		t.Helper()
		text := "[vault]\nplaces = [\"" + strings.Join(dirs, "\", \"") + "\"]\n"
		if err := os.WriteFile(o.Home.Settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say(places)
	_, settings, err := o.Home.Load()
	if err != nil {
		t.Fatal(err)
	}
	o.Settings = settings
	c, stop := serve(t, o)
	r := control.PlaceReplaceRequest{Old: places[0], New: by}
	if _, err := c.PlaceReplace(t.Context(), r); !errors.Is(err, control.Conflict) || !strings.Contains(err.Error(), "does not name "+by) {
		t.Errorf("not named: %v", err)
	}
	say(append(slices.Clone(places), by))
	task, err := c.PlaceReplace(t.Context(), r)
	if got := await(t, c, task, err); got.State != control.Completed || !strings.Contains(got.Hint, "names "+places[0]) {
		t.Errorf("got %+v", got)
	}
	if s, err := c.Status(t.Context()); err != nil || !slices.ContainsFunc(s.Attention, func(l string) bool { return strings.Contains(l, "names "+places[0]) }) {
		t.Errorf("got %q, %v", s.Attention, err)
	}
	stop()
	say([]string{places[1], places[2], by})
	if _, o.Settings, err = o.Home.Load(); err != nil {
		t.Fatal(err)
	}
	c, _ = serve(t, o)
	wantPlaces(t, c, by, places[1], places[2])
	if s, err := c.Status(t.Context()); err != nil || slices.ContainsFunc(s.Attention, func(l string) bool { return strings.Contains(l, "names ") }) {
		t.Errorf("got %q, %v", s.Attention, err)
	}
}

// No version has anything of the vault's, whatever the settings said when the daemon began, and whatever was a place before. What somebody puts beside that is his.
func TestPlacesOfNowAndBeforeAreNeverBackedUp(t *testing.T) {
	for _, named := range []bool{false, true} { // in the settings
		t.Run(fmt.Sprint(named), func(t *testing.T) {
			dir := source(t) // three files
			needPartition(t, dir)
			old, other, added, by := filepath.Join(dir, "old"), filepath.Join(dir, "other"), filepath.Join(dir, "added"), filepath.Join(dir, "by")
			o := options(t)
			say := func(dirs ...string) (s Settings) {
				t.Helper()
				if !named {
					return s
				}
				err := errors.Join(o.Home.make(), os.WriteFile(o.Home.Settings, []byte("[vault]\nplaces = [\""+strings.Join(dirs, "\", \"")+"\"]\n"), 0o600))
				if err == nil {
					_, s, err = o.Home.Load()
				}
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			o.Settings = say(old, other)
			mustNot[control.VaultInfo](t)(InitVault(t.Context(), o, control.VaultInitRequest{Places: []string{old, other}}))
			c, stop := serve(t, o)
			mustNot[control.Activation](t)(c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}))
			wantFiles := func(files uint64) {
				t.Helper()
				if got := backUp(t, c); got.State != control.Completed || got.Results[0].Files != files {
					t.Errorf("got %+v", got)
				}
			}
			wantFiles(3)
			say(old, other, added)
			task, err := c.PlaceAdd(t.Context(), control.PlaceAddRequest{Place: added})
			if got := await(t, c, task, err); got.State != control.Completed {
				t.Fatalf("got %+v", got)
			}
			wantFiles(3)
			say(old, other, added, by)
			task, err = c.PlaceReplace(t.Context(), control.PlaceReplaceRequest{Old: old, New: by})
			if got := await(t, c, task, err); got.State != control.Completed {
				t.Fatalf("got %+v", got)
			}
			if err := os.WriteFile(filepath.Join(old, "mine"), nil, 0o600); err != nil || !exists(filepath.Join(old, "instances")) {
				t.Fatalf("what is left in the old place: %v", err)
			}
			keys, err := filepath.Glob(filepath.Join(old, "keys", "*"))
			if err != nil {
				t.Fatal(err)
			}
			with := 4 + uint64(len(keys)) // with the little that may be anybody's
			wantFiles(with)
			stop()
			o.Settings = say(other, added, by)
			c, _ = serve(t, o)
			wantFiles(with)
			// Somebody has it for himself now, by whatever names.
			err = errors.Join(os.RemoveAll(filepath.Join(old, "instances")), os.Mkdir(filepath.Join(old, "instances"), 0o700), os.WriteFile(filepath.Join(old, "instances", "mine"), nil, 0o600),
				os.RemoveAll(filepath.Join(old, "keys")), os.WriteFile(filepath.Join(old, "keys"), nil, 0o600), os.MkdirAll(filepath.Join(old, "deleted"), 0o700), os.WriteFile(filepath.Join(old, "deleted", "mine"), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
			wantFiles(7)
			task, err = c.Restore(t.Context(), control.RestoreRequest{Version: "latest", To: filepath.Join(old, "instances")})
			if got := await(t, c, task, err); got.State != control.Completed {
				t.Errorf("restore there: %+v", got)
			}
		})
	}
}
