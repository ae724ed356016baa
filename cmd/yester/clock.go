//go:build !fastclock

package main

import "yester/daemon"

// withClock leaves the daemon the machine's clock: no other can be had from this program.
func withClock(o daemon.Options) daemon.Options { return o }
