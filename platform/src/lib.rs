//! What both HTTP APIs need: problems, extractors, authentication of a request, limits, telemetry and
//! serving.
//!
//! Owns every byte of an error answer, the operational routes (`/healthz`, `/readyz`, `/metrics`,
//! `/openapi.json`, `/docs`, `/problems/{slug}`) and the one clock.
//!
//! Must not know what the APIs are about: no domain words, no SQL, none of our other crates.

pub mod api_key;
pub mod auth;
pub mod body;
pub mod clock;
pub mod config;
pub mod fields;
pub mod json;
pub mod openapi;
pub mod page;
pub mod position;
pub mod problem;
pub mod rate_limit;
pub mod request;
pub mod serve;
pub mod signed;
pub mod telemetry;

#[cfg(test)]
mod testing;
