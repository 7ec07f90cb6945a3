//! What handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use chrono::TimeDelta;
use domain::SiteId;
use platform::auth::{Authenticate, Caller, Reader};
use platform::rate_limit::{Quota, RateLimit};
use platform::signed::Signer;
use projections::{Projection, ReadTx, Reads, site_list};

use crate::answer;
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::stream::StreamSlots;

/// Cheap to clone.
#[derive(Clone)]
pub struct ReadState(Arc<Shared>);

pub struct Shared {
    pub(crate) reads: Reads,
    pub(crate) impressions: Signer,
    pub(crate) limits: Limits,
    pub(crate) streams: StreamSlots,
    pub(crate) config: ReadConfig,
    authenticate: Arc<dyn Authenticate>,
}

/// How long reads wait, how long shop pages may keep a feed, and how much the public routes take. Trusted proxies, which
/// decide what a network is, are set once for both APIs in [`platform::serve::Ops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadConfig {
    /// How long a read waits for the position that it was asked for.
    pub position_wait_max: Duration,
    /// `max-age` of the embed feed, and how long its tokens stay the same.
    pub feed_max_age_s: u32,
    /// Requests for feeds from one network.
    pub feed_requests_per_network: Quota,
    /// Requests for the feed of one embed key.
    pub feed_requests_per_site: Quota,
    /// Open event streams of one account.
    pub streams_per_account: usize,
    /// Between two signs of life on an event stream.
    pub stream_heartbeat: Duration,
    /// How far back an account's audit goes.
    pub audit_retention: TimeDelta,
}

pub(crate) struct Limits {
    pub(crate) feed_network: RateLimit,
    pub(crate) feed_site: RateLimit,
}

impl ReadState {
    /// `impressions` is the signer that the write side checks impression tokens with.
    pub fn new(
        reads: Reads,
        authenticate: Arc<dyn Authenticate>,
        impressions: Signer,
        config: ReadConfig,
    ) -> Self {
        Self(Arc::new(Shared {
            reads,
            impressions,
            limits: Limits::new(config),
            streams: StreamSlots::new(config.streams_per_account),
            config,
            authenticate,
        }))
    }
}

impl Shared {
    /// A transaction of the caller's account over models that have reached the position asked for.
    pub(crate) async fn begin<P>(
        &self,
        caller: &Caller<P>,
        min: MinPosition,
        models: &[Projection],
    ) -> Result<ReadTx, Failure> {
        min.reached(self, models).await?;
        Ok(self.reads.begin(caller.account.into(), models).await?)
    }

    /// A 404 unless the site is the caller's, for what is kept outside Postgres. `models` are those that the position
    /// asked for has to have reached.
    pub(crate) async fn check_site(
        &self,
        reader: &Reader,
        min: MinPosition,
        models: &[Projection],
        site: SiteId,
    ) -> Result<(), Failure> {
        min.reached(self, models).await?;
        let sites = &[Projection::SiteList];
        let mut tx = self.reads.begin(reader.account.into(), sites).await?;
        answer::found(site_list::get(&mut tx, site).await?)?;
        Ok(())
    }
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self {
            position_wait_max: Duration::from_secs(2),
            feed_max_age_s: 30,
            feed_requests_per_network: Quota::new(200, 2_000),
            feed_requests_per_site: Quota::new(1_000, 10_000),
            streams_per_account: 50,
            stream_heartbeat: Duration::from_secs(15),
            audit_retention: TimeDelta::days(2_557),
        }
    }
}

impl Limits {
    fn new(config: ReadConfig) -> Self {
        Self {
            feed_network: RateLimit::new("feed-network", config.feed_requests_per_network),
            feed_site: RateLimit::new("feed-site", config.feed_requests_per_site),
        }
    }
}

impl Deref for ReadState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<ReadState> for Arc<dyn Authenticate> {
    fn from_ref(state: &ReadState) -> Self {
        state.authenticate.clone()
    }
}
