//! Engines, really started.
