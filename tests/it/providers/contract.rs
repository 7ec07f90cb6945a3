//! What all of them keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use event_store::vault::{KeyBucket, ProviderError, SubjectKey};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::interrupted::Interrupted;
use super::{Held, about, erased, opened, sealed};
use crate::support::{BACK_KEYS_UP, PUT_KEYS_BACK, TENANT};

/// The same tests for each of them.
macro_rules! of_each {
    ($($test:ident),* $(,)?) => {
        mod file { $(#[tokio::test] async fn $test() { super::$test(super::Held::by_file().await).await; })* }
        mod aws_kms { $(#[tokio::test] async fn $test() { super::$test(super::Held::by_aws_kms().await).await; })* }
        mod vault { $(#[tokio::test] async fn $test() { super::$test(super::Held::by_vault().await).await; })* }
    };
}

of_each! {
    what_was_wrapped_opens_unaltered_and_for_its_own_subject_only,
    a_key_is_renewed_once_and_all_agree_on_it,
    a_key_in_use_is_not_destroyed_and_a_destroyed_one_opens_nothing,
    nothing_opens_for_who_was_erased_and_everything_for_the_others,
    a_process_that_knows_old_keys_only_goes_on_with_new_ones,
    who_reads_while_keys_are_destroyed_finds_everybody_else,
    an_erasure_that_was_cut_short_anywhere_is_finished_later,
    every_key_can_be_rotated_and_nobody_is_lost,
    an_old_key_database_and_the_copies_since_open_everybody_who_was_not_erased,
}

fn key() -> SubjectKey {
    SubjectKey::from_slice(&rand::random::<[u8; 32]>()).unwrap()
}

fn people(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

async fn what_was_wrapped_opens_unaltered_and_for_its_own_subject_only(held: Held) {
    let (provider, another) = (held.provider(), held.provider());
    let (subject, key) = (Uuid::now_v7(), key());
    let key_id = provider.current(KeyBucket(7)).await.unwrap();
    let wrapped = provider.wrap(&key_id, subject, &key).await.unwrap();
    let unwrapped = another.unwrap(&key_id, subject, &wrapped).await.unwrap();
    assert_eq!(unwrapped.expose(), key.expose());
    let again = provider.wrap(&key_id, subject, &key).await.unwrap();
    assert_ne!(wrapped, again);

    let of_another = provider.unwrap(&key_id, Uuid::now_v7(), &wrapped).await;
    assert!(
        matches!(of_another, Err(ProviderError::Refused)),
        "{of_another:?}"
    );
    let mut altered = wrapped.clone();
    *altered.last_mut().unwrap() ^= 1;
    for altered in [&altered[..], &wrapped[..wrapped.len() - 1]] {
        let refused = provider.unwrap(&key_id, subject, altered).await;
        assert!(
            matches!(refused, Err(ProviderError::Refused)),
            "{refused:?}"
        );
    }
}

async fn a_key_is_renewed_once_and_all_agree_on_it(held: Held) {
    let (here, there) = (held.provider(), held.provider());
    let bucket = KeyBucket(5);
    let (first, same) = tokio::join!(here.current(bucket), there.current(bucket));
    let first = first.unwrap();
    assert_eq!(first, same.unwrap());
    // Buckets that share a key, and one that does not.
    assert_eq!(first, here.current(KeyBucket(5 + 64)).await.unwrap());
    assert_ne!(first, here.current(KeyBucket(6)).await.unwrap());

    let (subject, key) = (Uuid::now_v7(), key());
    let wrapped = here.wrap(&first, subject, &key).await.unwrap();
    let (second, same) = tokio::join!(here.renew(&first), there.renew(&first));
    let second = second.unwrap();
    assert_ne!(first, second);
    assert_eq!(second, same.unwrap());
    assert_eq!(second, there.renew(&first).await.unwrap());
    for provider in [&here, &there, &held.provider()] {
        assert_eq!(second, provider.current(bucket).await.unwrap());
    }
    let unwrapped = there.unwrap(&first, subject, &wrapped).await.unwrap();
    assert_eq!(unwrapped.expose(), key.expose());
    let unknown = here.renew("00000000-0000-0000-0000-000000000000").await;
    assert!(
        matches!(unknown, Err(ProviderError::UnknownKey(_))),
        "{unknown:?}"
    );
}

async fn a_key_in_use_is_not_destroyed_and_a_destroyed_one_opens_nothing(held: Held) {
    let provider = held.provider();
    let (subject, key) = (Uuid::now_v7(), key());
    let old = provider.current(KeyBucket(0)).await.unwrap();
    let wrapped = provider.wrap(&old, subject, &key).await.unwrap();
    let refused = provider.destroy(&old).await;
    assert!(
        matches!(refused, Err(ProviderError::InUse(_))),
        "{refused:?}"
    );

    let new = provider.renew(&old).await.unwrap();
    let began = platform::clock::now();
    let destroyed = provider.destroy(&old).await.unwrap();
    assert!(destroyed.receipt.contains(&old), "{destroyed:?}");
    let late = destroyed.final_at - (began + held.grace());
    assert!(late.abs() < TimeDelta::minutes(1), "{destroyed:?}");
    for provider in [&provider, &held.provider()] {
        let gone = provider.unwrap(&old, subject, &wrapped).await;
        assert!(
            matches!(gone, Err(ProviderError::UnknownKey(_))),
            "{gone:?}"
        );
        let gone = provider.wrap(&old, subject, &key).await;
        assert!(
            matches!(gone, Err(ProviderError::UnknownKey(_))),
            "{gone:?}"
        );
        assert!(!provider.holds(&old).await.unwrap() && provider.holds(&new).await.unwrap());
        let again = provider.destroy(&old).await.unwrap();
        assert!(
            (again.final_at - destroyed.final_at).abs() < TimeDelta::minutes(1),
            "{again:?}"
        );
        provider.wrap(&new, subject, &key).await.unwrap();
    }
}

async fn nothing_opens_for_who_was_erased_and_everything_for_the_others(held: Held) {
    let vault = held.vault();
    let people = people(60);
    let mut payloads = BTreeMap::new();
    for person in &people {
        payloads.insert(*person, sealed(&vault, *person).await);
    }
    let copied = wrapped(&held).await;
    let gone = &people[..6];
    let erasures = vault.erase(TENANT, gone).await.unwrap();
    let destroyed: BTreeSet<&str> = erasures
        .iter()
        .map(|erasure| {
            assert!(erasure.receipt.is_some(), "{erasure:?}");
            erasure.provider_key_id.as_deref().unwrap()
        })
        .collect();
    all_open_but(&held, &payloads, gone).await;

    let provider = held.provider();
    for (person, key_id, wrapped) in &copied {
        let opens = provider.unwrap(key_id, *person, wrapped).await;
        assert_eq!(opens.is_err(), destroyed.contains(&**key_id), "{opens:?}");
    }
    assert_eq!(vault.erase(TENANT, gone).await.unwrap(), erasures);
}

async fn a_process_that_knows_old_keys_only_goes_on_with_new_ones(held: Held) {
    let (here, there) = (held.vault(), held.vault());
    let mut payloads = BTreeMap::new();
    // Enough that it knows most keys.
    for person in people(120) {
        payloads.insert(person, sealed(&there, person).await);
    }
    let gone: Vec<Uuid> = payloads.keys().take(40).copied().collect();
    let erasures = here.erase(TENANT, &gone).await.unwrap();
    assert!(erasures.iter().all(|erasure| erasure.receipt.is_some()));
    for person in people(120) {
        payloads.insert(person, sealed(&there, person).await);
    }
    all_open_but(&held, &payloads, &gone).await;
}

async fn who_reads_while_keys_are_destroyed_finds_everybody_else(held: Held) {
    let vault = held.vault();
    let mut payloads = BTreeMap::new();
    for person in people(40) {
        payloads.insert(person, sealed(&vault, person).await);
    }
    let people: Vec<Uuid> = payloads.keys().copied().collect();
    let (gone, kept) = people.split_at(20);
    let erased = AtomicBool::new(false);
    let erasing = async {
        for some in gone.chunks(4) {
            vault.erase(TENANT, some).await.unwrap();
        }
        erased.store(true, Ordering::SeqCst);
    };
    let reading = async {
        while !erased.load(Ordering::SeqCst) {
            // It has no key at hand.
            let fresh = held.vault();
            for person in kept {
                assert_eq!(opened(&fresh, &payloads[person]).await, about(*person));
            }
        }
    };
    tokio::join!(erasing, reading);
    all_open_but(&held, &payloads, gone).await;
}

async fn an_erasure_that_was_cut_short_anywhere_is_finished_later(held: Held) {
    let sealing = held.vault();
    let mut payloads = BTreeMap::new();
    for person in people(80) {
        payloads.insert(person, sealed(&sealing, person).await);
    }
    let people: Vec<Uuid> = payloads.keys().copied().collect();
    let (mut gone, mut cuts) = (Vec::new(), 0);
    // One after the other: from the taking out of the tree to the destruction of what wrapped it.
    for (calls, person) in people.iter().enumerate() {
        gone.push(*person);
        let cut = Interrupted::after(calls, held.provider());
        let vault = held.vault_with(cut);
        let begun = vault.erase(TENANT, &[*person]).await.unwrap();
        let is_cut = begun[0].receipt.is_none();
        if is_cut {
            cuts += 1;
            let failed = vault.finish_erasures().await.unwrap_err();
            assert!(failed.is_transient(), "{failed:?}");
        }
        all_open_but(&held, &payloads, &gone).await;

        let other = held.vault();
        other.finish_erasures().await.unwrap();
        let erasures = other.erasures(TENANT, &[*person]).await.unwrap();
        assert!(erasures[0].receipt.is_some(), "{calls}: {erasures:?}");
        all_open_but(&held, &payloads, &gone).await;
        if !is_cut {
            break;
        }
    }
    assert!(
        (5..people.len()).contains(&cuts),
        "cut {cuts} times, and done in the end"
    );
}

async fn every_key_can_be_rotated_and_nobody_is_lost(held: Held) {
    let vault = held.vault();
    let mut payloads = BTreeMap::new();
    for person in people(60) {
        payloads.insert(person, sealed(&vault, person).await);
    }
    let before = wrapped(&held).await;
    let rotated = vault.rotate().await.unwrap();
    let old: BTreeSet<&str> = before.iter().map(|(_, key_id, _)| &**key_id).collect();
    assert_eq!(rotated, old.len());
    for (_, key_id, _) in wrapped(&held).await {
        assert!(!old.contains(&*key_id), "{key_id} still wraps");
    }
    let provider = held.provider();
    for (person, key_id, wrapped) in &before {
        let opens = provider.unwrap(key_id, *person, wrapped).await;
        assert!(
            matches!(opens, Err(ProviderError::UnknownKey(_))),
            "{opens:?}"
        );
    }
    all_open_but(&held, &payloads, &[]).await;
}

async fn an_old_key_database_and_the_copies_since_open_everybody_who_was_not_erased(held: Held) {
    let vault = held.vault();
    let mut payloads = BTreeMap::new();
    for person in people(60) {
        payloads.insert(person, sealed(&vault, person).await);
    }
    let mut owner = PgConnection::connect(&held.world.keys_url).await.unwrap();
    owner.execute(BACK_KEYS_UP).await.unwrap();
    let gone: Vec<Uuid> = payloads.keys().take(4).copied().collect();
    vault.erase(TENANT, &gone).await.unwrap();
    owner.execute(PUT_KEYS_BACK).await.unwrap();
    let renewed = "delete from keys.bucket_key where generation > 1";
    owner.execute(renewed).await.unwrap();

    let vault = held.vault();
    let taken = vault.take_copies().await.unwrap();
    assert!(taken.keys > 0, "{taken:?}");
    assert_eq!(taken.lost, 0);
    all_open_but(&held, &payloads, &gone).await;
    let erasures = vault.erase(TENANT, &gone).await.unwrap();
    assert!(erasures.iter().all(|erasure| erasure.receipt.is_some()));
    for person in people(60) {
        payloads.insert(person, sealed(&vault, person).await);
    }
    all_open_but(&held, &payloads, &gone).await;

    // And once more, before there was another backup.
    owner.execute(PUT_KEYS_BACK).await.unwrap();
    owner.execute(renewed).await.unwrap();
    let taken = held.vault().take_copies().await.unwrap();
    assert_eq!(taken.lost, 0);
    all_open_but(&held, &payloads, &gone).await;
}

/// What a backup of the key database would hold.
async fn wrapped(held: &Held) -> Vec<(Uuid, String, Vec<u8>)> {
    sqlx::query_as(
        "select subject_id, provider_key_id, wrapped_key from keys.subject where wrapped_key is not null",
    )
    .fetch_all(&held.keys())
    .await
    .unwrap()
}

async fn all_open_but(held: &Held, payloads: &BTreeMap<Uuid, Value>, gone: &[Uuid]) {
    let fresh = held.vault();
    for (person, payload) in payloads {
        let expected = if gone.contains(person) {
            erased(*person)
        } else {
            about(*person)
        };
        assert_eq!(opened(&fresh, payload).await, expected);
    }
}
