//! What the logs mean to those who read: projectors into Postgres, Redis and ClickHouse, the runtime that drives them,
//! and the queries over what they build.
//!
//! **Owns** every read model's rows, its checkpoint, and how it is read; the stored names stand in [`Projection`].
//! **Must not know** a command, HTTP, or how an event is decided: only events come in, and only queries go out.
//!
//! - [`Runner`] is the one loop, in production and in tests alike. A [`Sink`] writes a batch exactly once.
//! - [`Projections`] composes a process; [`Reads`] is the handle for the read side.
//! - **Invariant:** no event is skipped. What can't be projected parks its key, visibly.
//! - **Invariant:** tenant data is read through [`ReadTx`] only, as one account.
//! - **Invariant:** no read model holds personal data in the clear; the proof feed keeps the log's sealed envelopes.

mod accounts;
pub mod audit;
mod decode;
mod drivers;
pub mod event_stream;
pub mod fold;
pub mod held;
pub mod integration_list;
pub mod notification_list;
pub mod past;
pub mod positions;
mod projection;
mod projections;
pub mod proof_feed;
mod read;
mod reads;
pub mod rebuild;
pub mod runtime;
mod served;
pub mod sink;
pub mod site_list;
pub mod subject_list;
mod telemetry;
pub mod telemetry_counters;
pub mod telemetry_facts;

/// In the answers of reads, and in waits.
pub use event_store::{LogName, Token, TokenError};

pub use crate::decode::decode;
pub use crate::drivers::{Drivers, DriversConfig, DriversError};
pub use crate::event_stream::{EventStream, PublicEvent, StreamError};
pub use crate::positions::{PositionError, Positions, ProjectionProgress, ProjectionState, Waited};
pub use crate::projection::Projection;
pub use crate::projections::{CatchUpError, Config, LEASE, OpenError, Projections};
pub use crate::read::{AsOf, Page, ReadError, ReadTx};
pub use crate::reads::Reads;
pub use crate::runtime::{Progress, Runner, Sink, Stopped, Wake};
