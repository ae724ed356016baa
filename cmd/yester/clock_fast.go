//go:build fastclock

package main

import (
	"fmt"
	"os"
	"time"

	"yester/daemon"
)

// withClock gives the daemon a clock by which a day is YESTER_DAY long, such as 1s, and noon of 2026-11-23 was at YESTER_NOON. It is built for tests only.
func withClock(o daemon.Options) daemon.Options {
	noon, err := time.Parse(time.RFC3339Nano, os.Getenv("YESTER_NOON"))
	day, err2 := time.ParseDuration(os.Getenv("YESTER_DAY"))
	if err != nil || err2 != nil || day <= 0 {
		panic(fmt.Sprintf("a program with a fast clock needs YESTER_NOON and YESTER_DAY: %v, %v", err, err2))
	}
	o.Tempo = float64(24*time.Hour) / float64(day)
	o.Zone = time.UTC
	up := func() time.Duration { return time.Duration(float64(time.Since(noon)) * o.Tempo) }
	o.Now = func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(up()) }
	o.Boot = func() (string, time.Duration) { return "fast", up() }
	return o
}
