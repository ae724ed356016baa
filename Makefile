# The targets are described where they stand; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help
.NOTPARALLEL:

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# make run
PATHS       ?= /etc $(CURDIR)
YESTER_HOME ?= .yester

# make fuzz
FUZZTIME ?= 30s

# make torture
TORTURE ?= 3600

# make bench: 1 is 340,000 files and 6.4 GiB
BENCH_SCALE  ?= 1
BENCH_ROUNDS ?= 3
BENCH_JSON   ?= $(CURDIR)/bin/bench.json

# Pinned: a new version of a linter is a change like any other.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0

# What the tests call, besides what every Debian has.
DEBIAN_PACKAGES := rsync attr acl libcap2-bin e2fsprogs xfsprogs btrfs-progs python3-aiosmtpd openssl zsh

BENCH_PACKAGES := restic borgbackup lz4

UNIT = $(shell $(GO) list ./... | grep -v '^yester/integration')

# Here one goroutine computes for long, which takes eight times as long with the race detector; what works on their packs and pages beside others is in store,
# capture and fs.
ALONE := yester/snapshot yester/store/cut yester/store/pack

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/yester
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/yester ./cmd/yester

.PHONY: run
run: build ## take a version of PATHS into YESTER_HOME, show it, and stay until Ctrl-C
	@PATHS='$(PATHS)' YESTER_HOME='$(YESTER_HOME)' sh cmd/yester/run.sh

.PHONY: test
test: packages lint unit integration ## everything: lint, unit tests, integration tests

.PHONY: packages
packages: ## install the Debian packages that the integration tests call (as root only)
	@missing=; for p in $(DEBIAN_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" != 0 ]; then echo "Not installed, and only root can:$$missing"; exit 0; fi; \
	echo "Installing what the integration tests need:$$missing"; \
	apt-get update -q >/dev/null; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing >/dev/null

.PHONY: lint
lint: bin/$(notdir $(STATICCHECK)) bin/$(notdir $(GOFUMPT)) ## vet, staticcheck, gofumpt and go.mod
	$(GO) vet ./...
	bin/$(notdir $(STATICCHECK)) ./...
	@bad=$$(bin/$(notdir $(GOFUMPT)) -l .); [ -z "$$bad" ] || { echo "gofumpt -w is due for: $$bad"; exit 1; }
	$(GO) mod tidy -diff

bin/$(notdir $(STATICCHECK)): TOOL := $(STATICCHECK)
bin/$(notdir $(GOFUMPT)): TOOL := $(GOFUMPT)
bin/$(notdir $(STATICCHECK)) bin/$(notdir $(GOFUMPT)):
	@mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools $(GO) install $(TOOL)
	@mv bin/tools/$(firstword $(subst @, ,$(@F))) $@ && rmdir bin/tools

# The race detector needs a C compiler. A program with it sleeps for a second before it exits, and many tests run themselves as
# other processes: here for 10 ms. Tests that cannot run here say so themselves; without root or /dev/fuse there are many, so they
# are named.
.PHONY: unit
unit: ## unit tests, with the race detector where goroutines meet
	@if command -v gcc >/dev/null; then race=-race; else echo "No gcc: without the race detector."; fi; \
	export GORACE=atexit_sleep_ms=10; \
	echo "$(GO) test $$race (all but integration)"; $(GO) test $(ALONE); $(GO) test -timeout 30m $$race $(filter-out $(ALONE),$(UNIT))
	@if [ "$$(id -u)" != 0 ] || [ ! -c /dev/fuse ]; then \
		echo "Skipped without root and /dev/fuse:"; \
		$(GO) test -v $(UNIT) | awk '/_test[.]go:[0-9]+: / { why = $$0; sub(/.*_test[.]go:[0-9]+: /, "", why) } \
			/--- SKIP: / { print "  " $$3 ": " why }'; \
	fi

# In its own folder, for go test then shows what the tests say, and which are skipped, also when all pass.
.PHONY: integration
integration: ## whole-program tests on real partitions and mounts
	cd integration && $(GO) test -v -count=1 -timeout 30m

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@for d in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$d/*_test.go | cut -c6-); do \
			echo "$$d $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$d; \
		done; \
	done

# Every run of a test prints its seed; what failed, how to have it again.
.PHONY: torture
torture: ## cut the power, kill the daemon and damage vaults, at random, for TORTURE seconds
	@GO='$(GO)' integration/torture.sh $(TORTURE)

.PHONY: bench
bench: DEBIAN_PACKAGES += $(BENCH_PACKAGES)
bench: packages ## measure yester beside restic, borg and what the machine can do
	cd integration && YESTER_BENCH_SCALE=$(BENCH_SCALE) YESTER_BENCH_ROUNDS=$(BENCH_ROUNDS) \
		YESTER_BENCH_JSON='$(BENCH_JSON)' YESTER_BENCH_SVG='$(BENCH_JSON:.json=.svg)' YESTER_BENCH_AGAINST='$(BENCH_AGAINST)' \
		$(GO) test -run '^$$' -bench '^BenchmarkBackup$$' -benchtime 1x -timeout 0

# What it compares with is made anew by: make bench-quick BENCH_JSON=$PWD/integration/testdata/bench-quick.json BENCH_AGAINST=
.PHONY: bench-quick
bench-quick: BENCH_SCALE = 0.02
bench-quick: BENCH_ROUNDS = 2
bench-quick: BENCH_AGAINST ?= $(CURDIR)/integration/testdata/bench-quick.json
bench-quick: bench ## the same with little data, in less than two minutes; fails if yester fell back by more than a quarter

.PHONY: bench-packages
bench-packages: ## benchmarks of the packages
	$(GO) test -run '^$$' -bench . -benchmem $(UNIT)

.PHONY: bench-mount
bench-mount: packages ## measure the mount beside its limits: ext4, and FUSE from memory
	$(GO) test -run '^$$' -bench '^BenchmarkMount(ManyVersions|FirstList)$$' -benchtime 5x ./fs
	cd integration && $(GO) test -run '^$$' -bench '^BenchmarkMount$$' -benchtime 1x -timeout 0

.PHONY: bench-many
bench-many: packages ## measure what backups take as files grow in number to a million
	cd integration && $(GO) test -run '^$$' -bench '^BenchmarkMany$$' -benchtime 1x -timeout 0

.PHONY: bench-priority
bench-priority: DEBIAN_PACKAGES += fio
bench-priority: packages ## measure how gentle backups are: reading, processors, memory, and what others notice
	cd integration && $(GO) test -run '^$$' -bench '^BenchmarkPriority$$' -benchtime 1x -timeout 0

.PHONY: bench-restore
bench-restore: DEBIAN_PACKAGES += $(BENCH_PACKAGES)
bench-restore: packages ## measure restore beside cp, restic and borg
	cd integration && $(GO) test -run '^$$' -bench '^BenchmarkRestore$$' -benchtime 1x -timeout 0

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
