package daemon

import (
	"context"
	"slices"
	"time"

	"yester/control"
	"yester/store"
)

// anew ends a daemon that begins anew in the same process, as another instance, or as its vault is to be looked for, or opened again.
type anew struct {
	passphrases []string
	mended      time.Time // now, if it is for a broken index
}

func (*anew) Error() string { return "begin anew" }

// adopt has the daemon go on with a vault, and as one of its instances if one is named.
func (d *Daemon) adopt(ctx context.Context, r control.AdoptRequest) (control.Adoption, error) {
	d.admin.Lock()
	defer d.admin.Unlock()
	v, err := d.adoptVault(ctx, &r)
	if err != nil {
		return control.Adoption{}, err
	}
	a := control.Adoption{Instance: d.instance}
	if r.AsInstance != "" {
		var back bool
		if a.Instance.ID, back, err = d.becomes(ctx, v, r.AsInstance); err != nil {
			return a, err
		}
		if a.Anew = a.Instance.ID != d.instance.ID; back {
			a.Warnings = append(a.Warnings, "the settings of this machine hold for its versions from now on, not those that they had with another daemon; `yester status` shows them")
		}
	}
	expired, err := d.spared(ctx, v)
	if err != nil {
		return a, explain(err)
	}
	a.Warnings = slices.Concat(a.Warnings, expired, d.site.closed(ctx, v))
	info, err := v.Info(ctx)
	if err != nil {
		return a, explain(err)
	}
	a.Vault = info.ID
	for _, p := range info.Places {
		a.Places = append(a.Places, apiPlace(p))
	}
	if a.Instances, err = d.adoptable(ctx, v, a.Instance.ID); err != nil {
		return a, explain(err)
	}
	if a.Anew {
		d.anew(&anew{passphrases: d.site.passphrases()}) // it ends when this is answered
	}
	d.mountAgain() // what was mounted for root alone may be seen again
	return a, nil
}

// adoptVault opens the vault, unless it is open. d.admin is held.
func (d *Daemon) adoptVault(ctx context.Context, r *control.AdoptRequest) (*store.Vault, error) {
	if v, err := d.openedVault(); err == nil {
		dirs, err := d.site.places()
		if err == nil && len(r.Places) > 0 && !slices.Equal(dirs, r.Places) {
			return nil, d.hasAnother(dirs, r.Places)
		}
		return v, err
	}
	v, err := d.site.adopt(ctx, r.Places, r.Passphrase, cacheBytes)
	if err != nil {
		return nil, err
	}
	d.useVault(v)
	return v, nil
}

// hasAnother says that the daemon has a vault in some folders, and how to have it go on with one in others.
func (d *Daemon) hasAnother(dirs, wanted []string) error {
	first := ""
	if d.serviceState() != control.StateNew {
		first = "`yester cancel` first, which deletes all versions that this machine has in it, if it is to go on as another instance; then "
	}
	return control.Errorf(control.Exists, "%s has a vault already, in %s", d.o.Home.Name(), list(dirs)).
		WithHint("to see the instances of that one, leave out --place; to go on with the other one instead, %sname %s under [vault] places in %s and start the daemon again",
			first, list(wanted), d.o.Home.Settings)
}

// adopt opens the vault in some folders, or where the home's would be, as the home's from now on.
func (s *site) adopt(ctx context.Context, wanted []string, passphrase string, cache int64) (*store.Vault, error) {
	dirs, err := s.places()
	if err != nil {
		return nil, err
	}
	if set := s.settings.Vault.Places; len(wanted) > 0 && len(set) > 0 && !slices.Equal(set, wanted) {
		return nil, control.Errorf(control.BadRequest, "%s puts the vault in %s, not in %s", s.home.Settings, list(set), list(wanted)).WithHint("change it there, or leave out --place")
	}
	if len(wanted) > 0 {
		dirs = wanted
	}
	o, err := s.options(dirs)
	if err != nil {
		return nil, offlineError(dirs, err)
	}
	if passphrase != "" {
		o.Secret = func(context.Context, []store.KeyInfo) (store.Secret, error) {
			return store.Secret{Text: passphrase}, nil
		}
	}
	v, err := s.openWith(ctx, o, cache)
	if err != nil {
		return nil, offlineError(dirs, err)
	}
	s.give(passphrase)
	if err := s.remember(ctx, v, dirs, true); err != nil {
		return nil, err
	}
	s.log.Info("adopted a vault", "places", list(dirs))
	return v, nil
}

