use serde_json::Value;

use super::{Bucket, borrowed, done, refused};
use crate::backups::{elsewhere, migrated};
use crate::part::{Part, until};

#[tokio::test]
async fn what_was_backed_up_to_a_bucket_comes_back_unless_it_was_altered_there() {
    let (mut world, _) = migrated().await;
    let bucket = Bucket::new().await;
    super::seals::fill(&world, 100).await;
    let mut environment = bucket.everything();
    environment.push(("PROOFLINE_BACKUP_EVERY_HOURS", "1".to_owned()));
    let part = Part::start("write-api", &world, &borrowed(&environment)).await;
    part.shows("anchored", |metrics| {
        metrics.value(&super::seals::anchored(&bucket)) == Some(100.0)
    })
    .await;
    let list = async || -> Value {
        let listed = done(&world, &bucket, &["backup", "list", "--json"]).await;
        serde_json::from_str(&listed).unwrap()
    };
    let is_made = async || list().await["backups"][0]["id"].is_string();
    until(is_made, || "no backup".to_owned()).await;
    part.stop().await;
    let listed = list().await;
    let backup = &listed["backups"][0];
    let (id, log) = (
        backup["id"].as_str().unwrap(),
        backup["events"]["log"].as_str().unwrap(),
    );
    let verified = done(&world, &bucket, &["backup", "verify"]).await;
    assert_eq!(verified.matches("ok ").count(), 2, "{verified}");

    elsewhere(&mut world);
    let dump = format!("backups/{id}/events.dump");
    let written = bucket.get(&dump).await.unwrap();
    let mut altered = written.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    bucket.put(&dump, altered).await;
    for arguments in [&["backup", "verify", id][..], &["backup", "restore"]] {
        let said = refused(&world, &bucket, arguments).await;
        assert!(said.contains("is not what was written"), "{said}");
    }
    bucket.put(&dump, written).await;
    let restored = done(&world, &bucket, &["backup", "restore"]).await;
    assert!(restored.contains(log), "{restored}");
    let part = Part::start("write-api", &world, &borrowed(&bucket.everything())).await;
    part.shows("sealed", |metrics| {
        metrics.value("proofline_sealed_position") == Some(100.0)
    })
    .await;
    part.stop().await;
    let verify = ["audit", "verify", "--restored", log];
    let verified = done(&world, &bucket, &verify).await;
    assert!(
        verified.contains("compared   positions 1 to 100"),
        "{verified}"
    );

    let made = done(&world, &bucket, &["backup", "create"]).await;
    let newest = made.split_whitespace().next().unwrap();
    let keep = ["--backup-keep", "1d", "--key-backup-keep", "1d"];
    let prune = [&["backup", "prune"][..], &keep].concat();
    let pruned = done(&world, &bucket, &prune).await;
    assert_eq!(pruned.matches(id).count(), 2, "with its keys: {pruned}");
    assert_eq!(bucket.place("backups").folders().await.unwrap(), [newest]);
}

/// Copies of keys are where the key database says that they are, or no key is destroyed.
#[tokio::test]
async fn keys_that_are_replaced_are_copied_to_their_bucket_and_to_no_other() {
    let (world, _) = migrated().await;
    let bucket = Bucket::new().await;
    super::seals::sealed(&world, &bucket).await;
    let named = bucket.get("keys/of/eu/place.txt").await;
    assert!(named.is_some(), "the signing key was copied");
    let typed = |keys: &str| {
        let key_file = world.key_file().display().to_string();
        let own = [
            "keys",
            "rotate",
            "--key-backups",
            keys,
            "--key-file",
            &key_file,
        ];
        own.map(str::to_owned)
    };
    let rotate = async |keys: &str| {
        let typed = typed(keys);
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let keys_url = ["--keys-database-url", &world.keys_url];
        super::replay(&world, &bucket, &[&typed[..], &keys_url].concat()).await
    };
    let other = rotate(&bucket.location("elsewhere")).await;
    assert!(!other.status.success(), "{other:?}");
    assert!(super::said(&other).contains("place"), "{other:?}");
    let own = rotate(&bucket.location("keys/of/eu/")).await;
    assert!(own.status.success(), "{}", super::said(&own));
    let copies = bucket.place("keys/of/eu").list(&"rewrapped".into()).await;
    assert!(copies.unwrap().len() > 1);
    let taken = done(&world, &bucket, &["backup", "take-copies"]).await;
    assert!(taken.contains("0 from copies; 0 can't"), "{taken}");
}
