//! Connections to Postgres, each as a runtime role that owns nothing.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// The runtime roles. Stored in the database; never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer,
    Projector,
    Reader,
    Vault,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "proofline_writer",
            Self::Projector => "proofline_projector",
            Self::Reader => "proofline_reader",
            Self::Vault => "proofline_vault",
        }
    }
}

/// A pool whose connections act as `role` from their first statement on. Connects lazily: an engine that is down is an
/// error of the statement, not of the start.
pub fn connect(url: &str, role: Role, connections_max: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?
        .application_name(role.as_str())
        .options([
            ("role", role.as_str()),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(options))
}
