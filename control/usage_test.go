package control_test

import (
	"encoding/json"
	"testing"

	"yester/control"
)

func TestAmountsAreReadAndWrittenExactly(t *testing.T) {
	for in, want := range map[string]string{"0": "0.00", "1": "1.00", "1.5": "1.50", "0.0045": "0.0045", "12.345678": "12.345678", "999999999999": "999999999999.00"} {
		a, err := control.ParseAmount(in)
		if err != nil || a.String() != want {
			t.Errorf("%s: got %v, %v", in, a, err)
		}
		b, err := json.Marshal(a)
		var back control.Amount
		if err != nil || string(b) != want || json.Unmarshal(b, &back) != nil || back != a {
			t.Errorf("%s: got %s, %v, %v", in, b, back, err)
		}
	}
	for _, bad := range []string{"", "-1", "+1", "1.", ".5", "1e3", "0.1234567", "1.2.3", "x", "1 ", "0x1", "9999999999999999999"} {
		if a, err := control.ParseAmount(bad); err == nil {
			t.Errorf("%q: got %v", bad, a)
		}
	}
}
