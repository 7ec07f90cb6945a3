//! A provider that can't be reached any more after some calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_store::vault::{Destroyed, KeyBucket, KeyProvider, ProviderError, SubjectKey};
use futures::future::BoxFuture;
use uuid::Uuid;

pub(super) struct Interrupted {
    calls_left: AtomicUsize,
    provider: Arc<dyn KeyProvider>,
}

impl Interrupted {
    pub(super) fn after(calls: usize, provider: Arc<dyn KeyProvider>) -> Arc<Self> {
        Arc::new(Self {
            calls_left: calls.into(),
            provider,
        })
    }

    fn or_fail<'a, T: Send + 'a>(
        &self,
        call: BoxFuture<'a, Result<T, ProviderError>>,
    ) -> BoxFuture<'a, Result<T, ProviderError>> {
        let one_less = |left: usize| left.checked_sub(1);
        let left = self
            .calls_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        match left {
            Ok(_) => call,
            Err(_) => Box::pin(async { Err(ProviderError::Unreachable("cut off".into())) }),
        }
    }
}

impl KeyProvider for Interrupted {
    fn current(&self, bucket: KeyBucket) -> BoxFuture<'_, Result<String, ProviderError>> {
        self.or_fail(self.provider.current(bucket))
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        self.or_fail(self.provider.wrap(key_id, subject, key))
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        self.or_fail(self.provider.unwrap(key_id, subject, wrapped))
    }

    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        self.or_fail(self.provider.holds(key_id))
    }

    fn renew<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<String, ProviderError>> {
        self.or_fail(self.provider.renew(key_id))
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Destroyed, ProviderError>> {
        self.or_fail(self.provider.destroy(key_id))
    }
}
