//! All DDL, for Postgres and ClickHouse, and its runner.
