//! Evidence for somebody who has nothing else.

use std::path::Path;
use std::process::Output;

use event_store::{AuditTx, Role};
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
    let noted = tx.accesses(None, None, 9).await.unwrap();
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

    // One byte of each file, near its beginning, its middle and its end, and a file too many.
    for file in std::fs::read_dir(&second).unwrap() {
        let file = file.unwrap().path();
        let whole = std::fs::read(&file).unwrap();
        for at in [
            0,
            1,
            whole.len() / 3,
            whole.len() / 2,
            whole.len() - 2,
            whole.len() - 1,
        ] {
            for bit in [1u8, 0x20] {
                let mut altered = whole.clone();
                altered[at] ^= bit;
                std::fs::write(&file, altered).unwrap();
                let refused = check(&second, &[]).await;
                assert!(!refused.status.success(), "byte {at} of {}", file.display());
            }
        }
        std::fs::write(&file, whole).unwrap();
    }
    std::fs::write(second.join("more"), "").unwrap();
    assert!(!check(&second, &[]).await.status.success());
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
