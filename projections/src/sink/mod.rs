//! The engines that are projected into, each exactly once by its own means.

mod clickhouse;
mod copy;
mod ledger;
mod postgres;
mod redis;
mod subject_events;

pub use self::clickhouse::{ClickHouseSink, FactProjector};
pub use self::copy::CopyRows;
pub use self::ledger::Ledger;
pub use self::postgres::{PgProjector, PgSink};
pub use self::redis::{CounterProjector, RedisSink};
pub use self::subject_events::{SubjectEventsSink, begin_subject_events_anew};

pub(crate) use self::clickhouse::table;
pub(crate) use self::postgres::{column, schema};
pub(crate) use self::redis::{state_key, tag};
