package main

import (
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"yester/control"
	"yester/daemon"
)

func (p *program) daemonCommand() *cli.Command {
	return &cli.Command{
		Name:  "daemon",
		Usage: "run the daemon in the foreground",
		Description: "It makes what it needs, mounts the vault if there is one, and serves until SIGTERM or Ctrl-C.\n\n" +
			"Examples:\n  yester daemon\n  yester --home /srv/yester daemon\n  yester daemon --metrics 127.0.0.1:9469",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "metrics", Usage: "serve /metrics and /health at `HOST:PORT` too (default: what the settings say, else not)"}},
		Before: noArgs,
		Action: p.runDaemon,
	}
}

func (p *program) runDaemon(c *cli.Context) error {
	metrics := c.String("metrics")
	if err := daemon.CheckMetrics(metrics); err != nil {
		return err
	}
	if err := mayServe(strconv.IntSize, os.Geteuid()); err != nil {
		return err
	}
	h, s, err := p.load()
	if err != nil {
		return err
	}
	if metrics != "" {
		s.Metrics = metrics
	}
	return daemon.Run(c.Context, withClock(daemon.Options{Home: h, Settings: s, Version: version, Log: s.Logger()}))
}

// mayServe refuses machines and users that no daemon can run for.
func mayServe(bits, user int) error {
	switch {
	case bits < 64:
		return control.Errorf(control.BadRequest, "this is a %d-bit program, and yester works on 64-bit machines only", bits).WithHint("install the 64-bit one")
	case user != 0:
		return control.Errorf(control.Denied, "the daemon must be run by root, for it reads everybody's files").WithHint("try again with sudo")
	}
	return nil
}
