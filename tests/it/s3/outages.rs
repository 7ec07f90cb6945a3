use std::time::{Duration, Instant};

use event_store::Role;
use event_store::seal::{Anchor, Due, Sealer};
use tests::World;
use tests::proxy::Proxy;
use tokio::time::timeout;

use super::{Bucket, borrowed, done, refused, seals};
use crate::moto::{self, Moto};
use crate::part::{self, Part};

#[tokio::test]
async fn what_is_sealed_while_the_bucket_is_away_is_anchored_when_it_is_back() {
    let (world, bucket) = (World::new().await, Bucket::new().await);
    let proxy = Proxy::start(moto::url().replace("http://", ""))
        .await
        .unwrap();
    let behind = bucket.by(&format!("http://{}", proxy.address));
    seals::fill(&world, 10).await;
    let part = Part::start("write-api", &world, &borrowed(&behind.everything())).await;
    let anchored = seals::anchored(&bucket);
    part.shows("anchored", |metrics| metrics.value(&anchored) == Some(10.0))
        .await;
    // Nobody answers, and nobody refuses.
    proxy.hold();
    seals::fill(&world, 4_100).await;
    part.shows("sealed", |metrics| {
        metrics.value("proofline_sealed_position") == Some(4_096.0)
    })
    .await;
    assert_eq!(part.metrics().await.value(&anchored), Some(10.0));
    let failures = r#"proofline_seal_failures_total{step="anchor"}"#;
    let failed = |metrics: &crate::part::Metrics| metrics.value(failures);
    part.shows("given up", |metrics| failed(metrics) >= Some(1.0))
        .await;
    proxy.go_on();
    part.shows("anchored", |metrics| {
        metrics.value(&anchored) == Some(4_096.0)
    })
    .await;
    // What was on its way is cut off, again and again.
    seals::fill(&world, 4_096).await;
    for _ in 0..40 {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    part.shows("anchored", |metrics| {
        metrics.value(&anchored) == Some(8_192.0)
    })
    .await;
    let log = part.stop().await;
    let told =
        |line: &serde_json::Value| line.to_string().contains("could not be sealed or anchored");
    assert!(log.iter().any(told), "{log:?}");
    let shown = |line: &serde_json::Value| line.to_string().contains("not-to-be-shown");
    assert!(!log.iter().any(shown));
    let verified = done(&world, &bucket, &["audit", "verify"]).await;
    assert!(verified.contains("anchored   up to 8192"), "{verified}");
}

/// Whoever begins to seal asks the bucket what was signed, and nobody waits for that.
#[tokio::test]
async fn who_asks_a_bucket_that_says_nothing_keeps_nobody_else_from_sealing() {
    let (world, bucket) = (World::new().await, Bucket::new().await);
    let proxy = Proxy::start(moto::url().replace("http://", ""))
        .await
        .unwrap();
    let behind = bucket.by(&format!("http://{}", proxy.address));
    let pool = world.pool(Role::Sealer);
    let sealer = |bucket: &Bucket| {
        let anchor = Anchor::new(bucket.place("anchor"));
        Sealer::new(pool.clone(), world.vault(), vec![anchor])
    };
    let (one, other) = (sealer(&bucket), sealer(&behind));
    seals::fill(&world, 10).await;
    assert_eq!(one.seal(Due::Now).await.unwrap(), 10);
    one.anchor().await.unwrap();
    seals::fill(&world, 10).await;
    proxy.hold();
    let mut asking = tokio::spawn(async move { other.seal(Due::Now).await });
    let asked = timeout(Duration::from_secs(1), &mut asking).await;
    assert!(asked.is_err(), "{asked:?}");
    for to in [20, 30, 40] {
        let sealed = timeout(Duration::from_secs(5), one.seal(Due::Now)).await;
        assert_eq!(sealed.expect("it waits for nobody").unwrap(), to);
        one.anchor().await.unwrap();
        seals::fill(&world, 10).await;
    }
    assert!(!asking.is_finished());
    // It asks again about what was signed meanwhile, and signs what is left.
    proxy.go_on();
    assert_eq!(asking.await.unwrap().unwrap(), 50);
    assert_eq!(one.seal(Due::Now).await.unwrap(), 50);
    one.anchor().await.unwrap();
    let verified = done(&world, &bucket, &["audit", "verify"]).await;
    assert!(verified.contains("anchored   up to 50"), "{verified}");
}

/// Why `write-api` did not start.
async fn does_not_start(world: &World, bucket: &Bucket) -> String {
    let began = Instant::now();
    let said = part::does_not_start("write-api", world, bucket.everything()).await;
    assert!(!said.contains("not-to-be-shown"), "{said}");
    eprintln!("after {:?}: {said}", began.elapsed());
    said
}

#[tokio::test]
async fn nobody_starts_on_a_bucket_that_is_not_there_or_lets_nobody_in_or_can_t_be_asked() {
    let world = World::new().await;
    let nowhere = Bucket {
        name: "nobody-made-this".to_owned(),
        endpoint: moto::url(),
    };
    for said in [
        does_not_start(&world, &nowhere).await,
        refused(&world, &nowhere, &["backup", "list"]).await,
        refused(&world, &nowhere, &["audit", "verify"]).await,
    ] {
        assert!(said.contains("s3://nobody-made-this"), "{said}");
        assert!(
            said.contains("is not there, or not for us to list"),
            "{said}"
        );
        assert!(said.contains("NoSuchBucket"), "{said}");
    }
    let strict = Moto::start(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]);
    let denied = does_not_start(&world, &nowhere.by(&strict.url)).await;
    assert!(denied.contains("403 Forbidden"), "{denied}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // It takes connections and says nothing.
    let silent = does_not_start(&world, &nowhere.by(&address)).await;
    assert!(
        silent.contains("nothing is served before that is known"),
        "{silent}"
    );
    assert!(silent.contains("s3://nobody-made-this/anchor"), "{silent}");
    drop(listener);
    let away = does_not_start(&world, &nowhere.by(&address)).await;
    assert!(
        away.contains("nothing is served before that is known"),
        "{away}"
    );
}
