package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A bench measures things beside each other and prints what came of it as one table. What is compared is measured in turn, in one run on one
// machine; an absolute time says little on a shared one, and a ratio says more.
type bench struct {
	b     *testing.B
	quick bool // once, of small things: only to see whether it works
	rows  []benchRow
}

// A benchRow is a line of the table.
type benchRow struct {
	what  string
	ours  []float64
	limit []float64 // of what it is held against; nil if it must reach a figure
	unit  string    // of ours and limit: "s", "GB/s", "/s", "MB"
	must  bound
}

// A bound is what ours, or the ratio of ours to the limit, must be.
type bound struct {
	none  bool // there is none, the figures are only shown
	ratio bool
	least bool // or most
	at    float64
	of    string // names the limit
}

func beside(of string) bound                  { return bound{none: true, of: of} }
func atLeast(x float64) bound                 { return bound{least: true, at: x} }
func atMost(x float64) bound                  { return bound{at: x} }
func timesAtMost(x float64, of string) bound  { return bound{ratio: true, at: x, of: of} }
func timesAtLeast(x float64, of string) bound { return bound{ratio: true, least: true, at: x, of: of} }

// repeat measures n times.
func (m *bench) repeat(n int, what, unit string, must bound, ours func() float64) {
	r := benchRow{what: what, unit: unit, must: must}
	for range m.times(n) {
		r.ours = append(r.ours, ours())
	}
	m.add(r)
}

// against measures ours and a limit in turn, n times, each being first as often as the other.
func (m *bench) against(n int, what, unit string, must bound, ours, limit func() float64) {
	r := benchRow{what: what, unit: unit, must: must}
	for i := range m.times(n) {
		if i%2 == 0 {
			r.ours = append(r.ours, ours())
			r.limit = append(r.limit, limit())
		} else {
			r.limit = append(r.limit, limit())
			r.ours = append(r.ours, ours())
		}
	}
	m.add(r)
}

func (m *bench) times(n int) int {
	if m.quick {
		return 1
	}
	return n
}

func (m *bench) add(r benchRow) {
	m.rows = append(m.rows, r)
	fmt.Fprintf(os.Stderr, "%s: %s\n", r.what, strings.Join(strings.Fields(r.text()), " "))
}

// reached is the figure that the bound is about.
func (r *benchRow) reached() float64 {
	if r.must.ratio {
		return median(r.ours) / median(r.limit)
	}
	return median(r.ours)
}

func (r *benchRow) ok() bool {
	if r.must.least {
		return r.reached() >= r.must.at
	}
	return r.reached() <= r.must.at
}

// text is the line behind its name.
func (r *benchRow) text() string {
	limit, ratio := "", ""
	if r.limit != nil {
		limit, ratio = r.must.of+" "+spread(r.limit, r.unit), fmt.Sprintf("%.2f ×", median(r.ours)/median(r.limit))
	}
	if r.must.none {
		return fmt.Sprintf("%s\t%s\t%s\t\t", spread(r.ours, r.unit), limit, ratio)
	}
	sign, unit, verdict := "≤", " "+r.unit, "yes"
	if r.must.least {
		sign = "≥"
	}
	if r.must.ratio {
		unit = " ×"
	}
	if !r.ok() {
		verdict = "NO"
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s %s%s\t%s", spread(r.ours, r.unit), limit, ratio, sign, figure(r.must.at), unit, verdict)
}

// spread is the median of figures, and the lowest and the highest.
func spread(x []float64, unit string) string {
	if len(x) == 1 {
		return figure(x[0]) + " " + unit
	}
	return fmt.Sprintf("%s %s (%s–%s)", figure(median(x)), unit, figure(slices.Min(x)), figure(slices.Max(x)))
}

func figure(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// print prints the table.
func (m *bench) print() {
	fmt.Println()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tYESTER\tBESIDE IT\tRATIO\tMUST\tREACHED")
	for i := range m.rows {
		fmt.Fprintf(t, "%s\t%s\n", m.rows[i].what, m.rows[i].text())
	}
	_ = t.Flush()
	fmt.Println()
}

// timed is how many seconds f takes.
func timed(f func()) float64 {
	begin := time.Now()
	f()
	return time.Since(begin).Seconds()
}
