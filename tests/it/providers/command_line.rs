//! What operators type.

use std::collections::BTreeSet;

use clap::Parser as _;
use uuid::Uuid;

use super::vault_server::TOKEN;
use super::{Held, Holder, about, opened, sealed};

/// Wherever a platform's keys are named, they are named alike.
#[test]
fn the_provider_is_named_alike_on_both_command_lines() {
    let provider = [
        "--key-provider",
        "vault",
        "--vault-addr",
        "http://127.0.0.1:1",
    ];
    let replay = [
        "replay",
        "subject",
        "list",
        "00000000-0000-0000-0000-000000000000",
    ];
    replay_tools::Arguments::try_parse_from([&replay[..], &provider].concat()).unwrap();
    let up = ["proofline", "up"];
    proofline::cli::Arguments::try_parse_from([&up[..], &provider].concat()).unwrap();
    let unknown = ["--key-provider", "nobody"];
    assert!(proofline::cli::Arguments::try_parse_from([&up[..], &unknown].concat()).is_err());
}

#[tokio::test]
async fn an_operator_replaces_every_key_and_everybody_opens_as_before() {
    let held = Held::by_vault().await;
    let Holder::Vault(server) = &held.by else {
        panic!("by Vault");
    };
    let token_file = held.world.key_file().with_file_name("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let rotate = async || {
        let arguments = [
            "replay",
            "--database-url",
            &held.world.database_url,
            "--data-dir",
            token_file.parent().unwrap().to_str().unwrap(),
            "keys",
            "rotate",
            "--keys-database-url",
            &held.world.keys_url,
            "--key-provider",
            "vault",
            "--key-prefix",
            "test",
            "--vault-addr",
            &server.url,
            "--vault-token-file",
            token_file.to_str().unwrap(),
        ];
        let (arguments, mut out) = (replay_tools::Arguments::parse_from(arguments), Vec::new());
        let ran = replay_tools::run(arguments, &mut out).await;
        ran.map(|()| String::from_utf8(out).unwrap())
    };
    let nothing = format!("{:#}", rotate().await.unwrap_err());
    assert!(nothing.contains("holds no root"), "{nothing}");
    assert_eq!(server.keys(), Vec::<String>::new());

    super::root::remote(&held).root_or_new().await.unwrap();
    let person = Uuid::now_v7();
    let payload = sealed(&held.vault(), person).await;
    let before: BTreeSet<String> = server.keys().into_iter().collect();
    let said = rotate().await.unwrap();
    assert!(said.contains("destroyed: 1"), "{said}");
    let after: BTreeSet<String> = server.keys().into_iter().collect();
    // The root's.
    assert_eq!(before.intersection(&after).count(), 1);
    assert_eq!(after.len(), 2);
    assert_eq!(opened(&held.vault(), &payload).await, about(person));
}
