//! The one binary, as a library: everything in one process (`proofline up`), or each part alone.
//!
//! **Owns** how the parts are put together, and the demo. **Must not know** anything that a part could know.

pub mod account;
pub mod app;
pub mod chores;
pub mod cli;
pub mod config;
pub mod demo;
pub mod migrate;
mod part;
mod running;
pub mod secrets;
mod signals;
mod up;
pub mod webhook;
pub mod write_side;
