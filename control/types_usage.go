package control

import (
	"fmt"
	"strconv"
	"strings"
)

// An Amount is a sum of money in millionths, so that days add up to their total. In JSON it is a number: 1.25.
type Amount int64

const million = 1_000_000

// ParseAmount reads a decimal number of at least 0 with at most six decimals: "1.25".
func ParseAmount(s string) (Amount, error) {
	whole, part, dot := strings.Cut(s, ".")
	digits := strings.Trim(whole+part, "0123456789") == ""
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || !digits || dot && part == "" || len(part) > 6 || n > 1e12 {
		return 0, fmt.Errorf("%q is no amount with at most six decimals", s)
	}
	p, _ := strconv.ParseUint((part + "000000")[:6], 10, 63) // has digits only
	return Amount(n*million + p), nil
}

// String writes an amount with two decimals, or more if it has them: "1.25".
func (a Amount) String() string {
	s := fmt.Sprintf("%d.%06d", a/million, a%million)
	for strings.HasSuffix(s, "0") && len(s)-strings.IndexByte(s, '.') > 3 {
		s = s[:len(s)-1]
	}
	return s
}

// MarshalJSON writes the number.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads the number.
func (a *Amount) UnmarshalJSON(b []byte) (err error) {
	*a, err = ParseAmount(string(b))
	return err
}

// A BlockDevice is a disk of the instance.
type BlockDevice struct {
	Name     string `json:"name"` // "vda"
	Capacity uint64 `json:"capacity_bytes"`
}

// A Tariff is by what a day is counted.
type Tariff struct {
	Free     uint64 `json:"free_bytes"`           // that cost nothing, across all instances of the vault
	Plan     uint64 `json:"plan_bytes,omitempty"` // that were paid for in advance
	Price    Amount `json:"price"`                // of each GiB and day above both
	Currency string `json:"currency,omitempty"`   // "EUR"
}

// A Metered day is what was metered of an instance on a day.
type Metered struct {
	Day      string        `json:"day"`      // "2026-11-25", in the daemon's time zone
	Instance string        `json:"instance"` // id
	Name     string        `json:"name"`
	Capacity uint64        `json:"capacity_bytes"` // of all its block devices, the most it had that day
	Devices  []BlockDevice `json:"devices"`        // at that time
	Measured bool          `json:"measured"`       // else no daemon ran that day, and this is what there was before
	Tariff   Tariff        `json:"tariff"`         // as it was
}

// A UsageRequest narrows the days. Empty fields don't.
type UsageRequest struct {
	From string `json:"from,omitempty"` // first day
	To   string `json:"to,omitempty"`   // last day
}

// Usage answers a UsageRequest.
type Usage struct {
	Days  []UsageDay `json:"days"` // of service, oldest first
	Total UsageTotal `json:"total"`
}

// A UsageDay is what a day comes to for the whole vault.
type UsageDay struct {
	Day       string    `json:"day"`
	Instances []Metered `json:"instances"`
	Capacity  uint64    `json:"capacity_bytes"` // of all instances; it is the sum of the next three
	Free      uint64    `json:"free_bytes"`
	Plan      uint64    `json:"plan_bytes"`
	Counted   uint64    `json:"counted_bytes"`
	Price     Amount    `json:"price"` // of a GiB
	Cost      Amount    `json:"cost"`
	Currency  string    `json:"currency,omitempty"`
}

// A UsageTotal is the sum of days.
type UsageTotal struct {
	Days    int    `json:"days"`
	Counted uint64 `json:"counted_byte_days"`
	Costs   []Cost `json:"costs"` // one for each currency; none if nothing had a price
}

// A Cost is a sum in one currency.
type Cost struct {
	Currency string `json:"currency,omitempty"`
	Cost     Amount `json:"cost"`
}
