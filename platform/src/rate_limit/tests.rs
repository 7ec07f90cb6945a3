use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
    http::Request,
    routing::get,
};
use governor::clock::FakeRelativeClock;
use std::sync::Arc;

use super::*;
use crate::testing::send;

type FakeLimit = RateLimit<FakeRelativeClock>;

fn limit(per_second: u32, burst: u32, keys_max: usize) -> (Arc<FakeLimit>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let quota = Quota::new(per_second, burst);
    let limit = RateLimit::with("burst", quota, keys_max, clock.clone());
    (Arc::new(limit), clock)
}

fn router(limit: Arc<FakeLimit>) -> Router {
    async fn handler(
        State(limit): State<Arc<FakeLimit>>,
        client: ClientAddr,
    ) -> Result<(RateLimitHeaders, &'static str), Problem> {
        Ok((limit.check(client.network())?, "ok"))
    }
    Router::new().route("/", get(handler)).with_state(limit)
}

fn from(peer: &str) -> Request<Body> {
    let peer: SocketAddr = peer.parse().unwrap();
    Request::get("/")
        .extension(ConnectInfo(peer))
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn the_headers_count_down_to_a_429() {
    let (limit, clock) = limit(1, 3, 100);
    let router = router(limit);
    for remaining in ["2", "1", "0"] {
        let answer = send(&router, from("192.0.2.1:1")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"burst\";q=3;w=3");
        assert_eq!(
            answer.header("ratelimit"),
            format!("\"burst\";r={remaining};t=1")
        );
    }
    let refused = send(&router, from("192.0.2.1:1")).await;
    let problem = refused.problem(ProblemKind::RateLimited);
    assert_eq!(problem.code.as_deref(), Some("burst"));
    assert_eq!(refused.header("ratelimit-policy"), "\"burst\";q=3;w=3");
    assert_eq!(refused.header("ratelimit"), "\"burst\";r=0;t=1");
    assert_eq!(refused.header("retry-after"), "1");

    clock.advance(Duration::from_secs(1));
    assert_eq!(send(&router, from("192.0.2.1:1")).await.status, 200);
    assert_eq!(send(&router, from("192.0.2.1:1")).await.status, 429);
}

#[test]
fn a_batch_counts_as_many_as_it_holds() {
    let (limit, clock) = limit(10, 10, 100);
    let n = |n| std::num::NonZeroU32::new(n).unwrap();
    limit.check_n("site", n(7)).unwrap();
    limit.check_n("site", n(4)).unwrap_err();
    limit.check_n("site", n(3)).unwrap();
    limit.check_n("other", n(1_000)).unwrap();
    limit.check_n("other", n(1)).unwrap_err();
    clock.advance(Duration::from_secs(1));
    limit.check_n("other", n(1_000)).unwrap();
}

#[tokio::test]
async fn one_network_is_one_key() {
    let (limit, _clock) = limit(1, 1, 100);
    let router = router(limit);
    for (peer, status) in [
        ("192.0.2.1:1", 200),
        ("192.0.2.250:9", 429),
        ("[::ffff:192.0.2.7]:1", 429),
        ("192.0.3.1:1", 200),
        ("[2001:db8:1:1::1]:1", 200),
        ("[2001:db8:1:ffff::2]:1", 429),
        ("[2001:db8:2::1]:1", 200),
    ] {
        assert_eq!(send(&router, from(peer)).await.status, status, "{peer}");
    }
}

#[test]
fn idle_keys_are_forgotten() {
    let (limit, clock) = limit(10, 1, 1_000_000);
    for key in 0..10_000 {
        limit.check(key).unwrap();
    }
    assert!(limit.limiter.len() >= 9_000);
    clock.advance(Duration::from_secs(5));
    for key in 0..CHECKS_PER_LOOK {
        let _ = limit.check(("another", key));
    }
    assert!(
        limit.limiter.len() <= CHECKS_PER_LOOK as usize,
        "{}",
        limit.limiter.len()
    );
}

#[test]
fn a_flood_of_keys_is_bounded_and_still_limited() {
    let keys_max = 2_000;
    let (limit, clock) = limit(1, 1, keys_max);
    let mut allowed = 0;
    for key in 0..200_000 {
        allowed += usize::from(limit.check(key).is_ok());
    }
    let bound = keys_max + CHECKS_PER_LOOK as usize + SHARED_BUCKETS as usize;
    assert!(limit.limiter.len() <= bound, "{} keys", limit.limiter.len());
    assert!(allowed <= bound, "{allowed} allowed");

    // Once the flood is over, everybody has a bucket of their own again.
    clock.advance(Duration::from_secs(60));
    for key in 0..CHECKS_PER_LOOK {
        let _ = limit.check(key);
    }
    assert!(!limit.full.load(Ordering::Relaxed));
}

fn client(peer: &str, proxies: usize, forwarded: &[&str]) -> IpAddr {
    let mut request = from(peer);
    request.extensions_mut().insert(TrustedProxies(proxies));
    for value in forwarded {
        request
            .headers_mut()
            .append("x-forwarded-for", value.parse().unwrap());
    }
    let (parts, _) = request.into_parts();
    client_addr::ClientAddr::of(&parts).0
}

#[test]
fn forwarded_addresses_are_believed_as_far_as_our_proxies_wrote_them() {
    let peer = "10.0.0.1:1";
    for (proxies, forwarded, expected) in [
        (0, &["192.0.2.1"][..], "10.0.0.1"),
        (1, &["192.0.2.1"], "192.0.2.1"),
        (1, &["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (1, &["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        (2, &["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (2, &["192.0.2.1"], "192.0.2.1"),
        (1, &["192.0.2.1:4711"], "192.0.2.1"),
        (1, &["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, &["[2001:db8::1]"], "2001:db8::1"),
        (1, &["unknown"], "10.0.0.1"),
        (1, &[], "10.0.0.1"),
    ] {
        let expected: IpAddr = expected.parse().unwrap();
        assert_eq!(
            client(peer, proxies, forwarded),
            expected,
            "{proxies} {forwarded:?}"
        );
    }
}

#[test]
fn an_address_does_not_show_in_debug_output() {
    let client = ClientAddr("192.0.2.77".parse().unwrap());
    assert!(!format!("{client:?}").contains("77"));
}
