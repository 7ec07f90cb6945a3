//! The integration tests stand in `it/`; this crate has no code of its own.
