//! Aggregates, commands, events, errors and upcasters: pure, no I/O.
