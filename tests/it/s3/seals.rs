use event_store::PlacePath;
use serde_json::json;
use tests::World;

use super::{Bucket, borrowed, done, refused};
use crate::part::Part;
use crate::support::{append, event};

const EVENTS: usize = 100;

/// So many events, sealed by a process that anchors them in a bucket.
pub(super) async fn sealed(world: &World, bucket: &Bucket) {
    fill(world, EVENTS).await;
    let environment = bucket.everything();
    let part = Part::start("write-api", world, &borrowed(&environment)).await;
    part.shows("anchored", |metrics| {
        metrics.value(&anchored(bucket)) == Some(EVENTS as f64)
    })
    .await;
    part.stop().await;
}

pub(super) async fn fill(world: &World, events: usize) {
    let mut append = append(&uuid::Uuid::now_v7().to_string());
    append.events = (0..events).map(|n| event(json!({ "n": n }))).collect();
    world.store().await.append(append).await.unwrap();
}

/// Under which name it is shown how far the anchor has come.
pub(super) fn anchored(bucket: &Bucket) -> String {
    let anchor = bucket.location("anchor");
    format!(r#"proofline_anchored_position{{anchor="{anchor}"}}"#)
}

#[tokio::test]
async fn what_was_anchored_in_a_bucket_is_compared_with_the_log_by_somebody_else() {
    let (world, bucket) = (World::new().await, Bucket::new().await);
    let location = bucket.location("anchor");
    let verify = ["audit", "verify", "--anchor", &location];
    let nothing = refused(&world, &bucket, &verify).await;
    assert!(nothing.contains("there is no anchor in s3://"), "{nothing}");
    // Where credentials do not belong they are not shown, either.
    let open = ["audit", "verify", "--anchor", "s3://AKIA:hid/den@seals"];
    let text = refused(&world, &bucket, &open).await;
    assert!(text.contains("AWS_ACCESS_KEY_ID"), "{text}");
    assert!(!text.contains("hid") && !text.contains("den@"), "{text}");

    sealed(&world, &bucket).await;
    let text = done(&world, &bucket, &verify).await;
    for line in [
        "compared   positions 1 to 100",
        "anchored   up to 100",
        "clean",
    ] {
        assert!(text.contains(line), "{text}");
    }
    // A process that has seen nothing of this yet asks the bucket, and goes on.
    for _ in 0..8 {
        fill(&world, 512).await;
    }
    let environment = bucket.everything();
    let part = Part::start("write-api", &world, &borrowed(&environment)).await;
    part.shows("anchored", |metrics| {
        metrics.value(&anchored(&bucket)) == Some(4_096.0)
    })
    .await;
    part.stop().await;
    // Who owns the database deletes an event, with every guard switched off and with what was signed for it.
    let mut owner = world.owner().await;
    let tampering = "set session_replication_role = replica;
         delete from es.events where position = 40;
         delete from es.anchored_heads; delete from es.tree_heads; delete from es.tree_tiles";
    sqlx::Executor::execute(&mut owner, tampering)
        .await
        .unwrap();
    let text = refused(&world, &bucket, &verify).await;
    assert!(text.contains("position 40 missing"), "{text}");
}

/// Somebody who may write to the bucket alters what stands there.
#[tokio::test]
async fn a_head_that_was_forged_in_the_bucket_is_named() {
    let (world, bucket) = (World::new().await, Bucket::new().await);
    sealed(&world, &bucket).await;
    let listed = bucket.place("anchor").list(&PlacePath::default()).await;
    let head = listed.unwrap().into_iter().find_map(|stored| {
        let path = stored.path.to_string();
        path.contains("/heads/").then_some(path)
    });
    let head = format!("anchor/{}", head.unwrap());
    let text = String::from_utf8(bucket.get(&head).await.unwrap()).unwrap();
    let signed_at = text.find("signed_at 2").unwrap();
    let forged = format!(
        "{}signed_at 1{}",
        &text[..signed_at],
        &text[signed_at + 11..]
    );
    bucket.put(&head, forged.into_bytes()).await;
    let text = refused(&world, &bucket, &["audit", "verify"]).await;
    assert!(text.contains("signed head at 100"), "{text}");
}
