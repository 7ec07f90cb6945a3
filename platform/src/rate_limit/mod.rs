//! Keyed rate limits (GCRA), with the headers of draft-ietf-httpapi-ratelimit-headers-10.

mod client_addr;

use std::{
    convert::Infallible,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue},
    response::{IntoResponseParts, ResponseParts},
};
use governor::{
    RateLimiter,
    clock::{Clock, MonotonicClock, Reference},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

pub use self::client_addr::{ClientAddr, TrustedProxies};
use crate::problem::{Problem, ProblemKind};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const KEYS_MAX: usize = 100_000;
/// Once full, this many buckets are shared by all keys.
const SHARED_BUCKETS: u64 = 1 << 14;
/// Checks between two looks at the number of keys, which takes every shard's lock.
const CHECKS_PER_LOOK: u64 = 256;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

type Limiter<C> = RateLimiter<u64, DashMapStateStore<u64>, C, StateInformationMiddleware>;

/// So many per second in the long run, and so many at once. Zeros count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub per_second: u32,
    pub burst: u32,
}

impl Quota {
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// One limit over many keys, such as "10 requests per second and network, 50 in a burst".
///
/// Keys are kept as 64-bit hashes under a random seed. Their number is bounded: a key that is back at its
/// full quota is forgotten, and while there are more than 100,000 busy keys all share 16,384 buckets, so
/// that a flood of keys takes neither the memory nor the limit away.
pub struct RateLimit<C: Clock = MonotonicClock> {
    name: &'static str,
    burst: u32,
    /// Whole seconds until one more request fits, at least 1.
    refill_s: u64,
    policy: HeaderValue,
    limiter: Limiter<C>,
    clock: C,
    hasher: RandomState,
    keys_max: usize,
    full: AtomicBool,
    checks: AtomicU64,
    swept: Mutex<C::Instant>,
}

impl RateLimit {
    /// `name` appears in the headers: lower-case letters, digits, `-`.
    #[must_use]
    pub fn new(name: &'static str, quota: Quota) -> Self {
        Self::with(name, quota, KEYS_MAX, MonotonicClock)
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    fn with(name: &'static str, quota: Quota, keys_max: usize, clock: C) -> Self {
        let per_second = NonZeroU32::new(quota.per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(quota.burst).unwrap_or(NonZeroU32::MIN);
        let window_s = burst.get().div_ceil(per_second.get());
        let quota = governor::Quota::per_second(per_second).allow_burst(burst);
        Self {
            name,
            burst: burst.get(),
            refill_s: seconds_up(quota.replenish_interval()),
            policy: header(format!(r#""{name}";q={burst};w={window_s}"#)),
            limiter: Limiter::new(quota, DashMapStateStore::default(), clock.clone()),
            swept: Mutex::new(clock.now()),
            clock,
            hasher: RandomState::new(),
            keys_max,
            full: AtomicBool::new(false),
            checks: AtomicU64::new(0),
        }
    }

    /// Counts one request against the key. Attach the headers to the answer: `Ok((headers, Json(..)))`.
    pub fn check(&self, key: impl Hash) -> Result<RateLimitHeaders, Problem> {
        self.check_n(key, NonZeroU32::MIN)
    }

    /// Counts `n` at once, all or none, such as the items of a batch. More than the burst counts as the whole burst, or
    /// it would never fit.
    pub fn check_n(&self, key: impl Hash, n: NonZeroU32) -> Result<RateLimitHeaders, Problem> {
        let check = self.checks.fetch_add(1, Ordering::Relaxed);
        if check.is_multiple_of(CHECKS_PER_LOOK) {
            self.bound_keys();
        }
        let key = self.hasher.hash_one(key);
        let bucket = if self.full.load(Ordering::Relaxed) {
            key % SHARED_BUCKETS
        } else {
            key
        };
        let n = NonZeroU32::new(n.get().min(self.burst)).unwrap_or(NonZeroU32::MIN);
        let Ok(checked) = self.limiter.check_key_n(&bucket, n) else {
            return Err(
                Problem::new(ProblemKind::Internal).internal(anyhow::anyhow!(
                    "{n} does not fit the burst of {}",
                    self.name
                )),
            );
        };
        match checked {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset_s = if remaining < self.burst {
                    self.refill_s
                } else {
                    0
                };
                Ok(self.headers(remaining, reset_s))
            }
            Err(not_until) => {
                let wait_s = seconds_up(not_until.wait_time_from(self.clock.now()));
                let headers = self.headers(0, wait_s);
                Err(Problem::new(ProblemKind::RateLimited)
                    .code(self.name)
                    .retry_after_s(u32::try_from(wait_s).unwrap_or(u32::MAX))
                    .header(POLICY, headers.policy)
                    .header(LIMIT, headers.limit))
            }
        }
    }

    fn headers(&self, remaining: u32, reset_s: u64) -> RateLimitHeaders {
        RateLimitHeaders {
            policy: self.policy.clone(),
            limit: header(format!(r#""{}";r={remaining};t={reset_s}"#, self.name)),
        }
    }

    /// Forget idle keys, at most once per interval; share buckets while too many are busy.
    fn bound_keys(&self) {
        let now = self.clock.now();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if Duration::from(now.duration_since(*swept)) < SWEEP_INTERVAL
            && self.limiter.len() < self.keys_max
        {
            return;
        }
        *swept = now;
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        let full = self.limiter.len() >= self.keys_max;
        self.full.store(full, Ordering::Relaxed);
    }
}

impl<C: Clock> fmt::Debug for RateLimit<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// `RateLimit-Policy` and `RateLimit`, to attach to an answer as a part of it.
#[derive(Clone, Debug)]
pub struct RateLimitHeaders {
    policy: HeaderValue,
    limit: HeaderValue,
}

impl IntoResponseParts for RateLimitHeaders {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        // Both are lists: an answer may carry several limits.
        parts.headers_mut().append(POLICY, self.policy);
        parts.headers_mut().append(LIMIT, self.limit);
        Ok(parts)
    }
}

fn seconds_up(duration: Duration) -> u64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    whole.max(1)
}

fn header(value: String) -> HeaderValue {
    // Names are our own literals, the rest is digits.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
