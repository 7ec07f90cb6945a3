//! Evidence for somebody who has nothing else.

use std::path::Path;
use std::process::Output;

use clap::Parser as _;
use event_store::{AccessFilter, AuditTx, Role};
use serde_json::json;
use tokio::process::Command;

use super::{Sealed, said};
use crate::support::TENANT;

#[tokio::test]
async fn a_bundle_is_checked_with_nothing_else_at_hand_and_refused_when_any_byte_differs() {
    let sealed = Sealed::with(4_200).await;
    sealed.seal().await;
    let directory = sealed.directory();
    let (first, second) = (directory.join("first"), directory.join("second"));
    let exported = sealed
        .replay(&[
            "audit",
            "export",
            path(&first),
            "--from",
            "4090",
            "--to",
            "4100",
        ])
        .await;
    assert!(exported.status.success(), "{}", said(&exported));
    sealed.append(5_000).await;
    let exported = sealed
        .replay(&[
            "audit",
            "export",
            path(&second),
            "--from",
            "9195",
            "--since",
            path(&first),
        ])
        .await;
    assert!(exported.status.success(), "{}", said(&exported));
    // Whose events left is noted.
    let pool = sealed.world.pool(Role::Compliance);
    let mut tx = AuditTx::begin(&pool, TENANT).await.unwrap();
    let noted = tx
        .accesses(&AccessFilter::default(), None, 9)
        .await
        .unwrap();
    let [last, earlier] = &noted[..] else {
        panic!("two exports: {noted:?}")
    };
    assert_eq!(last.purpose, "audit_export");
    assert_eq!(last.what["events"], 6);
    assert_eq!(
        earlier.what,
        json!({ "events": 11, "from": 4_090, "to": 4_100 })
    );
    let key = sealed.audit(&[]).await.unwrap().origin.to_string();

    let checked = check(&second, &["--key", &key, "--since", path(&first)]).await;
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(
        said(&checked).contains("6 events, each as it was signed for"),
        "{}",
        said(&checked)
    );
    let checked = check(&first, &[]).await;
    assert!(said(&checked).contains("11 events"), "{}", said(&checked));
    let other = key.replace("seal/1", "seal/2");
    assert!(!check(&first, &["--key", &other]).await.status.success());

    // Each byte of each file, and a file too many.
    for file in std::fs::read_dir(&second).unwrap() {
        let file = file.unwrap().path();
        let whole = std::fs::read(&file).unwrap();
        let mut altered = whole.clone();
        for at in 0..whole.len() {
            altered[at] ^= 1 << (at % 7);
            std::fs::write(&file, &altered).unwrap();
            assert!(!stands(&second).await, "byte {at} of {}", file.display());
            altered[at] = whole[at];
        }
        std::fs::write(&file, whole).unwrap();
    }
    assert!(stands(&second).await);
    std::fs::write(second.join("more"), "").unwrap();
    assert!(!check(&second, &[]).await.status.success());
}

/// As [`check`], without a process of its own.
async fn stands(bundle: &Path) -> bool {
    let arguments = ["replay", "audit", "verify-bundle", path(bundle)];
    let arguments = replay_tools::Arguments::parse_from(arguments);
    replay_tools::run(arguments, &mut std::io::sink())
        .await
        .is_ok()
}

/// Without a platform, a database or a key file anywhere near.
async fn check(bundle: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay-process"))
        .args(["audit", "verify-bundle", path(bundle)])
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .output()
        .await
        .unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
