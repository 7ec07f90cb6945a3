//! What is copied of keys before what wrapped them is destroyed, and what comes back by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event_store::seal::{Due, Sealer};
use event_store::vault::{KeyCopies, KeyProvider as _, Vault, VaultError};
use event_store::{Place, Role, connect};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;
use uuid::Uuid;

use super::{BEFORE_TREES, Faulty, about, another, erased, key_file, opened, put_own_keys, sealed};
use crate::support::{BACK_KEYS_UP, PUT_KEYS_BACK, TENANT, append};

/// Erased again and again, so that the same keys are wrapped anew several times; the copies are of every time.
#[tokio::test]
async fn an_old_backup_of_keys_and_the_copies_since_then_open_everybody_who_was_not_erased() {
    let world = World::new().await;
    let (vault, event) = (world.vault(), Uuid::now_v7());
    let subjects: Vec<Uuid> = (0..300).map(|_| Uuid::now_v7()).collect();
    let mut payloads = Vec::new();
    for subject in &subjects {
        payloads.push(sealed(&vault, event, *subject).await);
    }
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    keys.execute(BACK_KEYS_UP).await.unwrap();
    let (gone, kept) = subjects.split_at(30);
    for some in gone.chunks(10) {
        vault.erase(TENANT, some).await.unwrap();
    }
    keys.execute(PUT_KEYS_BACK).await.unwrap();
    let opens = async |vault: &Vault| {
        let mut opens = Vec::new();
        for (subject, payload) in subjects.iter().zip(&payloads) {
            match opened(vault, event, payload.clone()).await {
                Ok(payload) if payload == about(*subject) => opens.push(*subject),
                Ok(payload) => assert_eq!(payload, erased(*subject)),
                Err(_) => {}
            }
        }
        opens
    };
    assert!(
        opens(&world.vault()).await.len() < kept.len(),
        "the backup alone is not enough"
    );
    let restored = world.vault();
    let taken = restored.take_copies().await.unwrap();
    assert!(taken.keys > 0 && taken.lost == 0, "{taken:?}");
    assert_eq!(opens(&restored).await, kept);
    assert_eq!(
        restored.take_copies().await.unwrap().keys,
        0,
        "nothing is left to take"
    );
    // As whoever starts next does, by the anchor.
    let erasures = restored.erase(TENANT, gone).await.unwrap();
    assert!(erasures.iter().all(|erasure| erasure.receipt.is_some()));
    assert_eq!(opens(&world.vault()).await, kept);
}

/// Whoever came after the backup was made is no worse off.
#[tokio::test]
async fn a_tree_that_no_backup_has_is_in_the_copies() {
    let world = World::new().await;
    let (vault, event) = (world.vault(), Uuid::now_v7());
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    keys.execute(BACK_KEYS_UP).await.unwrap();
    let (anna, ben) = (Uuid::now_v7(), Uuid::now_v7());
    let (of_anna, of_ben) = (
        sealed(&vault, event, anna).await,
        sealed(&vault, event, ben).await,
    );
    keys.execute(PUT_KEYS_BACK).await.unwrap();
    let restored = world.vault();
    let missing = opened(&restored, event, of_anna.clone()).await;
    assert!(
        matches!(missing, Err(VaultError::KeyMissing(_))),
        "{missing:?}"
    );
    restored.take_copies().await.unwrap();
    for (subject, payload) in [(anna, of_anna), (ben, of_ben)] {
        let opened = opened(&restored, event, payload).await.unwrap();
        assert_eq!(opened, about(subject));
    }
}

/// A machine is lost between the copying of a tree that somebody was taken out of and the destruction of what wrapped the tree
/// before; the backup has that one, or none at all.
#[tokio::test]
async fn no_earlier_generation_of_a_tree_outlives_a_restore() {
    for backed_up_first in [false, true] {
        let world = World::new().await;
        let event = Uuid::now_v7();
        let provider = Arc::new(Faulty::new(key_file(&world)));
        let vault = another(&world, provider.clone());
        let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
        if backed_up_first {
            keys.execute(BACK_KEYS_UP).await.unwrap();
        }
        let subjects: Vec<Uuid> = (0..40).map(|_| Uuid::now_v7()).collect();
        let mut payloads = Vec::new();
        for subject in &subjects {
            payloads.push(sealed(&vault, event, *subject).await);
        }
        if !backed_up_first {
            keys.execute(BACK_KEYS_UP).await.unwrap();
        }
        let wrapping_before = wrapping(&mut keys).await;
        provider.destroys.store(false, Ordering::SeqCst);
        let (gone, kept) = subjects.split_at(3);
        let begun = vault.erase(TENANT, gone).await.unwrap();
        assert!(begun.iter().all(|erasure| erasure.receipt.is_none()));
        let of_gone: BTreeSet<String> = begun
            .into_iter()
            .filter_map(|erasure| erasure.provider_key_id)
            .collect();
        assert!(!of_gone.is_empty() && of_gone.is_subset(&wrapping_before));
        keys.execute(PUT_KEYS_BACK).await.unwrap();

        let restored = another(&world, provider.clone());
        restored.take_copies().await.unwrap();
        let begun = restored.erase(TENANT, gone).await.unwrap();
        assert!(begun.iter().all(|erasure| erasure.receipt.is_none()));
        provider.destroys.store(true, Ordering::SeqCst);
        restored.finish_erasures().await.unwrap();
        let erasures = restored.erasures(TENANT, gone).await.unwrap();
        assert!(erasures.iter().all(|erasure| erasure.receipt.is_some()));
        let file = key_file(&world);
        for key_id in &of_gone {
            assert!(
                !file.holds(key_id).await.unwrap(),
                "{key_id} still opens a tree that they were in"
            );
        }
        for (subject, payload) in subjects.iter().zip(payloads) {
            let expected = if kept.contains(subject) {
                about(*subject)
            } else {
                erased(*subject)
            };
            let opened = opened(&world.vault(), event, payload).await.unwrap();
            assert_eq!(opened, expected, "{backed_up_first}");
        }
    }
}

