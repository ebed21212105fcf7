# Hooklog: `make` says what there is. Everything that is built or fetched goes into a cache outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export HOOKLOG_CACHE ?= $(HOME)/.cache/hooklog
export HOOKLOG_ENGINES ?= $(HOOKLOG_CACHE)/engines
export CARGO_TARGET_DIR ?= $(HOOKLOG_CACHE)/target
# rustup installs here, and a fresh shell may not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What `make run` hands to `hooklog serve`, for example: make run ARGS="--port 8080"
ARGS ?=

SAY = @printf '\n==> %s\n'
NEXTEST := $(shell PATH="$(PATH)" command -v cargo-nextest 2>/dev/null)

.PHONY: help run dashboard dashboard-test build engines test lint unit test-tools tests-built drill test-eventstore mutations fuzz deny bench bench-quick bench-scale bench-built docs prerequisites prerequisites-test prerequisites-fuzz

help: ## What there is
	@echo 'make run       build Hooklog, fetch its engines and start it on http://127.0.0.1:3000'
	@echo '               make run ARGS="--port 8080 --data-dir /var/tmp/hooklog" passes settings on'
	@echo 'make dashboard build the dashboard alone (make run and make test do it by themselves)'
	@echo 'make test      lint, then every test (cold: up to 30 minutes on 2 cores; warm: about 10)'
	@echo 'make lint      formatting and clippy, warnings are errors'
	@echo 'make engines   fetch the NATS server and ClickHouse into the cache, once (about 190 MB)'
	@echo 'make drill     the long tests: more kills, seeds, power cuts, mutations, fuzzing, a fresh clone with empty caches (hours)'
	@echo 'make mutations break one safeguard after the other and expect the simulation to notice'
	@echo 'make fuzz      run every fuzz target for HOOKLOG_FUZZ_SECONDS (60; 600 in make drill), on the stable toolchain'
	@echo 'make deny      licences, sources, banned crates and known advisories of all dependencies'
	@echo 'make bench     writes docs/benchmarks.md: what it does beside what this machine could at most (15 minutes; wants a quiet machine);'
	@echo '               make bench-quick in 2 minutes, make bench-scale in an hour (docs/benchmarks-scale.md)'
	@echo 'make docs      the documentation of the crates, as HTML'
	@echo
	@echo 'Built and fetched things are kept in $(HOOKLOG_CACHE) (set HOOKLOG_CACHE to move them).'

run: dashboard ## Build, fetch, start
	$(SAY) 'Building Hooklog (release; the first time takes some minutes)'
	cargo build --release --locked --bin hooklog
	$(SAY) 'Fetching the engines, unless they are in the cache'
	"$$CARGO_TARGET_DIR/release/hooklog" engine fetch
	$(SAY) 'Starting: Ctrl-C stops it'
	exec "$$CARGO_TARGET_DIR/release/hooklog" serve $(ARGS)

dashboard: prerequisites ## The dashboard, which the binary contains
	$(SAY) 'Building the dashboard, unless nothing changed'
	scripts/dashboard.sh

# Types of the API's own document, the pages, and what they reckon.
dashboard-test: dashboard
	$(SAY) 'Checking the dashboard'
	scripts/dashboard.sh test

build: dashboard
	$(SAY) 'Building Hooklog for the tests'
	cargo build --locked --bin hooklog

engines: build ## Fetch the engines into the cache
	$(SAY) 'Fetching the engines, unless they are in the cache'
	"$$CARGO_TARGET_DIR/debug/hooklog" engine fetch

lint: prerequisites ## Formatting and clippy
	$(SAY) 'Checking the formatting'
	cargo fmt --all --check
	$(SAY) 'Running clippy (warnings are errors)'
	cargo clippy --workspace --all-targets --locked -- -D warnings

test-tools: prerequisites-test
	$(SAY) 'Test tools: a NATS client, a ClickHouse client, a signer and example payloads that are not ours'
	tests/tools/setup.sh >/dev/null

# The tests and the binary that they run are built once, together.
tests-built: export DASHBOARD_REQUIRED = 1
tests-built: dashboard
	$(SAY) 'Building Hooklog and every test'
	cargo test --workspace --locked --no-run --quiet
	$(SAY) 'Fetching the engines, unless they are in the cache'
	"$$CARGO_TARGET_DIR/debug/hooklog" engine fetch

test: lint unit ## Lint, then every test

unit: tests-built test-tools dashboard-test
ifneq ($(NEXTEST),)
	$(SAY) 'Running every test with cargo nextest'
	cargo nextest run --workspace --locked
else
	$(SAY) 'Running every test with cargo test (cargo-nextest is faster: cargo install --locked cargo-nextest)'
	cargo test --workspace --locked --lib --bins --tests -- --test-threads=2
endif

