package main

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yester/control"
)

// usageDays is how many days are shown unasked.
const usageDays = 31

func (p *program) usageCommand() *cli.Command {
	return &cli.Command{
		Name: "usage", Usage: "show what was metered, day by day and in total",
		Description: "A day of service counts with the capacity of all block devices, whatever is backed up, less the free quota and what was paid for in\n" +
			"advance. A day that was paused throughout does not count. The last 31 days are shown unless other days are asked for.\n\n" +
			"Examples:\n  yester usage\n  yester usage --from 2026-11-01 --to 2026-11-30 --csv\n  yester usage --all --json | jq .total",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "from `DAY` on, like 2026-11-01"}, &cli.StringFlag{Name: "to", Usage: "up to `DAY`"},
			&cli.BoolFlag{Name: "all", Usage: "all days there are"},
			&cli.BoolFlag{Name: "csv", Usage: "print CSV"}, p.jsonFlag(),
		},
		Before: noArgs,
		Action: p.runUsage,
	}
}

func (p *program) runUsage(c *cli.Context) error {
	r := control.UsageRequest{From: c.String("from"), To: c.String("to")}
	some := r.From+r.To != ""
	switch {
	case c.Bool("csv") && p.json:
		return usage("--csv and --json exclude each other")
	case c.Bool("all") && some:
		return usage("--all and --from or --to exclude each other")
	case !c.Bool("all") && !some:
		r.From = time.Now().AddDate(0, 0, 1-usageDays).Format(time.DateOnly)
	}
	return p.ask(func(d *control.Client) error {
		u, err := d.Usage(c.Context, r)
		switch {
		case err != nil:
			return err
		case p.json:
			return p.printJSON(u)
		case c.Bool("csv"):
			return p.csvUsage(&u)
		case len(u.Days) == 0:
			p.printf("Nothing was metered in these days.\n")
		default:
			p.showUsage(&u)
		}
		return nil
	})
}

// gib writes bytes in GiB for people, with two decimals where there are any.
func gib(n uint64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.2f", float64(n)/(1<<30)), ".00")
}

func money(c control.Cost) string { return strings.TrimSpace(c.Cost.String() + " " + c.Currency) }

func (p *program) showUsage(u *control.Usage) {
	t := p.table()
	priced := len(u.Total.Costs) > 0
	row := func(cells ...string) {
		if !priced {
			cells = cells[:5]
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row("DAY", "CAPACITY GiB", "FREE", "PLAN", "COUNTED", "COST")
	guessed := false
	for i := range u.Days {
		d := &u.Days[i]
		day := d.Day
		if !measured(d) {
			day, guessed = day+" *", true
		}
		row(day, gib(d.Capacity), gib(d.Free), gib(d.Plan), gib(d.Counted), money(control.Cost{Currency: d.Currency, Cost: d.Cost}))
	}
	costs := make([]string, len(u.Total.Costs))
	for i, c := range u.Total.Costs {
		costs[i] = money(c)
	}
	row("total of "+count(uint64(u.Total.Days), "day"), "", "", "", gib(u.Total.Counted), strings.Join(costs, ", "))
	t.Flush()
	if guessed {
		p.printf("* no daemon ran that day: as on the day before\n")
	}
}

func measured(d *control.UsageDay) bool {
	for i := range d.Instances {
		if !d.Instances[i].Measured {
			return false
		}
	}
	return true
}

// csvUsage prints a line for each day.
func (p *program) csvUsage(u *control.Usage) error {
	w := csv.NewWriter(p.out)
	_ = w.Write([]string{"day", "measured", "capacity_gib", "free_gib", "plan_gib", "counted_gib", "price", "cost", "currency", "instances"})
	exact := func(n uint64) string { return strconv.FormatFloat(float64(n)/(1<<30), 'f', -1, 64) }
	for i := range u.Days {
		d := &u.Days[i]
		var of []string
		for _, m := range d.Instances {
			of = append(of, m.Name+"="+exact(m.Capacity))
		}
		_ = w.Write([]string{
			d.Day, strconv.FormatBool(measured(d)), exact(d.Capacity), exact(d.Free), exact(d.Plan), exact(d.Counted),
			d.Price.String(), d.Cost.String(), d.Currency, strings.Join(of, ";"),
		})
	}
	w.Flush() // is where errors of Write come up
	return w.Error()
}
