//! What is copied of keys before what wrapped them is destroyed, and what comes back by it.

use std::sync::Arc;

use event_store::seal::{Due, Sealer};
use event_store::vault::{KeyCopies, Vault, VaultError};
use event_store::{Place, Role, connect};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;
use uuid::Uuid;

use super::{about, erased, key_file, opened, sealed};
use crate::support::{TENANT, append};

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
    let backup = "create table backup as select * from keys.subject;
                  create table provider_backup as select * from keys.provider_key";
    keys.execute(backup).await.unwrap();
    let gone = &subjects[..30];
    for some in gone.chunks(10) {
        vault.erase(TENANT, some).await.unwrap();
    }
    let restore = "truncate keys.subject, keys.provider_key, keys.successor;
                   insert into keys.provider_key select * from provider_backup;
                   insert into keys.subject select * from backup";
    keys.execute(restore).await.unwrap();
    let lost = async || {
        let (restored, mut lost) = (world.vault(), Vec::new());
        for (subject, payload) in subjects.iter().zip(&payloads) {
            if opened(&restored, event, payload.clone()).await.is_err() {
                lost.push(*subject);
            }
        }
        lost
    };
    assert!(
        lost().await.len() > gone.len(),
        "the backup alone is not enough"
    );
    let restored = world.vault();
    let taken = restored.take_copies().await.unwrap();
    assert!(
        taken.keys > 0 && taken.lost == gone.len() as i64,
        "{taken:?}"
    );
    assert_eq!(lost().await, gone);
    assert_eq!(
        restored.take_copies().await.unwrap().keys,
        0,
        "nothing is left to take"
    );
    // As whoever starts next does, by the anchor.
    restored.erase(TENANT, gone).await.unwrap();
    for (subject, payload) in subjects.iter().zip(&payloads) {
        let expected = if gone.contains(subject) {
            erased(*subject)
        } else {
            about(*subject)
        };
        assert_eq!(
            opened(&restored, event, payload.clone()).await.unwrap(),
            expected
        );
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
    for _ in 0..200 {
        sealed(&vault, event, Uuid::now_v7()).await;
    }
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    let beside: Uuid = sqlx::query_scalar(
        "select s.subject_id from keys.subject s join keys.subject seed using (provider_key_id)
         where seed.tenant_id = $1 and s.tenant_id = $2 limit 1",
    )
    .bind(Uuid::nil())
    .bind(TENANT)
    .fetch_one(&mut keys)
    .await
    .unwrap();
    let backup = "create table backup as select * from keys.subject;
                  create table provider_backup as select * from keys.provider_key";
    keys.execute(backup).await.unwrap();
    sealer.rotate().await.unwrap();
    vault.erase(TENANT, &[beside]).await.unwrap();
    let restore = "truncate keys.subject, keys.provider_key, keys.successor;
                   insert into keys.provider_key select * from provider_backup;
                   insert into keys.subject select * from backup";
    keys.execute(restore).await.unwrap();
    let restored = world.vault();
    restored.take_copies().await.unwrap();
    // Whoever signs next knows which signing key is the last.
    world.store().await.append(append("t")).await.unwrap();
    let sealer = Sealer::new(world.pool(Role::Sealer), restored.clone(), Vec::new());
    sealer.seal(Due::Now).await.unwrap();
    let erased = restored.erase(TENANT, &[beside]).await.unwrap();
    assert!(erased[0].receipt.is_some(), "{erased:?}");
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
