//! Everything that can be read, behind one handle.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::account::ApiKey;
use domain::{AccountId, ApiKeyId, EmbedKey, SiteId};
use event_store::vault::Vault;
use event_store::{LogName, NotedAccess, Token};
use sqlx::PgPool;

use crate::accounts::Accounts;
use crate::audit::{self, AccessFilter, AuditError, AuditPage, AuditQuery};
use crate::event_stream::EventStream;
use crate::positions::{PositionError, Positions, Waited};
use crate::projection::Projection;
use crate::proof_feed::{self, Feed};
use crate::read::{AsOf, Page, ReadError, ReadTx};
use crate::served::Served;
use crate::telemetry_counters::{CounterReads, Counters};
use crate::telemetry_facts::{self, Analytics, Interval};

/// The read side's queries. Cheap to clone.
///
/// Lists and single rows are read in a [`ReadTx`], by the functions of [`crate::site_list`],
/// [`crate::notification_list`] and [`crate::integration_list`].
#[derive(Clone)]
pub struct Reads {
    pub(crate) reader: PgPool,
    pub(crate) compliance: PgPool,
    pub(crate) vault: Vault,
    pub(crate) accounts: Accounts,
    pub(crate) counters: CounterReads,
    pub(crate) clickhouse: clickhouse::Client,
    pub(crate) served: Served,
    pub(crate) positions: Positions,
    pub(crate) events: EventStream,
}

impl Reads {
    /// A snapshot of the account's rows in these read models.
    pub async fn begin(
        &self,
        account: AccountId,
        models: &[Projection],
    ) -> Result<ReadTx, ReadError> {
        ReadTx::begin(&self.reader, account, models).await
    }

    /// What the pages of the site with this embed key may show. `None` where no site has it.
    pub async fn feed(
        &self,
        embed_key: &EmbedKey,
        now: DateTime<Utc>,
    ) -> Result<Option<AsOf<Feed>>, ReadError> {
        proof_feed::feed(&self.reader, &self.vault, embed_key, now).await
    }

    /// The site's counters. The caller has made sure that the site is the account's.
    pub async fn counters(
        &self,
        site: SiteId,
        now: DateTime<Utc>,
    ) -> Result<AsOf<Counters>, ReadError> {
        self.counters.read(site, now).await
    }

    /// The site's telemetry from the hour of `start` up to `end`, exclusive, by when it happened.
    pub async fn analytics(
        &self,
        account: AccountId,
        site: SiteId,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        interval: Interval,
    ) -> Result<AsOf<Analytics>, ReadError> {
        let version = self.served.version(Projection::TelemetryFacts).await?;
        // Asked before the rows are, so that it never claims more than they hold.
        let position = self
            .positions
            .of(Projection::TelemetryFacts, version)
            .await
            .map_err(ReadError::Position)?;
        let value = telemetry_facts::analytics(
            &self.clickhouse,
            version,
            account,
            site,
            start,
            end,
            interval,
        )
        .await?;
        Ok(AsOf { value, position })
    }

    /// A page of what happened in the account.
    pub async fn audit(
        &self,
        account: AccountId,
        query: &AuditQuery,
    ) -> Result<AsOf<AuditPage>, AuditError> {
        audit::page(&self.compliance, account, query).await
    }

    /// Who opened the account's personal data, newest first; `before` is the id of the last one known.
    pub async fn accesses(
        &self,
        account: AccountId,
        filter: &AccessFilter,
        before: Option<i64>,
        limit: u16,
    ) -> Result<AsOf<Page<NotedAccess>>, AuditError> {
        audit::accesses(&self.compliance, account, filter, before, limit).await
    }

    /// The account's API key, while it is valid; a revocation counts within two seconds.
    pub async fn api_key(
        &self,
        account: AccountId,
        key: ApiKeyId,
    ) -> Result<Option<ApiKey>, ReadError> {
        self.accounts.api_key(account, key).await
    }

    /// Waits, at most `timeout`, until the projections have reached the token; see [`Positions::wait_for`].
    pub async fn wait_for(
        &self,
        projections: &[Projection],
        token: Token,
        timeout: Duration,
    ) -> Result<Waited, PositionError> {
        self.positions.wait_for(projections, token, timeout).await
    }

    /// The last position of the domain log.
    pub async fn position(&self) -> Result<Token, ReadError> {
        let last = self.positions.last(LogName::Events).await;
        last.map_err(ReadError::Position)
    }

    /// How far the projections are.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Events as they happen.
    pub fn events(&self) -> &EventStream {
        &self.events
    }
}
