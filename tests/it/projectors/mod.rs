//! Projectors and queries without HTTP in between.

mod crashes;
mod event_stream;
pub(crate) mod facts;
mod fault_points;
mod faults;
mod fencing;
mod leases;
mod lists;
mod parking;
mod positions;
mod proof_feed;
mod rebuild;
mod rebuild_parked;
mod rebuild_whatever;
mod sinks;
mod telemetry;
pub(crate) mod world;
