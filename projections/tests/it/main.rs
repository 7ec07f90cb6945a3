//! Projectors and queries on real engines: `engines run -- cargo test -p projections`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on says so by a panic"
)]

mod crashes;
mod event_stream;
mod facts;
mod faults;
mod lists;
mod positions;
mod proof_feed;
mod telemetry;
mod world;