// becomes makes an instance of the vault this daemon's, and returns its id; back tells that an active service has its own again, which another daemon had. d.admin is held.
func (d *Daemon) becomes(ctx context.Context, v *store.Vault, name string) (id string, back bool, err error) {
	in, err := oneInstance(ctx, v, name)
	if err != nil {
		return "", false, err
	}
	if d.serviceState() != control.StateNew && in.ID != d.instance.ID {
		return "", false, control.Errorf(control.Conflict, "%s is activated as itself, it cannot go on as another instance", d.instance.Name).
			WithHint("`yester cancel` would end that, and delete its own versions; a daemon with another home can go on as %s", in.Name)
	}
	if d.serviceState() == control.StateCancelling {
		return "", false, control.Errorf(control.Conflict, "%s is being cancelled: as its own again, all versions of %s would be deleted", d.instance.Name, in.Name).
			WithHint("nothing was changed; a daemon with another home can go on as %s", in.Name)
	}
	if d.serviceState() != control.StateNew {
		if back = d.keepOff(ctx, v) != nil; back { // or nobody can tell
			if err := d.beginGrace(); err != nil {
				return "", false, err
			}
		}
	}
	d.registering.Lock()
	defer d.registering.Unlock()
	o := d.owner(in.ID)
	if err := v.PutOwner(ctx, o); err != nil {
		return "", false, err
	}
	d.log.Info("this daemon goes on as an instance", "instance", in.ID, "name", in.Name)
	if in.ID == d.instance.ID {
		d.owned.take(o.Since)
		return in.ID, back, nil
	}
	return in.ID, false, d.db.PutInstance(in.ID)
}

// oneInstance finds the instance of a name, or of the beginning of an id.
func oneInstance(ctx context.Context, v *store.Vault, name string) (store.Instance, error) {
	all, err := v.Instances(ctx)
	if err != nil {
		return store.Instance{}, explain(err)
	}
	var found []store.Instance
	var ids []string
	for _, in := range all {
		if isCalled(&in, name) {
			found, ids = append(found, in), append(ids, short(in.ID))
		}
	}
	switch len(found) {
	case 0:
		return store.Instance{}, control.Errorf(control.NotFound, "the vault has nothing of an instance %q", name).WithHint("it has versions of: %s", list(distinctNames(all)))
	case 1:
		return found[0], nil
	}
	return store.Instance{}, control.Errorf(control.BadRequest, "%d instances of the vault are named %s", len(found), name).WithHint("give one of their ids: %s", list(ids))
}

// isCalled tells whether an instance is meant by a name: its own, its id, the beginning of that, or the folder in the mount.
func isCalled(in *store.Instance, name string) bool {
	return in.Name != "" && in.Name == name || in.ID == name || short(in.ID) == name || name == nameAndID(in)
}

// distinctNames are the names of instances, with the beginning of the id where there is no name or another has it too, as the mount shows them.
func distinctNames(all []store.Instance) []string {
	count := make(map[string]int)
	for _, in := range all {
		count[in.Name]++
	}
	names := make([]string, len(all))
	for i, in := range all {
		switch {
		case in.Name == "":
			names[i] = short(in.ID)
		case count[in.Name] > 1:
			names[i] = nameAndID(&in)
		default:
			names[i] = in.Name
		}
	}
	return names
}

func nameAndID(in *store.Instance) string { return in.Name + "~" + short(in.ID) }

// adoptable describes the instances of a vault.
func (d *Daemon) adoptable(ctx context.Context, v *store.Vault, ours string) (out []control.AdoptedInstance, err error) {
	all, err := v.Instances(ctx)
	out = []control.AdoptedInstance{}
	for _, in := range all {
		a := control.AdoptedInstance{ID: in.ID, Name: in.Name, Platform: in.Platform, FirstSeen: in.FirstSeen, Ours: in.ID == ours}
		if a.Name == "" {
			a.Name = short(in.ID)
		}
		for _, k := range v.Versions(in.ID) {
			if a.Versions++; !slices.Contains(a.Partitions, k.Partition) {
				a.Partitions = append(a.Partitions, k.Partition)
			}
			a.Newest = max(a.Newest, k.Version)
		}
		if o, err := v.Owner(ctx, in.ID); err == nil {
			a.Owner = &control.OwnerText{Machine: o.Name, Home: o.Home, Since: o.Since, Other: d.isOther(&o)}
		}
		out = append(out, a)
	}
	return out, err
}
