//! What everything else derives from: made once, and never anew where it can't be read.

use std::sync::Arc;

use event_store::vault::{ProviderError, RemoteKeys, VaultError};
use key_providers::{KeyProviderArgs, ProviderName};
use proofline::config::Connections;
use proofline::secrets::Secrets;
use proofline::write_side;

use super::vault_server::TOKEN;
use super::{Held, Holder, kms, transit};
use crate::served::connections;

/// As a process has them.
pub(super) fn remote(held: &Held) -> RemoteKeys {
    match &held.by {
        Holder::File => panic!("a file is not remote"),
        Holder::AwsKms => RemoteKeys::new(Arc::new(kms::at(&kms::url())), held.keys()),
        Holder::Vault(server) => RemoteKeys::new(Arc::new(transit(server, TOKEN)), held.keys()),
    }
}

#[tokio::test]
async fn first_processes_that_start_at_once_agree_on_one_root() {
    for held in [Held::by_aws_kms().await, Held::by_vault().await] {
        let missing = remote(&held).root().await;
        assert!(matches!(missing, Err(VaultError::NoRoot)), "{missing:?}");
        let (first, second, third) = (remote(&held), remote(&held), remote(&held));
        let roots = tokio::try_join!(
            first.root_or_new(),
            second.root_or_new(),
            third.root_or_new()
        );
        let (first, second, third) = roots.unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint(), third.fingerprint());
        let later = remote(&held).root().await.unwrap();
        assert_eq!(first.fingerprint(), later.fingerprint());
        assert_ne!(
            first.fingerprint(),
            remote(&Held::by_vault().await)
                .root_or_new()
                .await
                .unwrap()
                .fingerprint()
        );
        if let Holder::Vault(server) = &held.by {
            assert_eq!(server.keys().len(), 1, "those who were slower left nothing");
        }
    }
}

#[tokio::test]
async fn no_root_is_made_where_one_was_in_use_or_the_provider_is_away() {
    let held = Held::by_vault().await;
    let Holder::Vault(server) = &held.by else {
        panic!("by Vault");
    };
    server.seal(true);
    let away = remote(&held).root_or_new().await.unwrap_err();
    assert!(away.is_transient(), "{away:?}");
    server.seal(false);
    // A platform that has its root in a file was here.
    let secrets = Secrets::open(&connections(&held.world)).await.unwrap();
    write_side::vault(&connections(&held.world), &secrets)
        .await
        .unwrap();
    let bound = remote(&held).root_or_new().await;
    assert!(matches!(bound, Err(VaultError::OtherProvider)), "{bound:?}");
    assert_eq!(server.keys(), Vec::<String>::new());

    // One that was made is not replaced while it can't be read.
    let held = Held::by_vault().await;
    let Holder::Vault(server) = &held.by else {
        panic!("by Vault");
    };
    let root = remote(&held).root_or_new().await.unwrap();
    server.accept("hvs.other");
    let denied = remote(&held).root_or_new().await;
    assert!(
        matches!(denied, Err(VaultError::Provider(ProviderError::Denied(_)))),
        "{denied:?}"
    );
    server.accept(TOKEN);
    let again = remote(&held).root_or_new().await.unwrap();
    assert_eq!(root.fingerprint(), again.fingerprint());
}

#[tokio::test]
async fn a_platform_opens_with_a_provider_in_the_key_files_place_and_makes_no_file() {
    let held = Held::by_vault().await;
    let Holder::Vault(server) = &held.by else {
        panic!("by Vault");
    };
    let token_file = held.world.key_file().with_file_name("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let connections = Connections {
        key_provider: KeyProviderArgs {
            key_provider: ProviderName::Vault,
            vault_addr: Some(server.url.clone()),
            vault_token_file: Some(token_file.clone()),
            ..KeyProviderArgs::default()
        },
        ..connections(&held.world)
    };
    server.seal(true);
    let Err(failed) = Secrets::open(&connections).await else {
        panic!("opened by a provider that is sealed");
    };
    let told = format!("{failed:#}");
    assert!(
        told.contains("the key provider vault") && told.contains("Vault is sealed"),
        "{told}"
    );
    server.seal(false);
    let secrets = Secrets::open(&connections).await.unwrap();
    let vault = write_side::vault(&connections, &secrets).await.unwrap();
    drop(vault);
    let again = Secrets::open(&connections).await.unwrap();
    assert_eq!(secrets.fingerprint, again.fingerprint);
    assert!(!connections.key_file.exists());
    assert!(
        server
            .keys()
            .iter()
            .all(|key| key.starts_with("proofline-root-"))
    );

    // And with a file once more: neither half of the platform would know the other's people.
    let file = Connections {
        key_provider: KeyProviderArgs::default(),
        ..connections
    };
    let secrets = Secrets::open(&file).await.unwrap();
    let Err(other) = write_side::vault(&file, &secrets).await else {
        panic!("opened with another root");
    };
    assert!(format!("{other:#}").contains("other keys"), "{other:#}");
}
