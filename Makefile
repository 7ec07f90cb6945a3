# What a person does with this checkout. Every target sets up what it needs, from nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Options of `proofline up`, `demo` and `bench`, such as ARGS="--port 8080".
ARGS ?=

.PHONY: help setup up demo test torture torture-proof check bench bench-peers bench-binary prepare clean distclean packages release

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages ## Install what is missing: packages, and ClickHouse as a library
	@cargo run --quiet --package engines -- fetch

up: release ## Serve the whole platform on this machine until Ctrl-C
	@exec target/release/proofline up $(ARGS)

demo: release ## Send real input through the whole pipeline and compare every count
	@exec target/release/proofline demo $(ARGS)

bench: bench-binary ## Run the benchmark suite; its tables and plots go to docs
	@exec target/release/bench --markdown docs/benchmarks.md --plots docs/img $(ARGS)

bench-peers: bench-binary ## Run it beside other event stores, which are installed by name
	@exec target/release/bench --markdown docs/benchmarks.md --plots docs/img $(ARGS) peers

# Programs and tests at once: tests want tokio's pausable clock, and everything on tokio would otherwise be built twice.
test: packages ## Run all tests on engines of their own
	@scripts/aws
	cargo build --workspace --bins --tests
	@target/debug/engines fetch
	@scripts/test target/debug/engines run -- cargo test --workspace --no-fail-fast

torture: packages ## Kill, pause and cut off everything under load for TORTURE_S seconds, and verify what is left
	cargo build --workspace --bins
	@target/debug/engines fetch
	@target/debug/torture $(ARGS)

torture-proof: packages ## Show that the torture fails where a guard is switched off
	cargo build --workspace --bins --features proofline/torture,tests/torture
	@target/debug/engines fetch
	@scripts/torture-proof

check: packages ## Check format, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

prepare: setup ## Refresh .sqlx against a freshly migrated database
	@target/debug/engines run -- scripts/prepare

clean: ## Remove what was built and stored; keeps the fetched engine
	@scripts/clean

distclean: clean ## Remove the fetched engine, too
	@rm -rf .proofline

packages:
	@scripts/setup

bench-binary: packages
	cargo build --release --package engines --package tests --bin engines --bin bench
	@target/release/engines fetch

release: packages
	cargo build --release --package engines --package proofline --package replay-tools
	@target/release/engines fetch
