//! Starts Postgres, Redis and an embedded ClickHouse for a machine that has none running.
