//! Tests live here.
