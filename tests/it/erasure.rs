//! Keys that are destroyed: what was sealed under them opens no more, and everybody else's does.

mod copies;
mod trees;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use event_store::vault::{
    Destroyed, KeyBucket, KeyProvider, LocalKeyFile, ProviderError, SubjectKey, Vault, VaultError,
};
use event_store::{Role, connect};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::World;
use uuid::Uuid;

use crate::support::{OTHER_TENANT, TENANT};

fn about(subject: Uuid) -> Value {
    json!({ "buyer": { "$pii": { "subject": subject, "value": { "name": format!("Anna {subject}") } } } })
}

async fn sealed(vault: &Vault, event: Uuid, subject: Uuid) -> Value {
    let mut payload = about(subject);
    vault.seal(TENANT, event, &mut payload).await.unwrap();
    payload
}

async fn opened(vault: &Vault, event: Uuid, mut payload: Value) -> Result<Value, VaultError> {
    vault.open(TENANT, event, &mut payload).await?;
    Ok(payload)
}

fn erased(subject: Uuid) -> Value {
    json!({ "buyer": { "$pii": { "subject": subject } } })
}

/// A vault as another process has it, over the same key file.
fn another(world: &World, provider: Arc<dyn KeyProvider>) -> Vault {
    Vault::new(
        connect(&world.keys_url, Role::Vault, 4).unwrap(),
        provider,
        tests::key_copies(&world.key_file()).unwrap(),
    )
}

fn key_file(world: &World) -> LocalKeyFile {
    LocalKeyFile::open_or_create(&world.key_file()).unwrap()
}

/// The key database as builds from before there were trees have it.
const BEFORE_TREES: &str = "drop table keys.tree, keys.individual;
     drop index keys.subject_to_puncture, keys.successor_by_heir;
     alter table keys.subject drop column holds;
     delete from _sqlx_migrations where version >= 20261122000060";

/// As those builds made them, all of one bucket.
async fn put_own_keys(keys: &mut PgConnection, provider: &LocalKeyFile, whose: &[(Uuid, Uuid)]) {
    let wrapped_by = provider.current(KeyBucket(3)).await.unwrap();
    sqlx::query("insert into keys.provider_key (id) values ($1)")
        .bind(&wrapped_by)
        .execute(&mut *keys)
        .await
        .unwrap();
    for (tenant, person) in whose {
        let key = SubjectKey::from_slice(&rand::random::<[u8; 32]>()).unwrap();
        let stored =
            "insert into keys.subject (subject_id, tenant_id, bucket, provider_key_id, wrapped_key)
                      values ($1, $2, 3, $3, $4)";
        sqlx::query(stored)
            .bind(person)
            .bind(tenant)
            .bind(&wrapped_by)
            .bind(provider.wrap(&wrapped_by, *person, &key).await.unwrap())
            .execute(&mut *keys)
            .await
            .unwrap();
    }
}

