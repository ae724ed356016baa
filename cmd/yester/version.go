package main

import (
	"runtime"

	"github.com/urfave/cli/v2"
)

// build describes the program.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "show the program's version",
		Description: "Example:\n  yester version",
		Flags:       []cli.Flag{p.jsonFlag()},
		Before:      noArgs,
		Action: func(c *cli.Context) error {
			b := build{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return p.answer(b, nil, func() { p.printf("yester %s (%s, %s)\n", b.Version, b.Platform, b.Go) })
		},
	}
}
