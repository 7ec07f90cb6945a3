//! What seals cost: appending while the log is sealed and holds personal data, and comparing a log with what was signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use event_store::seal::{Anchor, Audit, Due, Sealer};
use event_store::{Location, NewEvent, Role, Store, connect};
use proofline::config::Connections;
use proofline::secrets::Secrets;
use proofline::write_side;
use serde_json::json;
use uuid::Uuid;

use crate::load::{Caller, Measured};
use crate::ours;

/// One event in so many holds personal data, of somebody new.
const PERSONAL: usize = 5;
const CONNECTIONS: u32 = 2;

/// Of the log in this database; no two of them share an anchor.
pub(crate) async fn sealer(
    connections: &Connections,
    database_url: &str,
    anchor: &Location,
) -> Result<Sealer> {
    let secrets = Secrets::open(connections).await?;
    let anchor = Anchor::open(anchor).await?;
    Ok(Sealer::new(
        connect(database_url, Role::Sealer, CONNECTIONS)?,
        write_side::vault(connections, &secrets).await?,
        vec![anchor],
    ))
}

/// What was appended was sealed while it was, but for the last second's.
pub(crate) async fn ensure_sealed_meanwhile(
    database_url: &str,
    before: i64,
    appended: &Measured,
) -> Result<()> {
    let pool = connect(database_url, Role::Sealer, 1)?;
    let sealed: i64 = sqlx::query_scalar("select max(size) from es.tree_heads")
        .fetch_one(&pool)
        .await?;
    let (sealed, appended) = (sealed - before, appended.units());
    ensure!(
        sealed.cast_unsigned() > appended / 2,
        "of {appended} events {sealed} were sealed meanwhile"
    );
    Ok(())
}

/// Compares every event of a log with what was signed for it.
pub(crate) async fn audit(
    sealer: &Sealer,
    database_url: &str,
    anchor: &Location,
) -> Result<Measured> {
    sealer.seal(Due::Now).await?;
    sealer.anchor().await?;
    let audit = Audit {
        pool: &connect(database_url, Role::Sealer, CONNECTIONS)?,
        anchors: &[Anchor::open(anchor).await?],
        origin: None,
        restored: &[],
    };
    let began = Instant::now();
    let verdict = audit.verify(1, None, |_, _| ()).await?;
    let took = began.elapsed();
    ensure!(
        verdict.is_clean(),
        "the log is not what was sealed: {:?}",
        verdict.findings
    );
    ensure!(verdict.to == verdict.head, "only a part was sealed");
    Ok(Measured::bulk(u64::try_from(verdict.to)?, took))
}

/// One event into a new stream each; some hold personal data.
#[derive(Clone)]
pub(crate) struct PersonalCaller {
    store: Store,
    event: NewEvent,
    calls: Arc<AtomicUsize>,
}

impl PersonalCaller {
    pub(crate) fn new(store: Store, event: NewEvent) -> Self {
        Self {
            store,
            event,
            calls: Arc::default(),
        }
    }
}

impl Caller for PersonalCaller {
    async fn call(&mut self) -> Result<u64> {
        let mut event = self.event.clone();
        if self
            .calls
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(PERSONAL)
        {
            let buyer = json!({ "first_name": "Anna", "last_name": "Schmidt", "email": "anna.schmidt@example.com" });
            let envelope = json!({ "$pii": { "subject": Uuid::now_v7(), "value": buyer } });
            let fields = event
                .payload
                .as_object_mut()
                .context("a payload is an object")?;
            fields.insert("buyer".to_owned(), envelope);
        }
        self.store
            .append(ours::append(event, Uuid::now_v7(), 0))
            .await?;
        Ok(1)
    }
}