/// What a backup of the key database would hold: subject, the provider's name of the key, and the wrapped bytes.
async fn backup(world: &World) -> Vec<(Uuid, String, Vec<u8>)> {
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    sqlx::query_as(
        "select subject_id, provider_key_id, wrapped_key from keys.subject where wrapped_key is not null",
    )
    .fetch_all(&mut keys)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_was_sealed_for_an_erased_subject_opens_no_more_and_everybody_elses_does() {
    let world = World::new().await;
    let vault = world.vault();
    let event = Uuid::now_v7();
    // Enough that they have many trees between them.
    let subjects: Vec<Uuid> = (0..300).map(|_| Uuid::now_v7()).collect();
    let mut payloads = Vec::new();
    for subject in &subjects {
        payloads.push(sealed(&vault, event, *subject).await);
    }
    let gone = &subjects[..4];
    let wrapped_before = backup(&world).await;
    let erasures = vault.erase(TENANT, gone).await.unwrap();
    assert_eq!(erasures.len(), gone.len());
    let destroyed: BTreeSet<String> = erasures
        .iter()
        .map(|erasure| {
            assert!(erasure.final_at.is_some() && erasure.receipt.is_some());
            erasure.provider_key_id.clone().unwrap()
        })
        .collect();

    for vault in [&vault, &world.vault()] {
        for (subject, payload) in subjects.iter().zip(&payloads) {
            let expected = if gone.contains(subject) {
                erased(*subject)
            } else {
                about(*subject)
            };
            assert_eq!(
                opened(vault, event, payload.clone()).await.unwrap(),
                expected
            );
        }
        let refused = vault.seal(TENANT, event, &mut about(gone[0])).await;
        assert!(matches!(refused, Err(VaultError::Erased(_))), "{refused:?}");
    }
    // Bytes that were copied before are of no use to whoever asks the provider, for whomever they were.
    let provider = key_file(&world);
    let mut useless = 0;
    for (subject, key_id, wrapped) in &wrapped_before {
        let unwrapped = provider.unwrap(key_id, *subject, wrapped).await;
        if destroyed.contains(key_id) {
            assert!(
                matches!(unwrapped, Err(ProviderError::UnknownKey(_))),
                "{unwrapped:?}"
            );
            useless += 1;
        } else {
            assert!(unwrapped.is_ok());
        }
    }
    assert!(
        useless > 0 && useless < wrapped_before.len(),
        "some trees have a new key, and others the same"
    );
    assert_eq!(backup(&world).await.len(), wrapped_before.len());
    // Once more is the same.
    assert_eq!(vault.erase(TENANT, gone).await.unwrap(), erasures);
}

#[tokio::test]
async fn another_process_forgets_the_key_of_a_subject_that_was_erased_here() {
    let world = World::new().await;
    let (here, there) = (world.vault(), world.vault());
    let (event, subject) = (Uuid::now_v7(), Uuid::now_v7());
    let payload = sealed(&here, event, subject).await;
    assert_eq!(
        opened(&there, event, payload.clone()).await.unwrap(),
        about(subject)
    );
    here.erase(TENANT, &[subject]).await.unwrap();
    there.evict_erased(DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(
        opened(&there, event, payload).await.unwrap(),
        erased(subject)
    );
}

/// Nobody tells it: it looks for who was erased.
#[tokio::test]
async fn another_process_finds_out_by_itself_who_was_erased() {
    let world = World::new().await;
    let (here, there) = (world.vault(), world.vault());
    let (event, gone, kept) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for subject in [gone, kept] {
        sealed(&there, event, subject).await;
    }
    here.erase(TENANT, &[gone]).await.unwrap();
    // A key is cached for five minutes.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match there.seal(TENANT, event, &mut about(gone)).await {
            Err(VaultError::Erased(_)) => break,
            sealed => assert!(Instant::now() < deadline, "{sealed:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sealed(&there, event, kept).await;
}

#[tokio::test]
async fn a_subject_of_whom_nothing_is_known_is_erased_too_and_nothing_can_be_sealed_for_it() {
    let world = World::new().await;
    let vault = world.vault();
    let subject = Uuid::now_v7();
    let erasures = vault.erase(TENANT, &[subject]).await.unwrap();
    assert!(erasures[0].receipt.is_some(), "{erasures:?}");
    let refused = world
        .vault()
        .seal(TENANT, Uuid::now_v7(), &mut about(subject))
        .await;
    assert!(matches!(refused, Err(VaultError::Erased(_))), "{refused:?}");
}

#[tokio::test]
async fn a_subject_of_another_account_is_not_erased() {
    let world = World::new().await;
    let vault = world.vault();
    let (event, subject, own) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let payload = sealed(&vault, event, subject).await;
    vault.erase(TENANT, &[own]).await.unwrap();
    let refused = vault.erase(OTHER_TENANT, &[own, subject]).await;
    assert!(
        matches!(refused, Err(VaultError::ForeignSubject(_))),
        "{refused:?}"
    );
    // The same id has another key there.
    vault.erase(OTHER_TENANT, &[subject]).await.unwrap();
    assert_eq!(
        opened(&world.vault(), event, payload).await.unwrap(),
        about(subject)
    );
    assert!(
        vault
            .erasures(OTHER_TENANT, &[own])
            .await
            .unwrap()
            .is_empty()
    );
}

/// The local key file, which can be made to fail.
struct Faulty {
    file: LocalKeyFile,
    renews: AtomicBool,
    wraps: AtomicBool,
    destroys: AtomicBool,
    /// Whether it says that it destroyed a key.
    tells: AtomicBool,
}

impl Faulty {
    fn new(file: LocalKeyFile) -> Self {
        Self {
            file,
            renews: AtomicBool::new(true),
            wraps: AtomicBool::new(true),
            destroys: AtomicBool::new(true),
            tells: AtomicBool::new(true),
        }
    }
}

fn if_works<'a, T: Send + 'a>(
    works: &AtomicBool,
    call: BoxFuture<'a, Result<T, ProviderError>>,
) -> BoxFuture<'a, Result<T, ProviderError>> {
    if works.load(Ordering::SeqCst) {
        call
    } else {
        Box::pin(async { Err(ProviderError::Refused) })
    }
}

impl KeyProvider for Faulty {
    fn current(&self, bucket: KeyBucket) -> BoxFuture<'_, Result<String, ProviderError>> {
        self.file.current(bucket)
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        if_works(&self.wraps, self.file.wrap(key_id, subject, key))
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        self.file.unwrap(key_id, subject, wrapped)
    }

    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        self.file.holds(key_id)
    }

    fn renew<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<String, ProviderError>> {
        if_works(&self.renews, self.file.renew(key_id))
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Destroyed, ProviderError>> {
        let works = self.destroys.load(Ordering::SeqCst);
        let tells = self.tells.load(Ordering::SeqCst);
        Box::pin(async move {
            if !works {
                return Err(ProviderError::Refused);
            }
            let destroyed = self.file.destroy(key_id).await?;
            if tells {
                Ok(destroyed)
            } else {
                Err(ProviderError::Refused)
            }
        })
    }
}

/// Cut short after any of its steps, an erasure holds from the first on, loses nobody's key, and is finished later.
#[tokio::test]
async fn an_erasure_that_was_cut_short_holds_and_is_finished_later() {
    for broken in ["renew", "wrap", "destroy", "tell"] {
        let world = World::new().await;
        let event = Uuid::now_v7();
        let subjects: Vec<Uuid> = (0..200).map(|_| Uuid::now_v7()).collect();
        let provider = Arc::new(Faulty::new(key_file(&world)));
        let vault = another(&world, provider.clone());
        let mut payloads = Vec::new();
        for subject in &subjects {
            payloads.push(sealed(&vault, event, *subject).await);
        }
        let fault = match broken {
            "renew" => &provider.renews,
            "wrap" => &provider.wraps,
            "destroy" => &provider.destroys,
            _ => &provider.tells,
        };
        fault.store(false, Ordering::SeqCst);
        // Several, so that there is somebody beside them under the same wrapping keys.
        let (gone, kept) = subjects.split_at(8);
        let begun = vault.erase(TENANT, gone).await.unwrap();
        assert!(
            begun.len() == gone.len() && begun.iter().any(|erasure| erasure.receipt.is_none()),
            "{broken}: {begun:?}"
        );

        let other = world.vault();
        for (subject, payload) in gone.iter().zip(&payloads) {
            let opened = opened(&other, event, payload.clone()).await.unwrap();
            assert_eq!(opened, erased(*subject), "{broken}");
        }
        let erasures = other.erasures(TENANT, gone).await.unwrap();
        assert_eq!(erasures.len(), gone.len());
        assert!(
            erasures.iter().any(|erasure| erasure.receipt.is_none()),
            "{broken}"
        );
        for _ in 0..2 {
            other.finish_erasures().await.unwrap();
        }
        let erasures = other.erasures(TENANT, gone).await.unwrap();
        assert!(
            erasures.iter().all(|erasure| erasure.receipt.is_some()),
            "{broken}"
        );
        let fresh = world.vault();
        for (subject, payload) in kept.iter().zip(&payloads[gone.len()..]) {
            assert_eq!(
                opened(&fresh, event, payload.clone()).await.unwrap(),
                about(*subject)
            );
        }
    }
}

/// Whatever connection the pool kept.
#[tokio::test]
async fn who_comes_after_every_connection_broke_has_a_key_all_the_same() {
    let world = World::new().await;
    let (vault, event) = (world.vault(), Uuid::now_v7());
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    for _ in 0..3 {
        let subject = Uuid::now_v7();
        let payload = sealed(&vault, event, subject).await;
        let other = world.vault();
        assert_eq!(
            opened(&other, event, payload).await.unwrap(),
            about(subject)
        );
        let broken: Vec<bool> = sqlx::query_scalar(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_all(&mut keys)
        .await
        .unwrap();
        assert!(!broken.is_empty());
    }
}

/// New subjects come in all the while, in two processes; not one of them is left under a key that was destroyed.
#[tokio::test]
async fn nobody_who_comes_while_keys_are_destroyed_is_lost_with_them() {
    let world = World::new().await;
    let event = Uuid::now_v7();
    let eraser = world.vault();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let vault = world.vault();
        for _ in 0..4 {
            let (vault, stop) = (vault.clone(), stop.clone());
            writers.spawn(async move {
                let mut written = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let subject = Uuid::now_v7();
                    written.push((subject, sealed(&vault, event, subject).await));
                    tokio::task::yield_now().await;
                }
                written
            });
        }
    }
    for _ in 0..30 {
        // A few at once, so that many wrapping keys are renewed in all.
        let subjects: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
        for subject in &subjects {
            sealed(&eraser, event, *subject).await;
        }
        eraser.erase(TENANT, &subjects).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let fresh = world.vault();
    let mut count = 0;
    while let Some(written) = writers.join_next().await {
        for (subject, payload) in written.unwrap() {
            assert_eq!(
                opened(&fresh, event, payload).await.unwrap(),
                about(subject)
            );
            count += 1;
        }
    }
    assert!(count > 100, "only {count} came in between");
}
