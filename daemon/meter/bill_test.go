package meter

import (
	"testing"

	"yester/control"
)

// used is a day of an instance with so many GiB, by a tariff of 100 GiB free.
func used(day, instance string, gib, plan uint64, price control.Amount) control.Metered {
	return control.Metered{Day: day, Instance: instance, Capacity: gib * GiB, Tariff: control.Tariff{Free: 100 * GiB, Plan: plan * GiB, Price: price, Currency: "EUR"}}
}

func TestWhatIsAboveTheFreeQuotaAndThePlansIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		instances                 []control.Metered
		capacity, free, plan, sum uint64 // GiB
		cost                      string
	}{
		{"within the free quota", []control.Metered{used("d", "a", 40, 0, 20_000)}, 40, 40, 0, 0, "0.00"},
		{"above it", []control.Metered{used("d", "a", 140, 0, 20_000)}, 140, 100, 0, 40, "0.80"},
		{"the quota is the vault's, not the instance's", []control.Metered{used("d", "a", 80, 0, 20_000), used("d", "b", 80, 0, 20_000)}, 160, 100, 0, 60, "1.20"},
		{"within the plan", []control.Metered{used("d", "a", 140, 50, 20_000)}, 140, 100, 40, 0, "0.00"},
		{"above the plan", []control.Metered{used("d", "a", 200, 50, 20_000)}, 200, 100, 50, 50, "1.00"},
		{"without a price", []control.Metered{used("d", "a", 200, 50, 0)}, 200, 100, 50, 50, "0.00"},
	} {
		u := bill(tt.instances)
		d := u.Days[0]
		if len(u.Days) != 1 || d.Capacity != tt.capacity*GiB || d.Free != tt.free*GiB || d.Plan != tt.plan*GiB || d.Counted != tt.sum*GiB || d.Cost.String() != tt.cost {
			t.Errorf("%s: got %+v", tt.name, d)
		}
	}
}

func TestDaysAddUpByTheTariffOfEach(t *testing.T) {
	third := used("2026-11-03", "a", 101, 0, 333_333)
	other := used("2026-11-04", "a", 101, 0, 1_000_000)
	other.Tariff.Currency = "USD"
	odd := used("2026-11-05", "a", 0, 0, 1)
	odd.Capacity = 100*GiB + GiB/2 // half of a millionth is rounded up
	u := bill([]control.Metered{used("2026-11-01", "a", 110, 0, 20_000), used("2026-11-02", "a", 110, 0, 50_000), third, other, odd})
	if u.Total.Days != 5 || u.Total.Counted != 22*GiB+GiB/2 || len(u.Total.Costs) != 2 {
		t.Fatalf("got %+v", u.Total)
	}
	if c := u.Total.Costs; c[0].Cost.String() != "1.033334" || c[0].Currency != "EUR" || c[1].Cost.String() != "1.00" || c[1].Currency != "USD" {
		t.Errorf("got %+v", c)
	}
	if none := bill(nil); none.Days == nil || none.Total.Costs == nil || none.Total.Days != 0 {
		t.Errorf("got %+v", none)
	}
}