/// The provider's keys that wrap something.
async fn wrapping(keys: &mut PgConnection) -> BTreeSet<String> {
    let wrapping: Vec<String> = sqlx::query_scalar(
        "select distinct provider_key_id from keys.subject where wrapped_key is not null",
    )
    .fetch_all(keys)
    .await
    .unwrap();
    wrapping.into_iter().collect()
}

/// Of two people of one tree, one after the other, what wrapped the first generation is destroyed last.
#[tokio::test]
async fn nobody_is_certified_while_an_earlier_generation_of_their_tree_opens() {
    let world = World::new().await;
    let event = Uuid::now_v7();
    let provider = Arc::new(Faulty::new(key_file(&world)));
    let vault = another(&world, provider.clone());
    let subjects: Vec<Uuid> = (0..200).map(|_| Uuid::now_v7()).collect();
    for subject in &subjects {
        sealed(&vault, event, *subject).await;
    }
    provider.destroys.store(false, Ordering::SeqCst);
    // So many that every tree has a new generation.
    vault.erase(TENANT, &subjects[..199]).await.unwrap();
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    let first: Vec<String> = sqlx::query_scalar(
        "update keys.provider_key set retired_at = null where retired_at is not null returning id",
    )
    .fetch_all(&mut keys)
    .await
    .unwrap();
    assert!(!first.is_empty());
    // As if each of them failed every time, and those of later generations do not.
    provider.destroys.store(true, Ordering::SeqCst);
    let last = &subjects[199..];
    let erasures = vault.erase(TENANT, last).await.unwrap();
    let own = erasures[0].provider_key_id.clone().unwrap();
    assert!(!first.contains(&own) && !key_file(&world).holds(&own).await.unwrap());
    assert_eq!(erasures[0].receipt, None, "{first:?}");

    let retire = "update keys.provider_key set retired_at = now() where id = any($1)";
    sqlx::query(retire)
        .bind(&first)
        .execute(&mut keys)
        .await
        .unwrap();
    vault.finish_erasures().await.unwrap();
    let erasures = vault.erasures(TENANT, &subjects).await.unwrap();
    assert_eq!(erasures.len(), subjects.len());
    for erasure in erasures {
        assert!(erasure.receipt.is_some(), "{erasure:?}");
    }
}

/// A signing key that was replaced since the backup is gone with what wrapped it, and keeps nobody from being erased.
#[tokio::test]
async fn an_old_signing_key_that_comes_back_wrapped_by_nothing_holds_no_erasure_up() {
    let world = World::new().await;
    let (vault, event) = (world.vault(), Uuid::now_v7());
    world.store().await.append(append("s")).await.unwrap();
    let sealer = Sealer::new(world.pool(Role::Sealer), vault.clone(), Vec::new());
    sealer.seal(Due::Now).await.unwrap();
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    // One of so many accounts has a tree whose key is wrapped by what wraps the signing key.
    let mut subjects = Vec::new();
    let (tenant, beside) = loop {
        let (tenant, subject) = (Uuid::now_v7(), Uuid::now_v7());
        vault
            .seal(tenant, event, &mut about(subject))
            .await
            .unwrap();
        subjects.push((tenant, subject));
        let shared: Option<Uuid> = sqlx::query_scalar(
            "select s.tenant_id from keys.subject s join keys.subject seed using (provider_key_id)
             where seed.tenant_id = $1 and s.tenant_id <> $1 limit 1",
        )
        .bind(Uuid::nil())
        .fetch_optional(&mut keys)
        .await
        .unwrap();
        let shared = shared.and_then(|tenant| subjects.iter().find(|(one, _)| *one == tenant));
        if let Some(shared) = shared {
            break *shared;
        }
    };
    keys.execute(BACK_KEYS_UP).await.unwrap();
    sealer.rotate().await.unwrap();
    vault.erase(tenant, &[beside]).await.unwrap();
    keys.execute(PUT_KEYS_BACK).await.unwrap();
    let restored = world.vault();
    restored.take_copies().await.unwrap();
    // Whoever signs next knows which signing key is the last.
    world.store().await.append(append("t")).await.unwrap();
    let sealer = Sealer::new(world.pool(Role::Sealer), restored.clone(), Vec::new());
    sealer.seal(Due::Now).await.unwrap();
    let erased = restored.erase(tenant, &[beside]).await.unwrap();
    assert!(erased[0].receipt.is_some(), "{erased:?}");
}

