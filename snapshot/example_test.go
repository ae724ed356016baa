package snapshot

import "fmt"

// The example of docs/FORMAT.md.
func ExampleEntry() {
	fmt.Printf("% x", appendEntry(nil, &Entry{Name: []byte("a"), Mode: 0o100644}))
	// Output: 01 61 00 a4 83 02 00 00 00 00 00 00 00 00 00 00 00
}
