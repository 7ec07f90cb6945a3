//! One binary over real engines. Run it through `make test`, which starts them and says where they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accesses;
mod append;
mod audit_log;
mod backups;
mod bad_input;
mod boundaries;
mod command_path;
mod crate_graph;
mod demo;
mod domains;
mod engines_down;
mod erasure;
mod faults;
mod feed;
mod golden_rows;
mod halt;
mod hub;
mod import;
mod isolation;
mod journey;
mod lane_faults;
mod leak;
mod metrics;
mod model;
mod old_transactions;
mod part;
mod partitions;
mod projectors;
mod providers;
mod restored;
mod seals;
mod secrets;
mod served;
mod several_processes;
mod snapshots;
mod subjects;
mod support;
mod tenants;
mod time_travel;
mod tls;
mod torture;
mod traces;
mod verifier;
