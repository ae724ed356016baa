package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Retention says which versions of a partition stay.
type Retention struct {
	Days   int  // after so many days from its completion a version expires
	Latest bool // but not the newest

	// Nor the newest of each of the last so many days, weeks (from Monday), months and years that have any version.
	Daily, Weekly, Monthly, Yearly int
}

// A Completed version is what retention looks at.
type Completed struct {
	Name       string
	MountPoint string // of the partition then: one name may have been that of several
	Start, End time.Time
	Pinned     bool
}

// A Fate is what retention has in store for a version.
type Fate struct {
	Expires time.Time // it goes then, or at the next sweep after, unless it is kept
	Kept    string    // why it is kept past that, as things are: "pinned", "latest", "daily", "weekly", "monthly" or "yearly"; "" if it is not
}

// Gone tells whether the version is to be deleted.
func (f Fate) Gone(now time.Time) bool { return f.Kept == "" && !now.Before(f.Expires) }

// Fates says what becomes of the completed versions of one partition, in the order they are given. Those of each mount point are looked at for themselves: they are of
// different disks, and a newer one of another is no reason for any to go. Days, weeks, months and years are those of
// their starts in a zone. A version that is kept by nothing, and whose end is unknown (zero), is said to be kept as "unknown": nobody can
// tell when it expires.
func (r Retention) Fates(vs []Completed, zone *time.Location) []Fate {
	fates := make([]Fate, len(vs))
	newestFirst := make([]int, len(vs))
	for i := range vs {
		newestFirst[i] = i
	}
	slices.SortFunc(newestFirst, func(a, b int) int { return strings.Compare(vs[b].Name, vs[a].Name) })
	keep := func(i int, why string) {
		if fates[i].Kept == "" {
			fates[i].Kept = why
		}
	}
	for i, v := range vs {
		fates[i].Expires = v.End.Add(time.Duration(r.Days) * 24 * time.Hour)
		if v.Pinned {
			keep(i, "pinned")
		}
		if v.End.IsZero() {
			fates[i].Expires = time.Time{}
			keep(i, "unknown")
		}
	}
	known := map[string][]int{} // by mount points, newest first
	for _, i := range newestFirst {
		if v := &vs[i]; !v.End.IsZero() {
			known[v.MountPoint] = append(known[v.MountPoint], i)
		}
	}
	for _, of := range known {
		if r.Latest {
			keep(of[0], "latest")
		}
		r.eachPeriod(of, func(i int) time.Time { return vs[i].Start.In(zone) }, keep)
	}
	return fates
}

// eachPeriod keeps the newest version of each period that counts. The versions are given newest first.
func (r Retention) eachPeriod(known []int, start func(i int) time.Time, keep func(i int, why string)) {
	for _, rule := range []struct {
		n      int
		why    string
		period func(time.Time) string
	}{
		{r.Daily, "daily", func(t time.Time) string { return t.Format(time.DateOnly) }},
		{r.Weekly, "weekly", func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, " ", w) }},
		{r.Monthly, "monthly", func(t time.Time) string { return t.Format("2006-01") }},
		{r.Yearly, "yearly", func(t time.Time) string { return t.Format("2006") }},
	} {
		last, left := "", rule.n
		for _, i := range known {
			p := rule.period(start(i))
			if p == last {
				continue
			}
			if left--; left < 0 {
				break
			}
			last = p
			keep(i, rule.why)
		}
	}
}