/// They are all own keys, of people who came after the backup was made.
#[tokio::test]
async fn copies_from_before_there_were_trees_are_taken() {
    let world = World::new().await;
    let (event, people): (_, Vec<Uuid>) =
        (Uuid::now_v7(), (0..3).map(|_| Uuid::now_v7()).collect());
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    keys.execute(BACK_KEYS_UP).await.unwrap();
    keys.execute(BEFORE_TREES).await.unwrap();
    let whose: Vec<(Uuid, Uuid)> = people.iter().map(|person| (TENANT, *person)).collect();
    put_own_keys(&mut keys, &key_file(&world), &whose).await;
    migrations::keys(&world.keys_url).await.unwrap();
    let vault = world.vault();
    let mut payloads = Vec::new();
    for person in &people {
        payloads.push(sealed(&vault, event, *person).await);
    }
    vault.erase(TENANT, &people[..1]).await.unwrap();
    let copies = as_before_trees(&world);
    assert_eq!(copies, 2, "of the two who are left");
    keys.execute(PUT_KEYS_BACK).await.unwrap();
    keys.execute("truncate keys.individual").await.unwrap();

    let restored = world.vault();
    let taken = restored.take_copies().await.unwrap();
    assert_eq!((taken.keys, taken.lost), (2, 0));
    // Whoever comes now has a key from a tree, whichever tree it is.
    for _ in 0..60 {
        sealed(&restored, event, Uuid::now_v7()).await;
    }
    let fresh = world.vault();
    for (person, payload) in people.iter().zip(payloads).skip(1) {
        let opened = opened(&fresh, event, payload).await.unwrap();
        assert_eq!(opened, about(*person));
    }
}

/// Rewrites every copy as the version of then. Answers how many keys they hold.
fn as_before_trees(world: &World) -> usize {
    let folder = world
        .key_file()
        .with_file_name("key-backups")
        .join("rewrapped");
    let mut keys = 0;
    for wrapped_by in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(wrapped_by.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut copied: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let trees = copied.as_object_mut().unwrap().remove("trees").unwrap();
            let of_trees: Vec<&Value> = trees
                .as_array()
                .unwrap()
                .iter()
                .map(|tree| &tree["key"])
                .collect();
            let own = copied["keys"].as_array_mut().unwrap();
            own.retain(|key| !of_trees.contains(&&key["subject"]));
            keys += own.len();
            copied["version"] = json!(1);
            std::fs::write(&path, copied.to_string()).unwrap();
        }
    }
    keys
}

#[tokio::test]
async fn no_key_is_destroyed_whose_survivors_would_be_copied_to_another_place() {
    let world = World::new().await;
    let (vault, event) = (world.vault(), Uuid::now_v7());
    let subjects: Vec<Uuid> = (0..200).map(|_| Uuid::now_v7()).collect();
    for subject in &subjects {
        sealed(&vault, event, *subject).await;
    }
    vault.erase(TENANT, &subjects[..1]).await.unwrap();
    let elsewhere = Place::folder(&world.key_file().with_file_name("elsewhere")).unwrap();
    let stray = Vault::new(
        connect(&world.keys_url, Role::Vault, 4).unwrap(),
        Arc::new(key_file(&world)),
        KeyCopies::new(elsewhere),
    );
    let begun = stray.erase(TENANT, &subjects[1..8]).await.unwrap();
    assert!(
        begun.iter().all(|erasure| erasure.receipt.is_none()),
        "{begun:?}"
    );
    let refused = stray.finish_erasures().await;
    assert!(
        matches!(refused, Err(VaultError::OtherCopies)),
        "{refused:?}"
    );
    // Whoever was given the same place finishes it.
    world.vault().finish_erasures().await.unwrap();
    let finished = vault.erasures(TENANT, &subjects[..8]).await.unwrap();
    assert!(
        finished.iter().all(|erasure| erasure.receipt.is_some()),
        "{finished:?}"
    );
}