# An attacker with everything that the machine can open, and longer walks around the corpus of the fuzzers and the OpenAPI document.
DRILL_MORE = HOOKLOG_FORGERIES="$${HOOKLOG_FORGERIES:-100000}" HOOKLOG_SLOW="$${HOOKLOG_SLOW:-10000}" HOOKLOG_HONEST="$${HOOKLOG_HONEST:-1000}" \
	  HOOKLOG_FUZZ_MUTATIONS="$${HOOKLOG_FUZZ_MUTATIONS:-100000}" HOOKLOG_SCHEMA_EXAMPLES="$${HOOKLOG_SCHEMA_EXAMPLES:-100}" \
	  HOOKLOG_LIVE_CLIENTS="$${HOOKLOG_LIVE_CLIENTS:-1000}" HOOKLOG_LIVE_REPOSITORIES="$${HOOKLOG_LIVE_REPOSITORIES:-100}" \
	  HOOKLOG_STORE_DELIVERIES="$${HOOKLOG_STORE_DELIVERIES:-1000000}" \
	  HOOKLOG_LIVE_PER_SECOND="$${HOOKLOG_LIVE_PER_SECOND:-500}" HOOKLOG_LIVE_CROWD_DELIVERIES="$${HOOKLOG_LIVE_CROWD_DELIVERIES:-15000}" \
	  HOOKLOG_MIGRATED_DELIVERIES="$${HOOKLOG_MIGRATED_DELIVERIES:-90000}" HOOKLOG_CLUSTER_VICTIMS="$${HOOKLOG_CLUSTER_VICTIMS:-3}" \
	  HOOKLOG_INDEX_EVENTS="$${HOOKLOG_INDEX_EVENTS:-1000000}"

drill: tests-built test-tools prerequisites-fuzz ## The long tests
	$(SAY) 'Running every test in its long version'
ifneq ($(NEXTEST),)
	HOOKLOG_KILLS="$${HOOKLOG_KILLS:-20}" HOOKLOG_POWER_CUTS="$${HOOKLOG_POWER_CUTS:-100000}" HOOKLOG_SEEDS="$${HOOKLOG_SEEDS:-1000}" \
	  $(DRILL_MORE) PROPTEST_CASES="$${PROPTEST_CASES:-1000}" cargo nextest run --workspace --locked --profile drill
else
	HOOKLOG_KILLS="$${HOOKLOG_KILLS:-20}" HOOKLOG_POWER_CUTS="$${HOOKLOG_POWER_CUTS:-100000}" HOOKLOG_SEEDS="$${HOOKLOG_SEEDS:-1000}" \
	  $(DRILL_MORE) PROPTEST_CASES="$${PROPTEST_CASES:-1000}" cargo test --workspace --locked --lib --bins --tests -- --test-threads=2
endif
	$(SAY) 'Breaking one safeguard after the other: the simulation has to notice each'
	tests/mutations/run.sh
	$(SAY) 'Fuzzing: each target for ten minutes'
	HOOKLOG_FUZZ_SECONDS="$${HOOKLOG_FUZZ_SECONDS:-600}" fuzz/run.sh
	$(SAY) 'Licences, sources, bans and advisories of all dependencies'
	scripts/deny.sh
	$(SAY) 'The key of secrets in the keychain of a desktop'
	tests/drill/keychain.sh
	$(SAY) 'A fresh clone with empty caches: make run and the curl of the README, then make test'
	tests/drill/fresh-clone.sh

test-eventstore: prerequisites ## The contract of the log on a real event store: URL='esdb://…'
	@[ -n "$(URL)" ] || { echo "usage: make test-eventstore URL='esdb://user:password@host:2113'"; exit 2; }
	$(SAY) 'Running the contract of the log on the event store, in streams of its own'
	HOOKLOG_EVENTSTORE_URL='$(URL)' cargo test --locked -p infra --test eventstore -- --ignored --nocapture --test-threads=1

mutations: prerequisites ## Break safeguards, expect red
	$(SAY) 'Breaking one safeguard after the other: the simulation has to notice each'
	tests/mutations/run.sh

fuzz: prerequisites-fuzz ## Fuzz every target
	$(SAY) 'Fuzzing every target on the stable toolchain (the first build takes some minutes)'
	fuzz/run.sh

deny: prerequisites ## Licences, sources, bans, advisories
	scripts/deny.sh

# Built once, with the binary under measurement.
bench-built: dashboard test-tools
	$(SAY) 'Building what is measured and what measures (release; the first time takes some minutes)'
	cargo bench --locked --no-run --bench suite --bench replay_latency --bench projecting
	$(SAY) 'Fetching the engines, unless they are in the cache'
	"$$CARGO_TARGET_DIR/release/hooklog" engine fetch

bench-quick: bench-built ## The benchmark report in 2 minutes
	$(SAY) 'Measuring, quickly: a first impression'
	cargo bench --locked --bench suite -- quick

bench: bench-built ## The benchmark report in 15 minutes
	$(SAY) 'Measuring (about 15 minutes; wants a quiet machine)'
	cargo bench --locked --bench suite -- full
	$(SAY) 'Measuring live deliveries beside a replay'
	HOOKLOG_BENCH_SECONDS="$${HOOKLOG_BENCH_SECONDS:-5}" cargo bench --locked --bench replay_latency >>docs/benchmarks.md
	$(SAY) 'Measuring how fast 1, 2 and 4 partitions project one log'
	cargo bench --locked --bench projecting >>docs/benchmarks.md

bench-scale: bench-built ## The benchmark report in an hour
	$(SAY) 'Measuring at scale (about an hour; wants a quiet machine and 60 GB of disk)'
	cargo bench --locked --bench suite -- scale
	$(SAY) 'Measuring live deliveries beside a replay'
	cargo bench --locked --bench replay_latency >>docs/benchmarks-scale.md
	$(SAY) 'Measuring how fast 1, 2 and 4 partitions project one log'
	cargo bench --locked --bench projecting >>docs/benchmarks-scale.md

docs: prerequisites ## Documentation as HTML
	$(SAY) 'Building the documentation'
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@echo "Open $$CARGO_TARGET_DIR/doc/hooklog/index.html"

prerequisites:
	@scripts/prerequisites.sh run

prerequisites-test: prerequisites
	@scripts/prerequisites.sh test

prerequisites-fuzz: prerequisites
	@scripts/prerequisites.sh fuzz
