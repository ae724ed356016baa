package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yester/control"
)

// ask gets a path from a daemon's socket.
func ask(t *testing.T, socket, path string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	return answer(t, &http.Client{Transport: transport}, "http://yester"+path)
}

func answer(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// scraped reads what /metrics answers: values by name and labels.
func scraped(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		i := strings.LastIndexByte(s.Text(), ' ')
		v, err := strconv.ParseFloat(s.Text()[i+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		all[s.Text()[:i]] = v
	}
	return all
}

func metricsOf(t *testing.T, o Options) map[string]float64 {
	t.Helper()
	status, text := ask(t, o.Home.Socket, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	return scraped(t, text)
}

func TestMetricsTellWhatHappenedAndHowThingsAre(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	c, _ := serve(t, o)
	if m := metricsOf(t, o); m[`yester_service_state{state="new"}`] != 1 || m["yester_vault_open"] != 0 || m[`yester_tasks_total{kind="backup",state="failed"}`] != 0 {
		t.Errorf("new: %v", m)
	}
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	task := backUp(t, c)
	r := task.Results[0]
	for range 2 {
		if _, err := c.History(t.Context(), control.HistoryRequest{Path: filepath.Join(dir, "a")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	m := metricsOf(t, o)
	partition := `{partition="` + r.Partition + `"}`
	for name, want := range map[string]float64{
		`yester_tasks_total{kind="backup",state="completed"}`: 1, `yester_tasks_total{kind="backup",state="failed"}`: 1,
		`yester_task_duration_seconds_count{kind="backup"}`: 2, `yester_tasks_running{kind="backup"}`: 0,
		`yester_backup_bytes_total{what="read"}`: float64(r.ReadBytes), `yester_backup_bytes_total{what="new"}`: float64(r.NewBytes),
		`yester_backup_bytes_total{what="stored"}`: float64(r.Stored),
		`yester_service_state{state="ready"}`:      1, `yester_service_state{state="new"}`: 0, "yester_vault_open": 1, "yester_mount_up": 0,
		"yester_versions" + partition: 1, `yester_messages_open{kind="backup"}`: 1, `yester_place_up{place="` + o.Home.Vault + `"}`: 1,
		`yester_damage_found_total{by="reading"}`: 0, "yester_healed_blocks_total": 0,
	} {
		if got, there := m[name]; !there || got != want {
			t.Errorf("%s is %v, %v; want %v", name, got, there, want)
		}
	}
	for _, name := range []string{
		"yester_last_version_timestamp_seconds" + partition, "yester_last_version_age_seconds" + partition, "yester_next_backup_timestamp_seconds", "yester_vault_stored_bytes",
		"yester_cache_hits_total", "yester_cache_misses_total", "yester_cache_bytes", `yester_place_free_bytes{place="` + o.Home.Vault + `"}`, "process_resident_memory_bytes",
	} {
		if m[name] <= 0 {
			t.Errorf("%s is %v", name, m[name])
		}
	}
}

func TestDamageIsCounted(t *testing.T) {
	s := newStill(t)
	report := &control.Report{ProblemCount: 3, HealedPacks: 2, HealedRecords: 1}
	s.taskEnded(&control.Task{Kind: control.KindCheck, State: control.Partial, Report: &control.Report{ProblemCount: 4, Problems: []control.Problem{{Place: "/b"}}}})
	s.taskEnded(&control.Task{Kind: control.KindRepair, State: control.Partial, Report: report})
	all, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		for _, x := range f.GetMetric() {
			if l := x.GetLabel(); len(l) == 1 && l[0].GetName() == "by" {
				got[f.GetName()+" "+l[0].GetValue()] = x.GetCounter().GetValue()
			}
		}
	}
	if got["yester_damage_found_total check"] != 3 || got["yester_damage_found_total repair"] != 3 || got["yester_damage_healed_total repair"] != 3 || got["yester_damage_healed_total check"] != 0 {
		t.Errorf("got %v", got)
	}
}

func TestVaultIsToldOfThoughAFolderOfItCannotBeListed(t *testing.T) {
	s := newStill(t)
	instances := filepath.Join(s.o.Home.Vault, "instances")
	if err := errors.Join(os.MkdirAll(instances, 0o700), os.Rename(instances, instances+".away"), os.WriteFile(instances, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	all, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, f := range all {
		told[f.GetName()] = true
	}
	if !told["yester_place_up"] || !told["yester_place_free_bytes"] || !told["yester_place_size_bytes"] || !told["yester_vault_packs"] {
		t.Errorf("told %v", told)
	}
	if err := errors.Join(os.Remove(instances), os.Rename(instances+".away", instances)); err != nil {
		t.Error(err)
	}
}

func TestHealthIsOKUntilSomethingNeedsAttention(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	c, _ := serve(t, o)
	check := func(when string, status int, needs ...string) {
		t.Helper()
		got, body := ask(t, o.Home.Socket, "/health")
		var h health
		if err := json.Unmarshal([]byte(body), &h); err != nil || got != status || !slices.Equal(h.Needs, needs) || (h.Status == "ok") != (status == http.StatusOK) {
			t.Errorf("%s: %d %s, %v", when, got, body, err)
		}
	}
	check("new", http.StatusOK)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	check("after a backup", http.StatusOK)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	check("after one that failed", http.StatusServiceUnavailable, control.MessageBackup)
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	check("after one that did not", http.StatusOK)
}

func TestMetricsAddressServesNothingElse(t *testing.T) {
	o := options(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Settings.Metrics = busy.Addr().String()
	_, stop := serve(t, o) // it goes on, though the address is taken
	stop()
	busy.Close()
	serve(t, o)
	var status int
	for c := http.DefaultClient; ; time.Sleep(time.Millisecond) { // it listens beside the socket, maybe a bit later
		resp, err := c.Get("http://" + o.Settings.Metrics + "/metrics")
		if err == nil {
			resp.Body.Close()
			status = resp.StatusCode
			break
		}
	}
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	defer http.DefaultClient.CloseIdleConnections()
	for path, want := range map[string]int{"/health": 200, "/v1/status": 404, "/": 404, "/debug/pprof/": 404} {
		if got, body := answer(t, http.DefaultClient, "http://"+o.Settings.Metrics+path); got != want {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
}

func TestMetricsAddressHasNoMoreThanSomeConnections(t *testing.T) {
	d := newStill(t).Daemon
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.serveMonitor(ctx, l); close(done) }()
	defer func() { cancel(); <-done }()
	// asks connects and says whether that is answered; the connection stays.
	asks := func() (c net.Conn, answered bool) {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: yester\r\n\r\n") // it may be closed already
		line, err := bufio.NewReader(c).ReadString('\n')
		return c, err == nil && strings.HasPrefix(line, "HTTP/1.1 ")
	}
	var last net.Conn
	for range maxWatchers {
		c, ok := asks()
		if !ok {
			t.Fatal("one that is let in gets no answer")
		}
		last = c
	}
	for range 3 {
		if _, ok := asks(); ok {
			t.Error("there are more")
		}
	}
	last.Close()
	for { // once that is heard of
		if _, ok := asks(); ok {
			break
		}
	}
}

func TestAddressesOfMetricsThatAreNone(t *testing.T) {
	for _, bad := range []string{"9469", "host", "host:", "host:x", ":70000", "a:b:c"} {
		if CheckMetrics(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, good := range []string{"", ":9469", "127.0.0.1:9469", "[::1]:9469"} {
		if err := CheckMetrics(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// What the alert rules, the dashboard and the list of metrics name is what a daemon tells, and the list has all of it.
func TestMetricsOfTheDocsAreThoseThereAre(t *testing.T) {
	dir := source(t)
	needPartition(t, dir)
	o := options(t)
	c, _ := serve(t, o)
	if _, err := c.Activate(t.Context(), control.ActivateRequest{Paths: []string{dir}, Priority: "max"}); err != nil {
		t.Fatal(err)
	}
	hook := control.Channel{Name: "hook", Webhook: &control.Webhook{URL: "http://127.0.0.1:9/"}}
	if _, err := c.AlertsAdd(t.Context(), control.ChannelAddRequest{Channel: hook}); err != nil {
		t.Fatal(err)
	}
	backUp(t, c)
	name := regexp.MustCompile(`\byester_[a-z_]+`)
	_, text := ask(t, o.Home.Socket, "/metrics")
	for !strings.Contains(text, "yester_version_due_timestamp_seconds{") { // once the daemon has looked what is to be backed up
		_, text = ask(t, o.Home.Socket, "/metrics")
	}
	mustNot[control.Lifecycle](t)(c.Pause(t.Context()))
	_, paused := ask(t, o.Home.Socket, "/metrics")
	there := map[string]bool{} // with the suffixes that a histogram has
	for series := range scraped(t, text+paused) {
		if n := name.FindString(series); n != "" && strings.HasPrefix(series, n) {
			there[n] = true
		}
	}
	listed := map[string]bool{}
	for _, file := range []string{"prometheus-rules.yml", "grafana-dashboard.json", "METRICS.md"} {
		b, err := os.ReadFile("../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllString(string(b), -1)
		if len(names) < 5 {
			t.Errorf("%s names %q only", file, names)
		}
		for _, n := range names {
			if !there[n] && !there[n+"_count"] {
				t.Errorf("%s names %s, which is not told", file, n)
			}
			listed[n] = listed[n] || file == "METRICS.md"
		}
	}
	for n := range there {
		whole := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(n, "_bucket"), "_sum"), "_count")
		if !listed[n] && !listed[whole] {
			t.Errorf("METRICS.md does not have %s", n)
		}
	}
	kinds, err := os.ReadFile("../docs/ALERTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range control.MessageKinds {
		if !strings.Contains(string(kinds), "\n| `"+kind+"` |") {
			t.Errorf("ALERTS.md does not say what %s tells", kind)
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	b, err := os.ReadFile("../docs/grafana-dashboard.json")
	if err == nil {
		err = json.Unmarshal(b, &dashboard)
	}
	if err != nil || len(dashboard.Panels) < 5 {
		t.Fatalf("%d panels, %v", len(dashboard.Panels), err)
	}
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			if !name.MatchString(q.Expr) && !strings.Contains(q.Expr, "process_") {
				t.Errorf("the panel %q asks for %q", p.Title, q.Expr)
			}
		}
	}
}
