//! What a provider that is far, away, or does not want to, means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::vault::{
    KeyBucket, KeyProvider, KeyService, ProviderError, RemoteKeys, SubjectKey,
};
use futures::future::join_all;
use key_providers::{Token, Transit};
use sqlx::Connection as _;
use tests::World;
use tests::proxy::Proxy;
use uuid::Uuid;

use super::vault_server::TOKEN;
use super::{Held, Holder, about, kms, opened, sealed, transit};
use crate::support::TENANT;

fn key() -> SubjectKey {
    SubjectKey::from_slice(&[7; 32]).unwrap()
}

fn server(held: &Held) -> &super::VaultServer {
    match &held.by {
        Holder::Vault(server) => server,
        Holder::File | Holder::AwsKms => panic!("nothing to seal"),
    }
}

#[tokio::test]
async fn a_vault_that_is_sealed_fails_for_a_while_and_loses_nobody() {
    let held = Held::by_vault().await;
    let vault = held.vault();
    let (anna, ben) = (Uuid::now_v7(), Uuid::now_v7());
    let (of_anna, of_ben) = (sealed(&vault, anna).await, sealed(&vault, ben).await);
    server(&held).seal(true);
    let fresh = held.vault();
    let mut payload = about(Uuid::now_v7());
    let failed = fresh.seal(TENANT, Uuid::nil(), &mut payload).await;
    assert!(failed.unwrap_err().is_transient());
    let failed = fresh
        .open(TENANT, Uuid::nil(), &mut of_anna.clone())
        .await
        .unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    // Who is erased meanwhile is gone at once; what wrapped their key, later.
    let erasures = vault.erase(TENANT, &[anna]).await.unwrap();
    assert_eq!(erasures[0].receipt, None);
    assert_eq!(opened(&vault, &of_anna).await, super::erased(anna));
    // The others' keys are at hand, as long as they are cached.
    assert_eq!(opened(&vault, &of_ben).await, about(ben));

    server(&held).seal(false);
    fresh.finish_erasures().await.unwrap();
    let erasures = fresh.erasures(TENANT, &[anna]).await.unwrap();
    assert!(erasures[0].receipt.is_some());
    assert_eq!(opened(&fresh, &of_ben).await, about(ben));
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_one_that_is_renewed_in_its_file_counts_at_once() {
    let held = Held::by_vault().await;
    let server = server(&held);
    let wrong = transit(server, "hvs.wrong").create("bucket-00").await;
    assert!(matches!(wrong, Err(ProviderError::Denied(_))), "{wrong:?}");
    assert_eq!(server.keys(), Vec::<String>::new());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let token = Token::File(file.clone());
    let service = Transit::new(&server.url, None, "/transit/", token, "test").unwrap();
    let key_id = service.create("bucket-00").await.unwrap();
    server.accept("hvs.next");
    let denied = service.wrap(&key_id, Uuid::nil(), &key()).await;
    assert!(
        matches!(denied, Err(ProviderError::Denied(_))),
        "{denied:?}"
    );
    std::fs::write(&file, "hvs.next").unwrap();
    service.wrap(&key_id, Uuid::nil(), &key()).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let failed = service.wrap(&key_id, Uuid::nil(), &key()).await;
    assert!(failed.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_vault_is_spoken_to_in_its_namespace_and_where_the_engine_is_mounted() {
    let held = Held::by_vault().await;
    let server = server(&held);
    server.serve_namespace("shops/eu");
    let open = |namespace, mount| {
        let token = Token::Given(TOKEN.to_owned().into());
        Transit::new(&server.url, namespace, mount, token, "test").unwrap()
    };
    let denied = open(None, "transit").create("bucket-00").await;
    assert!(
        matches!(denied, Err(ProviderError::Denied(_))),
        "{denied:?}"
    );
    let service = open(Some("shops/eu"), "transit");
    let key_id = service.create("bucket-00").await.unwrap();
    assert!(service.holds(&key_id).await.unwrap());
    // An engine that is not there is no proof that a key is not.
    let elsewhere = open(Some("shops/eu"), "elsewhere").holds(&key_id).await;
    assert!(
        matches!(elsewhere, Err(ProviderError::Unexpected(_))),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn a_new_person_is_no_call_once_their_shops_trees_are_there() {
    let held = Held::by_vault().await;
    let vault = held.vault();
    // So many that every tree is made.
    let first: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
    join_all(first.iter().map(|person| sealed(&vault, *person))).await;
    let before = server(&held).calls();
    // To wrap by and to open by, for each tree at least.
    assert!(before >= 32, "{before}");
    for person in first.into_iter().chain([Uuid::now_v7()]) {
        sealed(&vault, person).await;
    }
    assert_eq!(server(&held).calls() - before, 0);
}

/// Behind something that can hold back what is sent.
async fn kms_behind(world: &World, proxy: &Proxy) -> Arc<dyn KeyProvider> {
    let service = Arc::new(kms::at(&format!("http://{}", proxy.address)));
    let keys = event_store::connect(&world.keys_url, event_store::Role::Vault, 4).unwrap();
    Arc::new(RemoteKeys::new(service, keys))
}

#[tokio::test]
async fn aws_kms_that_does_not_answer_is_given_up_in_time_and_asked_again_later() {
    let held = Held::by_aws_kms().await;
    let proxy = Proxy::start(kms::url().replace("http://", ""))
        .await
        .unwrap();
    let provider = kms_behind(&held.world, &proxy).await;
    let vault = held.vault_with(provider.clone());
    let key_id = provider.current(KeyBucket(0)).await.unwrap();
    let (anna, ben) = (Uuid::now_v7(), Uuid::now_v7());
    sealed(&vault, anna).await;
    let of_ben = sealed(&vault, ben).await;
    proxy.hold();
    let began = Instant::now();
    let failed = provider.wrap(&key_id, anna, &key()).await.unwrap_err();
    assert!(
        matches!(failed, ProviderError::Unreachable(_)),
        "{failed:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(15));
    proxy.go_on();
    provider.wrap(&key_id, anna, &key()).await.unwrap();
    // What is cut off is sent again at once.
    proxy.cut_next_request();
    provider.wrap(&key_id, anna, &key()).await.unwrap();
    assert_eq!(proxy.broken(), 1);
    let erasures = vault.erase(TENANT, &[anna]).await.unwrap();
    assert!(erasures[0].receipt.is_some());
    assert_eq!(opened(&held.vault(), &of_ben).await, about(ben));
}

/// A key database that was put back from before a key was renewed names one that is destroyed.
#[tokio::test]
async fn a_key_database_from_before_a_renewal_gets_a_key_that_can_be_used() {
    for held in [Held::by_aws_kms().await, Held::by_vault().await] {
        let provider = held.provider();
        let bucket = KeyBucket(9);
        let old = provider.current(bucket).await.unwrap();
        let new = provider.renew(&old).await.unwrap();
        provider.destroy(&old).await.unwrap();
        let mut owner = sqlx::PgConnection::connect(&held.world.keys_url)
            .await
            .unwrap();
        sqlx::query("delete from keys.bucket_key where provider_key_id = $1")
            .bind(&new)
            .execute(&mut owner)
            .await
            .unwrap();
        let current = held.provider().current(bucket).await.unwrap();
        assert!(current != old && current != new);
        provider.wrap(&current, Uuid::nil(), &key()).await.unwrap();
        // What the one that it forgot wraps can still be wrapped anew, and it be destroyed.
        let person = Uuid::now_v7();
        sqlx::query(
            "insert into keys.subject (subject_id, tenant_id, bucket, provider_key_id, wrapped_key, holds)
             values ($1, $2, 9 + 64, $3, 'x', 'subject')",
        )
        .bind(person)
        .bind(TENANT)
        .bind(&new)
        .execute(&mut owner)
        .await
        .unwrap();
        assert_eq!(held.provider().renew(&new).await.unwrap(), current);
        provider.destroy(&new).await.unwrap();
    }
}
