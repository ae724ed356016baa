package capture

import (
	"context"

	"yester/snapshot"
	"yester/store"
)

// A folder builds one directory's tree. As long as its entries are those of the parent version from the first on, nothing is built, for equal entries make equal pages:
// if that holds to the end, the parent's tree is the tree.
type folder struct {
	get     snapshot.Getter
	builder *snapshot.Builder
	parent  *snapshot.Entry // the directory in the parent version, nil if there is none
	equal   uint64          // entries equal to the parent's so far
	differs bool
	tmp     snapshot.Entry
}

func (f *folder) begin(parent *snapshot.Entry) {
	f.parent, f.equal, f.differs = parent, 0, parent == nil
}

// add appends e; old is the entry of that name in the parent version, nil if there is none.
func (f *folder) add(ctx context.Context, e, old *snapshot.Entry) error {
	if !f.differs && old != nil && identical(e, old) {
		f.equal++
		return nil
	}
	if err := f.diverge(ctx); err != nil {
		return err
	}
	return f.builder.Add(ctx, e)
}

// diverge begins to build: with the entries that were equal so far.
func (f *folder) diverge(ctx context.Context) error {
	if f.differs {
		return nil
	}
	f.differs = true
	r := snapshot.NewReader(f.get, f.parent.Tree)
	for ; f.equal > 0 && r.Next(ctx, &f.tmp); f.equal-- {
		if err := f.builder.Add(ctx, &f.tmp); err != nil {
			return err
		}
	}
	return r.Err()
}

// end returns the tree and its totals.
func (f *folder) end(ctx context.Context) (store.ID, snapshot.Totals, error) {
	if !f.differs {
		return f.parent.Tree, f.parent.Totals, nil
	}
	return f.builder.Finish(ctx)
}
