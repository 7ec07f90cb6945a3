//! The receiver that docs/operations.md gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::http::StatusCode;
use proofline::webhook::WebhookError;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tests::World;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::{Log, NEXT, SECRET, files, signature, tell_all, webhook, webhook_by};

/// The lines that docs/operations.md gives, which write to a folder.
struct Kept {
    folder: tempfile::TempDir,
    url: String,
    _child: Child,
}

impl Kept {
    async fn start(secret: &str) -> Self {
        let page = include_str!("../../../docs/operations.md");
        let script = page.split("```python\n").nth(1).unwrap();
        let script = script.split("```").next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receiver.py");
        std::fs::write(&path, script).unwrap();
        let mut child = Command::new("python3")
            .arg(&path)
            .arg(folder.path())
            .arg("0")
            .env("SECRET", secret)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap();
        Self {
            folder,
            url: format!("http://127.0.0.1:{port}/"),
            _child: child,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// A message that is signed as it should be, whatever it says. Answers the status.
    async fn hears(&self, id: &str, path: &Value, note: &str) -> u16 {
        let body = json!({ "type": "anchor.head", "data": { "path": path, "note": note } });
        let body = serde_json::to_vec(&body).unwrap();
        let at = platform::clock::now().timestamp();
        let answer = reqwest::Client::new()
            .post(&self.url)
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature(SECRET, id, at, &body))
            .body(body)
            .send();
        answer.await.unwrap().status().as_u16()
    }

    /// Every file below the folder, by its path in there.
    fn files(&self) -> BTreeMap<String, String> {
        files(self.folder.path())
    }
}

async fn verify(world: &World, anchor: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_replay-process"))
        .args(["audit", "verify", "--anchor"])
        .arg(anchor)
        .env("DATABASE_URL", &world.database_url)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn what_the_documented_receiver_kept_proves_the_log() {
    let log = Log::new().await;
    let kept = Kept::start(SECRET).await;
    let webhook = webhook(&log.world, &kept.url).await;
    log.grow(5_000).await;
    log.erase(Uuid::now_v7()).await;
    tell_all(&webhook).await.unwrap();
    let (clean, said) = verify(&log.world, &kept.path()).await;
    assert!(clean && said.contains("anchored   up to 5000"), "{said}");

    let mut owner = log.world.owner().await;
    let tampering =
        "set session_replication_role = replica; delete from es.events where position = 40";
    owner.execute(tampering).await.unwrap();
    let (clean, said) = verify(&log.world, &kept.path()).await;
    assert!(!clean && said.contains("position 40 missing"), "{said}");
    // Where the database's hashes were altered, too, no copy of them tells which event it was.
    owner
        .execute("update es.tree_tiles set leaves = decode(repeat('00', 4096 * 32), 'hex') where tile = 0")
        .await
        .unwrap();
    let (clean, said) = verify(&log.world, &kept.path()).await;
    assert!(!clean, "{said}");
    assert!(
        said.contains("something was altered, and so were the hashes that would tell what"),
        "{said}"
    );
}

#[tokio::test]
async fn the_documented_receiver_takes_nothing_from_who_does_not_know_its_secret() {
    let log = Log::new().await;
    let kept = Kept::start("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    let webhook = webhook(&log.world, &kept.url).await;
    log.grow(10).await;
    let refused = webhook.tell().await.unwrap_err();
    assert!(
        matches!(refused, WebhookError::Refused(StatusCode::UNAUTHORIZED)),
        "{refused:?}"
    );
    assert!(!kept.path().join("keys").exists());
}

#[tokio::test]
async fn the_documented_receiver_writes_nowhere_else_and_over_nothing_whatever_is_signed() {
    let kept = Kept::start(SECRET).await;
    let id = "msg_0123456789abcdef0123456789abcdef";
    let path = "keys/000001.txt";
    assert_eq!(kept.hears(id, &json!(path), "a note").await, 204);
    let standing = kept.files();
    assert_eq!(standing["kept/keys/000001.txt"], "a note");
    for path in [
        json!("../receiver.py"),
        json!("/etc/proofline.txt"),
        json!("keys/../../receiver.py"),
        json!("keys/../000001.txt"),
        json!("keys/000001.txt/../000002.txt"),
        json!("keys/000001.txt\n"),
        json!("keys/1.txt"),
        json!("keys/000001.txt.exe"),
        json!("incoming/000001.txt"),
        json!("erased/../../../../../../../../../../etc/a.txt"),
        json!("erased/\u{0}00000000-0000-0000-0000-00000000000.txt"),
        json!(["keys/000002.txt"]),
        json!(null),
    ] {
        assert_eq!(kept.hears(id, &path, "evil").await, 400, "{path}");
    }
    for id in [
        "../../receiver.py",
        "msg_../../0123456789abcdef01234567",
        "msg_0123456789ABCDEF0123456789ABCDEF",
        "/tmp/x",
        "msg_",
    ] {
        assert_eq!(kept.hears(id, &json!(path), "evil").await, 400, "{id}");
    }
    assert_eq!(kept.files(), standing);
    // The same again is taken; anything else is kept apart, as often as it comes.
    assert_eq!(kept.hears(id, &json!(path), "a note").await, 204);
    let other = "msg_ffffffffffffffffffffffffffffffff";
    for _ in 0..2 {
        assert_eq!(kept.hears(other, &json!(path), "another").await, 409);
    }
    let mut expected = standing;
    let conflict = format!("conflicts/{other}.txt");
    expected.insert(conflict, "another".to_owned());
    assert_eq!(kept.files(), expected);
}

#[tokio::test]
async fn the_documented_receiver_can_change_from_one_secret_to_the_next() {
    let log = Log::new().await;
    log.grow(10).await;
    let both = format!("{NEXT} {SECRET}");
    for secret in [SECRET, NEXT] {
        let kept = Kept::start(secret).await;
        tell_all(&webhook_by(&log.world, &kept.url, &both).await)
            .await
            .unwrap();
        assert_eq!(files(&kept.path()), log.anchored());
    }
}
