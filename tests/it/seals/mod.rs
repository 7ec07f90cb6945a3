//! What is signed for can't be altered unnoticed, also by who may do everything in the database.

mod bundle;
mod tampering;

use std::process::Output;

use event_store::seal::{Anchor, Audit, AuditError, Due, PublicKey, Sealer, Verdict};
use event_store::{Role, Store};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tests::World;
use tokio::process::Command;

use crate::part::Part;
use crate::support::{append, event};

/// More than two tiles.
const EVENTS: usize = 8_300;

struct Sealed {
    world: World,
    store: Store,
    sealer: Sealer,
    pool: PgPool,
    anchor: Anchor,
}

impl Sealed {
    /// A log with so many events, none of them sealed.
    async fn with(events: usize) -> Self {
        let world = World::new().await;
        let folder = world.key_file().with_file_name("anchor");
        let anchor = Anchor::folder(&folder).unwrap();
        let pool = world.pool(Role::Sealer);
        let sealed = Self {
            store: world.store().await,
            sealer: Sealer::new(pool.clone(), world.vault(), vec![anchor.clone()]),
            pool,
            anchor,
            world,
        };
        sealed.append(events).await;
        sealed
    }

    async fn append(&self, events: usize) {
        for part in (0..events).collect::<Vec<_>>().chunks(500) {
            let mut append = append(&uuid::Uuid::now_v7().to_string());
            append.events = part
                .iter()
                .map(|n| event(serde_json::json!({ "n": n })))
                .collect();
            self.store.append(append).await.unwrap();
        }
    }

    async fn seal(&self) -> i64 {
        let sealed = self.sealer.seal(Due::Now).await.unwrap();
        self.sealer.anchor().await.unwrap();
        sealed
    }

    /// As who owns the database and can switch every guard off.
    async fn tamper(&self, sql: &str) {
        let mut owner = self.world.owner().await;
        owner
            .execute("set session_replication_role = replica")
            .await
            .unwrap();
        owner.execute(sql).await.unwrap();
    }

    async fn audit(&self, anchors: &[Anchor]) -> Result<Verdict, AuditError> {
        let audit = Audit {
            pool: &self.pool,
            anchors,
            origin: None,
            restored: &[],
        };
        audit.verify(1, None, |_, _| ()).await
    }

    async fn found(&self) -> Vec<String> {
        let verdict = self
            .audit(std::slice::from_ref(&self.anchor))
            .await
            .unwrap();
        verdict.findings.iter().map(ToString::to_string).collect()
    }

    async fn replay(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_replay-process"))
            .args(["--data-dir".as_ref(), self.directory().as_os_str()])
            .args(arguments)
            .env("DATABASE_URL", &self.world.database_url)
            .env("KEYS_DATABASE_URL", &self.world.keys_url)
            .output()
            .await
            .unwrap()
    }

    fn directory(&self) -> std::path::PathBuf {
        self.world.key_file().parent().unwrap().to_owned()
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_head_is_signed_for_every_full_tile_and_for_the_end() {
    let sealed = Sealed::with(EVENTS).await;
    assert_eq!(sealed.sealer.seal(Due::Now).await.unwrap(), EVENTS as i64);
    let verdict = sealed.audit(&[]).await.unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.to, verdict.sealed), (EVENTS as i64, EVENTS as i64));
    assert_eq!(verdict.anchored, 0);
    sealed.sealer.anchor().await.unwrap();
    let heads = sealed.anchor.heads(verdict.incarnation).await.unwrap();
    let sizes: Vec<u64> = heads.iter().map(|signed| signed.head.size).collect();
    assert_eq!(sizes, [4096, 8192, EVENTS as u64]);
    let verdict = sealed
        .audit(std::slice::from_ref(&sealed.anchor))
        .await
        .unwrap();
    assert_eq!(verdict.anchored, EVENTS as i64);
}

/// Another process, or this one after it was killed, goes on where the last signature stands; nothing is signed twice.
#[tokio::test]
async fn a_sealer_goes_on_where_another_one_stopped() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    assert_eq!(sealed.seal().await, 100);
    sealed.append(5_000).await;
    let another = Sealer::new(
        sealed.pool.clone(),
        sealed.world.vault(),
        vec![sealed.anchor.clone()],
    );
    let (first, second) = tokio::join!(another.seal(Due::Now), sealed.sealer.seal(Due::Now));
    assert_eq!((first.unwrap(), second.unwrap()), (5_100, 5_100));
    // What one of the two did not sign itself, it reads again.
    sealed.append(10).await;
    assert_eq!(sealed.sealer.seal(Due::Now).await.unwrap(), 5_110);
    sealed.append(10).await;
    assert_eq!(another.seal(Due::Now).await.unwrap(), 5_120);
    another.anchor().await.unwrap();
    assert_eq!(sealed.found().await, [""; 0]);
}

#[tokio::test]
async fn events_that_fill_no_tile_wait_for_their_minute() {
    let sealed = Sealed::with(4_100).await;
    sealed.sealer.seal(Due::InTime).await.unwrap();
    sealed.append(10).await;
    // Signed for just now, so only whole tiles are due.
    assert_eq!(sealed.sealer.seal(Due::InTime).await.unwrap(), 4_100);
    sealed.append(4_096).await;
    assert_eq!(sealed.sealer.seal(Due::InTime).await.unwrap(), 8_192);
    assert_eq!(sealed.sealer.seal(Due::Now).await.unwrap(), 8_206);
    assert!(sealed.audit(&[]).await.unwrap().is_clean());
}

