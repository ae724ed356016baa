package integration

import (
	"bytes"
	"fmt"
	"html"
	"slices"
)

// The chart's measures, in pixels.
const (
	chartWidth = 760
	chartLeft  = 190 // where bars begin
	chartBars  = 440 // the longest bar of a phase
	chartLine  = 20
	chartGap   = 18 // between phases
)

// chart draws the medians of all timed phases as an SVG: in each the longest bar is the slowest program.
func (r *contestResult) chart() []byte {
	var body bytes.Buffer
	y := 34
	for _, p := range r.Phases {
		if p.Results[0].Runs[0].Seconds == 0 {
			continue
		}
		text(&body, 10, y, "bold", p.Name)
		y += chartLine
		longest := 0.0
		for _, one := range p.Results {
			longest = max(longest, median(one.of(seconds)))
		}
		for _, one := range p.inOrder() {
			s := median(one.of(seconds))
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", chartLeft, y-12, max(1, chartBars*s/longest), 14, colour(one.Name))
			text(&body, 20, y, "normal", one.Name)
			text(&body, chartLeft+int(chartBars*s/longest)+8, y, "normal", figure(s)+" s")
			y += chartLine
		}
		y += chartGap
	}
	var all bytes.Buffer
	fmt.Fprintf(&all, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", chartWidth, y)
	all.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	text(&all, 10, 18, "normal", fmt.Sprintf("Seconds, median of %d runs, on %d cores; data scale %g", r.Rounds, r.Cores, r.Scale))
	all.Write(body.Bytes())
	all.WriteString("</svg>\n")
	return all.Bytes()
}

// inOrder is yester first, then its peers, then the limits.
func (p *phase) inOrder() []*runner {
	rank := func(r *runner) int {
		switch {
		case r.Name == ours:
			return 0
		case slices.Contains(peers, r.Name):
			return 1
		}
		return 2
	}
	all := slices.Clone(p.Results)
	slices.SortStableFunc(all, func(a, b *runner) int { return rank(a) - rank(b) })
	return all
}

func colour(program string) string {
	switch {
	case program == ours:
		return "#2a7f62"
	case slices.Contains(peers, program):
		return "#8a8f98"
	}
	return "#cfd3d8"
}

func text(b *bytes.Buffer, x, y int, weight, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="%s" fill="#222222">%s</text>`+"\n", x, y, weight, html.EscapeString(s))
}
