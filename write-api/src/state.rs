//! What handlers share.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use commands::Commands;
use domain::DataRegion;
use platform::auth::Authenticate;
use platform::rate_limit::{Quota, RateLimit};
use platform::signed::Signer;

/// Cheap to clone.
#[derive(Clone)]
pub struct WriteState(Arc<Shared>);

pub struct Shared {
    pub(crate) commands: Commands,
    pub(crate) impressions: Signer,
    pub(crate) exports: Signer,
    pub(crate) limits: Limits,
    pub(crate) other_regions: BTreeMap<DataRegion, String>,
    authenticate: Arc<dyn Authenticate>,
}

/// How much the public routes take, and where what belongs elsewhere is taken. Trusted proxies, which decide what a network is, are set once for both APIs in
/// [`platform::serve::Ops`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteConfig {
    /// Requests to `/collect` from one network.
    pub collect_requests_per_network: Quota,
    /// Events to `/collect` with tokens of one site.
    pub collect_events_per_site: Quota,
    /// Deliveries to `/hooks` from one network, which may be that of a shop system with many shops.
    pub hook_deliveries_per_network: Quota,
    /// Deliveries to `/hooks` that one integration's secret has signed.
    pub hook_deliveries_per_integration: Quota,
    /// The platforms of other regions, by their URLs, without a slash at the end.
    pub other_regions: BTreeMap<DataRegion, String>,
}

pub(crate) struct Limits {
    pub(crate) collect_network: RateLimit,
    pub(crate) collect_site: RateLimit,
    pub(crate) hook_network: RateLimit,
    pub(crate) hook_integration: RateLimit,
}

impl WriteState {
    /// `impressions` is the signer that the read side makes impression tokens with, `exports` that by which whoever serves
    /// exports knows their links.
    pub fn new(
        commands: Commands,
        authenticate: Arc<dyn Authenticate>,
        impressions: Signer,
        exports: Signer,
        config: WriteConfig,
    ) -> Self {
        Self(Arc::new(Shared {
            commands,
            impressions,
            exports,
            limits: Limits::new(&config),
            other_regions: config.other_regions,
            authenticate,
        }))
    }
}

impl Default for WriteConfig {
    fn default() -> Self {
        Self {
            collect_requests_per_network: Quota::new(200, 2_000),
            collect_events_per_site: Quota::new(5_000, 50_000),
            hook_deliveries_per_network: Quota::new(500, 2_000),
            hook_deliveries_per_integration: Quota::new(100, 1_000),
            other_regions: BTreeMap::new(),
        }
    }
}

impl Limits {
    fn new(config: &WriteConfig) -> Self {
        Self {
            collect_network: RateLimit::new("collect-network", config.collect_requests_per_network),
            collect_site: RateLimit::new("collect-site", config.collect_events_per_site),
            hook_network: RateLimit::new("hooks-network", config.hook_deliveries_per_network),
            hook_integration: RateLimit::new(
                "hooks-integration",
                config.hook_deliveries_per_integration,
            ),
        }
    }
}

impl Deref for WriteState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<WriteState> for Arc<dyn Authenticate> {
    fn from_ref(state: &WriteState) -> Self {
        state.authenticate.clone()
    }
}
