package meter

import (
	"math/big"
	"slices"

	"yester/control"
)

// GiB is the unit that is counted in.
const GiB = 1 << 30

// bill adds up days, which are sorted.
func bill(metered []control.Metered) control.Usage {
	u := control.Usage{Days: []control.UsageDay{}, Total: control.UsageTotal{Costs: []control.Cost{}}}
	for len(metered) > 0 {
		n := slices.IndexFunc(metered, func(m control.Metered) bool { return m.Day != metered[0].Day })
		if n < 0 {
			n = len(metered)
		}
		d := billDay(metered[:n])
		u.Days, metered = append(u.Days, d), metered[n:]
		u.Total.Days++
		u.Total.Counted += d.Counted
		u.Total.Costs = addCost(u.Total.Costs, &d)
	}
	return u
}

// billDay adds up the instances of one day. They have a tariff in common; should it have changed between them, the last one's holds.
func billDay(instances []control.Metered) control.UsageDay {
	t := instances[len(instances)-1].Tariff
	d := control.UsageDay{Day: instances[0].Day, Instances: instances, Price: t.Price, Currency: t.Currency}
	for i := range instances {
		d.Capacity += instances[i].Capacity
	}
	d.Free = min(d.Capacity, t.Free)
	d.Plan = min(d.Capacity-d.Free, t.Plan)
	d.Counted = d.Capacity - d.Free - d.Plan
	d.Cost = cost(d.Counted, t.Price)
	return d
}

// cost is the price of so many bytes for a day, to the nearest millionth.
func cost(bytes uint64, price control.Amount) control.Amount {
	n := new(big.Int).SetUint64(bytes)
	n.Mul(n, big.NewInt(int64(price)))
	n.Add(n, big.NewInt(GiB/2))
	return control.Amount(n.Div(n, big.NewInt(GiB)).Int64())
}

func addCost(costs []control.Cost, d *control.UsageDay) []control.Cost {
	if d.Price == 0 {
		return costs
	}
	i := slices.IndexFunc(costs, func(c control.Cost) bool { return c.Currency == d.Currency })
	if i < 0 {
		return append(costs, control.Cost{Currency: d.Currency, Cost: d.Cost})
	}
	costs[i].Cost += d.Cost
	return costs
}
