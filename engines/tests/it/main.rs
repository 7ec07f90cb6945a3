//! Engines, really started: each test has its own, in a temporary folder on free ports.

#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]

mod cli;
mod clickhouse_client;
mod clickhouse_concurrency;
mod clickhouse_curl;
mod clickhouse_deduplication;
mod clickhouse_http;
mod clickhouse_inserts;
mod clickhouse_memory;
mod clickhouse_results;
mod harness;
mod leftovers;
mod lifecycle;
