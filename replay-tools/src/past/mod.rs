//! `replay state-at`, `history`, `diff` and `project-at`: what was so at a moment, from the log alone. Personal data and
//! secrets are neither opened nor shown.

mod changes;
mod diff;
mod history;
pub(crate) mod mask;
mod moment;
mod project_at;
mod state_at;
mod stream;

use anyhow::{Context as _, Result};
use event_store::{EventLog, Role, connect};

pub(crate) use self::diff::{DiffArgs, run as diff};
pub(crate) use self::history::{HistoryArgs, run as history};
pub(crate) use self::project_at::{ProjectAtArgs, run as project_at};
pub(crate) use self::state_at::{StateAtArgs, run as state_at};

async fn open(database_url: &str) -> Result<EventLog> {
    let pool = connect(database_url, Role::Projector, 2).context("this is no Postgres URL")?;
    Ok(EventLog::open(pool).await?)
}
