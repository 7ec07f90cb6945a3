# What a person does with this checkout. Every target sets up what it needs, from nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Options of `proofline up`, `demo` and `bench`, such as ARGS="--port 8080".
ARGS ?=

.PHONY: help setup up demo test torture torture-proof check bench bench-peers bench-binary prepare clean distclean release

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: packages, and ClickHouse as a library
	@scripts/setup
	@cargo run --quiet --package engines -- fetch

up: release ## Serve the whole platform on this machine until Ctrl-C
	@exec target/release/proofline up $(ARGS)

demo: release ## Send real input through the whole pipeline and compare every count
	@exec target/release/proofline demo $(ARGS)

bench: bench-binary ## Run the benchmark suite; its tables and plots go to docs
	@exec target/release/bench --markdown docs/benchmarks.md --plots docs/img $(ARGS)

bench-peers: bench-binary ## Run it beside other event stores, which are installed by name
	@exec target/release/bench --markdown docs/benchmarks.md --plots docs/img $(ARGS) peers

test: setup ## Run all tests on engines of their own
	@scripts/aws
	cargo build --workspace --bins
	@scripts/test target/debug/engines run -- cargo test --workspace --no-fail-fast

torture: setup ## Kill, pause and cut off everything under load for TORTURE_S seconds, and verify what is left
	cargo build --workspace --bins
	@target/debug/torture $(ARGS)

torture-proof: setup ## Show that the torture fails where a guard is switched off
	cargo build --workspace --bins --features proofline/torture,tests/torture
	@scripts/torture-proof

check: setup ## Check format, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

prepare: setup ## Refresh .sqlx against a freshly migrated database
	cargo build --package engines
	@target/debug/engines run -- scripts/prepare

clean: ## Remove what was built and stored; keeps the fetched engine
	@scripts/clean

distclean: clean ## Remove the fetched engine, too
	@rm -rf .proofline

bench-binary:
	@scripts/setup
	@cargo run --quiet --release --package engines -- fetch
	cargo build --release --package tests --bin bench

# The library is fetched by the profile that is built anyway.
release:
	@scripts/setup
	@cargo run --quiet --release --package engines -- fetch
	cargo build --release --package proofline --package replay-tools
