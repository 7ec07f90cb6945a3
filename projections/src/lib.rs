//! Projectors for Postgres, Redis and ClickHouse, and the queries over what they build.
