//! Aggregates that were folded or appended to lately. A stale one is harmless: the version check of an append and the
//! confirmation of a refusal find it out.

use std::any::Any;
use std::sync::Arc;

use cqrs_es::Aggregate;
use event_store::Loaded;
use uuid::Uuid;

const AGGREGATES_MAX: u64 = 20_000;

type Key = (&'static str, Uuid, String);

#[derive(Clone)]
pub(crate) struct AggregateCache {
    entries: moka::sync::Cache<Key, Arc<dyn Any + Send + Sync>>,
}

impl AggregateCache {
    pub(crate) fn new() -> Self {
        Self {
            entries: moka::sync::Cache::new(AGGREGATES_MAX),
        }
    }

    /// Keyed by tenant too, so that another tenant's command never finds it.
    pub(crate) fn get<A: Aggregate + 'static>(
        &self,
        tenant: Uuid,
        id: &str,
    ) -> Option<Arc<Loaded<A>>> {
        let entry = self.entries.get(&(A::TYPE, tenant, id.to_owned()));
        let outcome = if entry.is_some() { "hit" } else { "miss" };
        metrics::counter!("proofline_aggregate_cache_total", "outcome" => outcome).increment(1);
        entry.and_then(|entry| entry.downcast().ok())
    }

    pub(crate) fn put<A: Aggregate + 'static>(
        &self,
        tenant: Uuid,
        id: &str,
        loaded: Arc<Loaded<A>>,
    ) {
        self.entries
            .insert((A::TYPE, tenant, id.to_owned()), loaded);
    }

    pub(crate) fn forget<A: Aggregate>(&self, tenant: Uuid, id: &str) {
        self.entries.invalidate(&(A::TYPE, tenant, id.to_owned()));
    }
}
