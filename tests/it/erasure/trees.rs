//! The trees that keys derive from: made once, whoever comes first, and punctured by several at a time.

use event_store::vault::{KeyCopies, Vault, VaultError};
use event_store::{Place, Role, connect};
use futures::future::{join_all, try_join_all};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;
use uuid::Uuid;

use super::{BEFORE_TREES, about, erased, key_file, opened, put_own_keys, sealed};
use crate::support::{OTHER_TENANT, TENANT};

fn people(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

#[tokio::test]
async fn all_who_make_a_tree_at_once_make_the_same_one() {
    let world = World::new().await;
    let (event, people) = (Uuid::now_v7(), people(40));
    let vaults: Vec<Vault> = (0..4).map(|_| world.vault()).collect();
    let sealing = vaults
        .iter()
        .map(|vault| join_all(people.iter().map(|one| sealed(vault, event, *one))));
    let payloads = join_all(sealing).await;
    let fresh = world.vault();
    for payloads in payloads {
        for (person, payload) in people.iter().zip(payloads) {
            let opened = opened(&fresh, event, payload).await.unwrap();
            assert_eq!(opened, about(*person));
        }
    }
}

/// Of the same trees, which only one of them can replace at a time.
#[tokio::test]
async fn processes_that_erase_at_once_lose_nobody_and_keep_nobody() {
    let world = World::new().await;
    let (vault, event, people) = (world.vault(), Uuid::now_v7(), people(120));
    let mut payloads = Vec::new();
    for person in &people {
        payloads.push(sealed(&vault, event, *person).await);
    }
    let (gone, kept) = people.split_at(60);
    let vaults: Vec<Vault> = (0..3).map(|_| world.vault()).collect();
    let erasing = vaults
        .iter()
        .zip(gone.chunks(20))
        .map(|(vault, some)| vault.erase(TENANT, some));
    try_join_all(erasing).await.unwrap();
    // Whoever came in another's way finishes with the next round.
    for _ in 0..2 {
        world.vault().finish_erasures().await.unwrap();
    }
    let fresh = world.vault();
    let erasures = fresh.erasures(TENANT, gone).await.unwrap();
    assert_eq!(erasures.len(), gone.len());
    for erasure in &erasures {
        assert!(erasure.receipt.is_some(), "{erasure:?}");
    }
    for (person, payload) in people.iter().zip(payloads) {
        let opened = opened(&fresh, event, payload).await.unwrap();
        let expected = if kept.contains(person) {
            about(*person)
        } else {
            erased(*person)
        };
        assert_eq!(opened, expected);
    }
}

#[tokio::test]
async fn who_had_a_key_of_their_own_before_there_were_trees_keeps_it() {
    let world = World::new().await;
    let event = Uuid::now_v7();
    let (anna, ben, carl, new) = (
        Uuid::now_v7(),
        Uuid::now_v7(),
        Uuid::now_v7(),
        Uuid::now_v7(),
    );
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    keys.execute(BEFORE_TREES).await.unwrap();
    let whose = [(TENANT, anna), (TENANT, ben), (OTHER_TENANT, carl)];
    put_own_keys(&mut keys, &key_file(&world), &whose).await;
    migrations::keys(&world.keys_url).await.unwrap();
    let vault = world.vault();
    let of_anna = sealed(&vault, event, anna).await;
    let of_ben = sealed(&vault, event, ben).await;
    let of_new = sealed(&vault, event, new).await;
    let mut of_carl = about(carl);
    vault.seal(OTHER_TENANT, event, &mut of_carl).await.unwrap();

    // The last one of an account was erased before.
    let erase =
        "update keys.subject set wrapped_key = null, erased_at = now() where subject_id = $1";
    sqlx::query(erase)
        .bind(carl)
        .execute(&mut keys)
        .await
        .unwrap();
    let trees = "delete from keys.subject where holds = 'tree' and tenant_id = '00000000-0000-0000-0000-000000002222';
                 delete from keys.tree where tenant_id = '00000000-0000-0000-0000-000000002222';
                 create table trees as table keys.tree;
                 create table holds as select subject_id, holds from keys.subject";
    keys.execute(trees).await.unwrap();
    keys.execute(BEFORE_TREES).await.unwrap();
    migrations::keys(&world.keys_url).await.unwrap();
    let trees = "insert into keys.tree table trees;
                 update keys.subject s set holds = h.holds from holds h where h.subject_id = s.subject_id";
    keys.execute(trees).await.unwrap();
    let vault = world.vault();
    for person in people(60) {
        let mut payload = about(person);
        vault.seal(OTHER_TENANT, event, &mut payload).await.unwrap();
    }
    vault.open(OTHER_TENANT, event, &mut of_carl).await.unwrap();
    assert_eq!(of_carl, erased(carl));
    let refused = vault.seal(OTHER_TENANT, event, &mut about(carl)).await;
    assert!(matches!(refused, Err(VaultError::Erased(_))), "{refused:?}");

    vault.erase(TENANT, &[anna]).await.unwrap();
    for vault in [&vault, &world.vault()] {
        let opened = async |payload: &Value| opened(vault, event, payload.clone()).await.unwrap();
        assert_eq!(opened(&of_anna).await, erased(anna));
        assert_eq!(opened(&of_ben).await, about(ben));
        assert_eq!(opened(&of_new).await, about(new));
    }
}

/// A restore would lose whatever was sealed by it.
#[tokio::test]
async fn nothing_is_sealed_by_a_tree_that_is_not_copied() {
    let world = World::new().await;
    let event = Uuid::now_v7();
    sealed(&world.vault(), event, Uuid::now_v7()).await;
    let elsewhere = Place::folder(&world.key_file().with_file_name("elsewhere")).unwrap();
    let stray = Vault::new(
        connect(&world.keys_url, Role::Vault, 4).unwrap(),
        std::sync::Arc::new(key_file(&world)),
        KeyCopies::new(elsewhere),
    );
    let subject = Uuid::now_v7();
    let refused = stray.seal(OTHER_TENANT, event, &mut about(subject)).await;
    assert!(
        matches!(refused, Err(VaultError::OtherCopies)),
        "{refused:?}"
    );
    // Nor by the same one once its key is there, before it is copied.
    let again = stray.seal(OTHER_TENANT, event, &mut about(subject)).await;
    assert!(matches!(again, Err(VaultError::OtherCopies)), "{again:?}");
    let vault = world.vault();
    let mut payload = about(subject);
    vault.seal(OTHER_TENANT, event, &mut payload).await.unwrap();
}
