package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// A contest is what several programs did in phases, each phase several times.
type contest struct {
	b      *testing.B
	scale  float64 // of the data
	rounds int
	result contestResult
}

// A contestResult is what is written as JSON.
type contestResult struct {
	Machine string   `json:"machine"`
	Cores   int      `json:"cores"`
	Scale   float64  `json:"scale"`
	Rounds  int      `json:"rounds"`
	Phases  []*phase `json:"phases"`
}

// A phase is what is compared, with the runs of each program in it.
type phase struct {
	Name    string    `json:"phase"`
	Results []*runner `json:"results"`
}

// A runner is one program in a phase.
type runner struct {
	Name string    `json:"program"`
	Runs []measure `json:"runs"`
}

const ours = "yester"

// newContest takes scale and rounds from the environment.
func newContest(b *testing.B) *contest {
	for _, p := range []string{"restic", "borg", "lz4"} {
		if _, err := exec.LookPath(p); err != nil {
			b.Skipf("needs the program %s (make bench installs it)", p)
		}
	}
	c := &contest{b: b, scale: 1, rounds: 3}
	if s := os.Getenv("YESTER_BENCH_SCALE"); s != "" {
		var err error
		c.scale, err = strconv.ParseFloat(s, 64)
		must(b, err)
	}
	if s := os.Getenv("YESTER_BENCH_ROUNDS"); s != "" {
		var err error
		c.rounds, err = strconv.Atoi(s)
		must(b, err)
	}
	c.result = contestResult{Machine: machine(), Cores: runtime.NumCPU(), Scale: c.scale, Rounds: c.rounds}
	return c
}

// machine names the processor.
func machine() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t:\n")
		}
	}
	return runtime.GOARCH
}

// add adds a run.
func (c *contest) add(name, program string, m measure) {
	fmt.Fprintf(os.Stderr, "%s: %s: %.2f s, %.2f s of processor time, %d MB at its peak, %d bytes\n", name, program, m.Seconds, m.CPU, m.RSS/1e6, m.Bytes)
	r := c.result.phase(name).runner(program)
	r.Runs = append(r.Runs, m)
}

func (r *contestResult) phase(name string) *phase {
	i := slices.IndexFunc(r.Phases, func(p *phase) bool { return p.Name == name })
	if i < 0 {
		r.Phases = append(r.Phases, &phase{Name: name})
		i = len(r.Phases) - 1
	}
	return r.Phases[i]
}

func (p *phase) runner(name string) *runner {
	i := slices.IndexFunc(p.Results, func(r *runner) bool { return r.Name == name })
	if i < 0 {
		p.Results = append(p.Results, &runner{Name: name})
		i = len(p.Results) - 1
	}
	return p.Results[i]
}

// of returns one figure of all runs.
func (r *runner) of(figure func(measure) float64) []float64 {
	all := make([]float64, len(r.Runs))
	for i, m := range r.Runs {
		all[i] = figure(m)
	}
	return all
}

func seconds(m measure) float64    { return m.Seconds }
func cpuSeconds(m measure) float64 { return m.CPU }
func megabytes(m measure) float64  { return float64(m.RSS+m.Bytes) / 1e6 }

// finish prints the table, writes what is asked for, and compares with an earlier result.
func (c *contest) finish() {
	c.print()
	if path := os.Getenv("YESTER_BENCH_JSON"); path != "" {
		b, err := json.MarshalIndent(c.result, "", "\t")
		must(c.b, err)
		must(c.b, os.WriteFile(path, append(b, '\n'), 0o644))
	}
	if path := os.Getenv("YESTER_BENCH_SVG"); path != "" {
		must(c.b, os.WriteFile(path, c.result.chart(), 0o644))
	}
	if path := os.Getenv("YESTER_BENCH_AGAINST"); path != "" {
		c.compare(path)
	}
}

// worse is by how much a ratio may grow before that is a failure.
const worse = 1.25

// compare fails if yester takes more of what the others take than it did in an earlier result: processor time, for time by the clock is another on each
// machine and at each hour, and bytes.
func (c *contest) compare(path string) {
	b, err := os.ReadFile(path)
	must(c.b, err)
	var before contestResult
	must(c.b, json.Unmarshal(b, &before))
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PHASE\tYESTER TO THE BEST OF THE OTHERS\tBEFORE\t")
	for _, p := range before.Phases {
		was, is := p.ratio(), c.result.phase(p.Name).ratio()
		if was == 0 {
			continue
		}
		verdict := ""
		if is == 0 || is > was*worse {
			verdict = "WORSE"
			c.b.Errorf("%s: yester takes %.3f of what the best of the others takes; it was %.3f", p.Name, is, was)
		}
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%s\n", p.Name, is, was, verdict)
	}
	_ = t.Flush()
}

// peers are the other backup programs; what else is measured is a limit.
var peers = []string{"restic", "borg"}

// ratio is what yester takes at least to what the best of its peers does, 0 if there is none in the phase.
func (p *phase) ratio() float64 {
	lowest := func(r *runner) float64 {
		return slices.Min(r.of(func(m measure) float64 { return m.CPU + float64(m.Bytes) }))
	}
	best := 0.0
	for _, r := range p.Results {
		if slices.Contains(peers, r.Name) && (best == 0 || lowest(r) < best) {
			best = lowest(r)
		}
	}
	if own := p.runner(ours); best > 0 && len(own.Runs) > 0 {
		return lowest(own) / best
	}
	return 0
}

func (c *contest) print() {
	fmt.Println()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PHASE\tPROGRAM\tMEDIAN (LOWEST–HIGHEST)\tTIMES YESTER\tPROCESSOR TIME\tPEAK MEMORY")
	for _, p := range c.result.Phases {
		for i, r := range p.Results {
			name := p.Name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(t, "%s\t%s\t%s\n", name, r.Name, p.line(r))
		}
	}
	_ = t.Flush()
	fmt.Println()
}

// line is what is printed of one program.
func (p *phase) line(r *runner) string {
	figure, unit := seconds, "s"
	if r.Runs[0].Seconds == 0 {
		figure, unit = megabytes, "MB"
	}
	own := median(p.runner(ours).of(figure))
	line := fmt.Sprintf("%s\t%.2f", spread(r.of(figure), unit), median(r.of(figure))/own)
	if unit == "MB" {
		return line
	}
	return fmt.Sprintf("%s\t%s\t%.0f MB", line, spread(r.of(cpuSeconds), "s"), median(r.of(megabytes)))
}
