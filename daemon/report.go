package daemon

import (
	"context"
	"errors"

	"yester/control"
	"yester/snapshot"
	"yester/store"
	"yester/store/pack"
)

type packID = pack.ID

// maxReportBytes is how many bytes of problems, and of lost paths, a task keeps.
const maxReportBytes = 256 << 10

// report adds to the task what was done and found, which it logs, with the files that lost chunks are part of. It returns err.
func (m *maintenance) report(ctx context.Context, j *job, r *control.Report, problems []store.Problem, lost store.IDs, err error) error {
	names, instancesErr := m.instances(ctx)
	if instancesErr != nil && ctx.Err() == nil {
		m.d.log.Warn("list the instances of the vault", "err", instancesErr)
	}
	w := reporter{m: m, task: j.look(m.d.o.Now()).ID, to: r, names: names}
	search := len(lost) > 0
	for _, p := range problems {
		w.problem(p)
		search = search || p.Version != (store.VersionKey{}) && !p.Heals
	}
	r.LostChunks = len(lost)
	if search && ctx.Err() == nil {
		err = errors.Join(err, w.search(ctx, lost))
	}
	j.update(func(t *control.Task) { t.Report = r })
	return err
}

// instances are the names of the vault's instances by their ids.
func (m *maintenance) instances(ctx context.Context) (map[string]string, error) {
	all, err := m.vault.Instances(ctx)
	names := map[string]string{}
	for _, in := range all {
		if names[in.ID] = in.Name; in.Name == "" {
			names[in.ID] = short(in.ID)
		}
	}
	return names, err
}

// A reporter fills a report.
type reporter struct {
	m     *maintenance
	task  string
	to    *control.Report
	names map[string]string // of instances by their ids
	size  int               // bytes of problems listed
	lost  int               // bytes of lost paths listed
}

// problem adds a problem and logs it.
func (w *reporter) problem(p store.Problem) {
	out := control.Problem{Place: p.Place, Heals: p.Heals, What: sentence(p.Err)}
	attrs := []any{"task", w.task, "place", p.Place}
	if k := p.Version; k != (store.VersionKey{}) {
		out.Instance, out.Partition, out.Version = w.names[k.Instance], k.Partition, k.Version
		attrs = append(attrs, "instance", k.Instance, "partition", k.Partition, "version", k.Version)
	}
	if p.Pack != (pack.ID{}) {
		out.Pack = p.Pack.String()
	}
	if e, ok := errors.AsType[*store.CorruptError](p.Err); ok {
		if e.Offset >= 0 {
			out.Offset = &e.Offset
		}
		if out.Pack == "" && e.Pack != (pack.ID{}) {
			out.Pack = e.Pack.String()
		}
	}
	if out.Pack != "" {
		attrs = append(attrs, "pack", out.Pack)
	}
	if out.Offset != nil {
		attrs = append(attrs, "offset", *out.Offset)
	}
	what := "the vault is damaged"
	if out.OfPlace() {
		what = "a place fails"
	}
	w.m.d.log.Error(what, append(attrs, "heals", p.Heals, "err", p.Err)...)
	w.to.ProblemCount++
	if w.size += len(out.What); w.size <= maxReportBytes {
		w.to.Problems = append(w.to.Problems, out)
	}
}

// search finds the paths that lost chunks are part of, in all versions.
func (w *reporter) search(ctx context.Context, lost store.IDs) error {
	s := snapshot.NewSearch(w.m.vault, lost.Has)
	for id := range w.names {
		for _, k := range w.m.vault.Versions(id) {
			if err := w.version(ctx, s, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// version adds the paths of one version, pieces of one file together.
func (w *reporter) version(ctx context.Context, s *snapshot.Search, k store.VersionKey) error {
	v, err := record(ctx, w.m.vault, k)
	if err != nil {
		return ctx.Err() // that it cannot be read is a problem that was told
	}
	var last control.Lost
	flush := func() {
		if last.Path != "" {
			w.path(last)
		}
	}
	err = s.Affected(ctx, v, func(path string, _, n uint64) {
		if path = control.PathText(path); path != last.Path {
			flush()
			last = control.Lost{Instance: w.names[k.Instance], Partition: k.Partition, Version: k.Version, Path: path}
		}
		last.Bytes += n
	})
	flush()
	return err
}

// path adds a lost path.
func (w *reporter) path(l control.Lost) {
	w.to.LostCount++
	if w.lost += len(l.Path) + len(l.Partition) + len(l.Version); w.lost <= maxReportBytes {
		w.to.Lost = append(w.to.Lost, l)
	}
}