#[tokio::test]
async fn nobody_who_runs_the_platform_can_change_what_was_signed() {
    let sealed = Sealed::with(10).await;
    sealed.seal().await;
    for sql in [
        "update es.tree_heads set note = ''",
        "delete from es.tree_heads",
        "truncate es.tree_heads cascade",
        "update es.seal_keys set note = ''",
        "delete from es.tree_tiles",
        "update es.tree_tiles set leaves = decode(repeat('00', 32), 'hex')",
    ] {
        let refused = sealed.pool.execute(sql).await;
        assert!(refused.is_err(), "{sql}");
        let refused = sealed.world.owner().await.execute(sql).await;
        let code = refused.unwrap_err().into_database_error().unwrap();
        assert_eq!(code.code().as_deref(), Some("ES900"), "{sql}");
    }
}

#[tokio::test]
async fn heads_go_on_under_a_new_key_and_all_of_them_verify() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    let first = sealed.audit(&[]).await.unwrap().origin;
    let rotated = sealed.replay(&["audit", "rotate-key"]).await;
    assert!(rotated.status.success(), "{}", said(&rotated));
    let mut keys = PgConnection::connect(&sealed.world.keys_url).await.unwrap();
    let seeds: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
        "select wrapped_key from keys.subject where tenant_id = $1 order by subject_id",
    )
    .bind(uuid::Uuid::nil())
    .fetch_all(&mut keys)
    .await
    .unwrap();
    assert!(
        matches!(&seeds[..], [None, Some(_)]),
        "the first seed is destroyed"
    );
    sealed.append(100).await;
    sealed.seal().await;
    let anchors = [sealed.anchor.clone()];
    let audit = Audit {
        pool: &sealed.pool,
        anchors: &anchors,
        origin: Some(&first),
        restored: &[],
    };
    let verdict = audit.verify(1, None, |_, _| ()).await.unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    let second: PublicKey = said(&rotated).lines().next().unwrap().parse().unwrap();
    let other = PublicKey::new("proofline.seal/2", first.as_bytes()).unwrap();
    for (known, is_of_the_log) in [(&second, true), (&other, false)] {
        let audit = Audit {
            origin: Some(known),
            ..audit
        };
        let verdict = audit.verify(1, None, |_, _| ()).await;
        assert_eq!(verdict.is_ok(), is_of_the_log, "{known}: {verdict:?}");
    }
}

#[tokio::test]
async fn verify_says_how_far_the_guarantee_reaches_and_fails_where_something_is_wrong() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    sealed.append(1).await;
    let clean = sealed.replay(&["audit", "verify"]).await;
    let text = said(&clean);
    assert!(clean.status.success(), "{text}");
    for line in [
        "compared   positions 1 to 100",
        "sealed     up to 100 of 101",
        "anchored   up to 100",
        "clean",
    ] {
        assert!(text.contains(line), "{text}");
    }
    sealed
        .tamper("delete from es.events where position = 40")
        .await;
    let altered = sealed.replay(&["audit", "verify", "--json"]).await;
    assert!(!altered.status.success());
    let document: serde_json::Value = serde_json::Deserializer::from_slice(&altered.stdout)
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        document["findings"],
        serde_json::json!(["position 40 missing"])
    );
    for (from, to, is_clean) in [("50", "60", true), ("30", "45", false), ("40", "40", false)] {
        let part = sealed
            .replay(&["audit", "verify", "--from", from, "--to", to])
            .await;
        assert_eq!(part.status.success(), is_clean, "{}", said(&part));
        assert_eq!(said(&part).contains("position 40 missing"), !is_clean);
    }
}

/// A restore may have lost a tail: the log is another one from then on, and is sealed as such.
#[tokio::test]
async fn a_log_in_a_new_incarnation_is_sealed_anew_from_its_beginning() {
    let sealed = Sealed::with(5_000).await;
    sealed.seal().await;
    let before = sealed.audit(&[]).await.unwrap();
    let mut owner = sealed.world.owner().await;
    owner
        .execute("update es.log set system_identifier = system_identifier + 1")
        .await
        .unwrap();
    assert_eq!(sealed.seal().await, 5_000);
    let after = sealed
        .audit(std::slice::from_ref(&sealed.anchor))
        .await
        .unwrap();
    assert!(after.is_clean(), "{after:?}");
    assert_ne!(before.incarnation, after.incarnation);
    assert_eq!((after.sealed, after.anchored), (5_000, 5_000));
    assert_eq!(after.origin, before.origin);
    for incarnation in [before.incarnation, after.incarnation] {
        assert_eq!(sealed.anchor.heads(incarnation).await.unwrap().len(), 2);
    }
}

/// Nobody asks for it: whoever writes seals, too.
#[tokio::test]
async fn a_writing_process_seals_and_anchors_what_stands_in_the_log() {
    let sealed = Sealed::with(10).await;
    let part = Part::start("write-api", &sealed.world, &[]).await;
    part.shows("sealed", |metrics| {
        metrics.value("proofline_sealed_position") == Some(10.0)
    })
    .await;
    let name = format!(
        r#"proofline_anchored_position{{anchor="{}"}}"#,
        sealed.anchor.name()
    );
    part.shows("anchored", |metrics| metrics.value(&name) == Some(10.0))
        .await;
    part.stop().await;
    assert_eq!(sealed.found().await, [""; 0]);
}
