//! Projectors and queries on real engines: `engines run -- cargo test -p projections`.

mod event_stream;
mod faults;
mod lists;
mod positions;
mod proof_feed;
mod telemetry;
mod world;
