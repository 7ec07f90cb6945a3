//! An event that is gone from in front of the projectors: each must stop there and name its position. Put back, it must
//! be as if nothing had been.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{Executor as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::say;
use crate::stage::Stage;

const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A log, and how its projections are known.
#[derive(Clone, Copy)]
enum Log {
    Events,
    Telemetry,
}

/// How the projections of a log met the gap.
#[derive(sqlx::FromRow)]
struct Met {
    projections: i64,
    stopped: i64,
    beyond: i64,
}

impl Log {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Telemetry => "telemetry",
        }
    }
}

/// No projector may run at the call, and none does after it. Answers whether all stopped as they must.
pub(crate) async fn inflict_and_mend(stage: &Stage) -> Result<bool> {
    let mut owner = stage.owner().await?;
    // Logs are append-only for their owner too, but for a superuser who switches the triggers off.
    owner
        .execute("set session_replication_role = replica")
        .await?;
    let mut injuries = Vec::new();
    for log in [Log::Events, Log::Telemetry] {
        injuries.push((log, remove(&mut owner, log).await?));
    }
    stage.start_projectors().await;
    let mut is_noticed = true;
    for (log, position) in &injuries {
        is_noticed &= wait(&mut owner, *log, *position).await?;
    }
    stage.kill_projectors().await;
    for (log, _) in injuries {
        let name = log.name();
        owner
            .execute(&*format!(
                "insert into es.{name} select * from public.removed_{name}; drop table public.removed_{name}"
            ))
            .await
            .context("put the event back")?;
    }
    Ok(is_noticed)
}

/// Takes away the last event but one, which no projector has reached.
async fn remove(owner: &mut PgConnection, log: Log) -> Result<i64> {
    let name = log.name();
    let position: i64 = sqlx::query_scalar(&format!("select max(position) - 1 from es.{name}"))
        .fetch_one(&mut *owner)
        .await?;
    let reached: i64 = sqlx::query_scalar(
        "select max(checkpoint) from es.projections where (name like 'telemetry%') = ($1 = 'telemetry')",
    )
    .bind(name)
    .fetch_one(&mut *owner)
    .await?;
    anyhow::ensure!(
        reached < position,
        "nothing of the {name} log was left to be projected"
    );
    owner
        .execute(&*format!(
            "create table public.removed_{name} as select * from es.{name} where position = {position};
             delete from es.{name} where position = {position}"
        ))
        .await
        .context("remove an event")?;
    Ok(position)
}

/// Until every projection has stopped in front of the gap, or one has gone past it. Whoever meets it stops and gives its
/// shards back, so a shard that nobody has taken since says nothing.
async fn wait(owner: &mut PgConnection, log: Log, position: i64) -> Result<bool> {
    let name = log.name();
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let met: Met = sqlx::query_as(
            "select count(distinct (name, version)) as projections,
                    count(distinct (name, version)) filter (where status = 'stopped' and last_error like $2) as stopped,
                    count(distinct (name, version)) filter (where checkpoint >= $3) as beyond
             from es.projections where (name like 'telemetry%') = ($1 = 'telemetry')",
        )
        .bind(name)
        .bind(format!("%{name} log is not contiguous: position {position} was expected%"))
        .bind(position)
        .fetch_one(&mut *owner)
        .await?;
        let Met {
            projections,
            stopped,
            beyond,
        } = met;
        if beyond == 0 && stopped == projections {
            say(&format!(
                "ok        19  {stopped} projections stopped at position {position}, which was removed from the {name} log"
            ))?;
            return Ok(true);
        }
        if beyond > 0 || Instant::now() > deadline {
            say(&format!(
                "FAIL      19  position {position} was removed from the {name} log: of {projections} projections {stopped} \
                 stopped there and {beyond} went past it"
            ))?;
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
}
