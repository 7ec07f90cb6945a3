//! Starts Postgres, Redis and an embedded ClickHouse for a machine that has none running, and keeps them running.
//!
//! Each engine is a process of its own on a loopback port with a random password, below one data directory that one
//! platform at a time may use. A URL that is given is used instead, and nothing is started for it. This crate knows
//! nothing of the platform's domain; everything else knows engines by URL only.
//!
//! **Invariants.** No process is signalled that is not verifiably ours. Postgres and Redis never run as root. A URL
//! stays valid from start to stop, whatever dies in between. What was acknowledged survives `kill -9` of any process.

pub mod cli;
pub mod clickhouse;
mod config;
mod data_dir;
mod engines;
mod error;
pub mod library;
mod managed;
mod postgres;
mod process;
mod progress;
mod redis_server;
mod run_as;
mod supervisor;

pub use self::config::{Config, Engine, Port, Ports, Urls};
pub use self::data_dir::LOCK_FILE;
pub use self::engines::Engines;
pub use self::error::{EnginesError, ProbeError};
pub use self::progress::{Progress, Silent, Spinners};
