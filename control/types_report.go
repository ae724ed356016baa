package control

// A Report is what a check, a repair, a collection or a rebuild did and found. What does not concern its kind is zero.
type Report struct {
	Versions  int    `json:"versions,omitempty"`   // looked at
	Packs     int    `json:"packs,omitempty"`      // looked at, or entered in the index
	ReadPacks int    `json:"read_packs,omitempty"` // of which every byte was read
	ReadBytes uint64 `json:"read_bytes,omitempty"`

	HealedPacks   int `json:"healed_packs,omitempty"` // that are as they were written again
	HealedRecords int `json:"healed_records,omitempty"`
	HealedBlocks  int `json:"healed_blocks,omitempty"`  // computed from parity for that
	SalvagedPacks int `json:"salvaged_packs,omitempty"` // damaged beyond that; what can be read of them was moved
	FoundChunks   int `json:"found_chunks,omitempty"`   // that seemed lost and were in another pack

	DroppedPacks  int    `json:"dropped_packs,omitempty"`
	RepackedPacks int    `json:"repacked_packs,omitempty"`
	WrittenPacks  int    `json:"written_packs,omitempty"` // made of those
	KeptPacks     int    `json:"kept_packs,omitempty"`    // that stay for now: damaged, or a backup began to use them
	Freed         int64  `json:"freed_bytes,omitempty"`
	Live          uint64 `json:"live_bytes,omitempty"` // that versions need
	Dead          uint64 `json:"dead_bytes,omitempty"` // that stay and no version needs

	Places []string `json:"places,omitempty"` // of the vault, after one was added or replaced

	Problems     []Problem `json:"problems,omitempty"`
	ProblemCount uint64    `json:"problem_count,omitempty"` // Problems may list fewer

	LostChunks int    `json:"lost_chunks,omitempty"`
	Lost       []Lost `json:"lost,omitempty"`       // what files these are part of
	LostCount  uint64 `json:"lost_count,omitempty"` // Lost may list fewer
}

// Clean tells whether nothing was found that is not as it should be.
func (r *Report) Clean() bool { return r == nil || r.ProblemCount == 0 && r.LostCount == 0 }

// Damaged tells whether any of that is damage. Like Damage it needs the list of problems, in which those of places come first.
func (r *Report) Damaged() bool { return r.Damage() > 0 || r != nil && r.LostCount > 0 }

// Damage is how many of the problems are not just of a place.
func (r *Report) Damage() (n uint64) {
	if r == nil {
		return 0
	}
	n = r.ProblemCount
	for i := range r.Problems {
		if r.Problems[i].OfPlace() {
			n--
		}
	}
	return n
}

// A Problem is one thing in the vault that is not as it should be.
type Problem struct {
	Instance  string `json:"instance,omitempty"` // name; of the version that it concerns
	Partition string `json:"partition,omitempty"`
	Version   string `json:"version,omitempty"`
	Place     string `json:"place,omitempty"`
	Pack      string `json:"pack,omitempty"`
	Offset    *int64 `json:"offset,omitempty"` // in the pack's data region; nil: not known, or the whole file
	Heals     bool   `json:"heals"`            // nothing is lost: a repair makes it good
	What      string `json:"what"`
}

// OfPlace tells whether it is a place as a whole that is not well, such as one that is full or missing: nothing in it is known to be damaged.
func (p *Problem) OfPlace() bool { return p.Place != "" && p.Pack == "" && p.Version == "" }

// Lost is a file or folder of a version that cannot be read as it was.
type Lost struct {
	Instance  string `json:"instance"` // name
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Path      string `json:"path"`            // below the version's root; quoted if it is not UTF-8
	Bytes     uint64 `json:"bytes,omitempty"` // of the file; 0: attributes of a file, or names in a folder with all below them
}

// A CheckRequest asks for a check.
type CheckRequest struct {
	ReadData float64 `json:"read_data,omitempty"` // part of the packs, 0 to 1, of which every byte is read
}

// A ForgetRequest asks for a version to be deleted.
type ForgetRequest struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
}

// A PinRequest names a version that is not to expire, or may again.
type PinRequest struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
}

// Forgotten answers a ForgetRequest.
type Forgotten struct {
	Partition string `json:"partition"`
	Version   string `json:"version"`
	Task      *Task  `json:"task,omitempty"`    // gives the space back; nil: that comes later
	Because   string `json:"because,omitempty"` // why it does
}
