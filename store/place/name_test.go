package place

import "testing"

func TestParentAndBase(t *testing.T) {
	for name, want := range map[string][2]string{
		"a": {"", "a"}, "a/b": {"a", "b"}, "a/b/c": {"a/b", "c"}, "": {"", ""},
	} {
		if parent(name) != want[0] || base(name) != want[1] {
			t.Errorf("%q: %q, %q", name, parent(name), base(name))
		}
	}
}
