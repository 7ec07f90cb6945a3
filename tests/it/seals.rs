//! What is signed for can't be altered unnoticed, also by who may do everything in the database.

use std::path::Path;
use std::process::Output;

use event_store::seal::{Anchor, Audit, AuditError, Due, PublicKey, SealError, Sealer, Verdict};
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
async fn whatever_is_done_to_an_event_is_found_and_named() {
    for (sql, found) in [
        (
            "update es.events set payload = '{\"n\":7 }' where position = 5000",
            vec!["position 5000 altered"],
        ),
        (
            "update es.events set actor = 'somebody' where position in (1, 4096, 8300)",
            vec!["position 1 altered", "position 4096 altered", "position 8300 altered"],
        ),
        (
            "delete from es.events where position = 4097",
            vec!["position 4097 missing"],
        ),
        (
            "delete from es.events where position > 8000",
            vec!["positions 8001 to 8300 missing"],
        ),
        (
            "update es.events set position = 40000010 where position = 10;
             update es.events set position = 10 where position = 12;
             update es.events set position = 12 where position = 40000010",
            vec!["position 10 moved down by 2", "position 12 moved up by 2"],
        ),
        // One more in between, and all behind it moved on.
        (
            "update es.events set position = position + 40000000 where position >= 20;
             update es.events set position = position - 39999999 where position > 40000000;
             insert into es.events select 20, tenant_id, aggregate_type, 'forged', 1, bucket, gen_random_uuid(), event_type,
               event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
             from es.events where position = 19",
            vec![
                "position 20 inserted",
                "positions 21 to 8300 moved up by 1",
                "position 8300 missing",
            ],
        ),
    ] {
        let sealed = Sealed::with(EVENTS).await;
        sealed.seal().await;
        sealed.tamper(sql).await;
        assert_eq!(sealed.found().await, found, "{sql}");
    }
}

/// Whoever alters the event alters its hash as well. The signature tells that something is wrong, the anchor what.
#[tokio::test]
async fn an_altered_event_is_named_though_its_hash_was_altered_with_it() {
    let sealed = Sealed::with(EVENTS).await;
    sealed.seal().await;
    sealed
        .tamper(
            "update es.events set actor = 'somebody' where position = 5000;
             update es.tree_tiles set leaves = overlay(leaves placing decode(repeat('00', 32), 'hex') from 903 * 32 + 1)
             where tile = 1",
        )
        .await;
    assert_eq!(sealed.found().await, ["position 5000 altered"]);
    let alone = sealed.audit(&[]).await.unwrap();
    assert_eq!(
        alone.findings[0].to_string(),
        "positions 4097 to 8300: something was altered, and so were the hashes that would tell what"
    );
}

#[tokio::test]
async fn a_copy_of_the_hashes_that_was_damaged_alone_is_no_alteration_of_the_log() {
    let sealed = Sealed::with(EVENTS).await;
    sealed.seal().await;
    sealed
        .tamper("delete from es.tree_tiles where tile = 1")
        .await;
    assert!(sealed.audit(&[]).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_forged_head_is_named() {
    let sealed = Sealed::with(EVENTS).await;
    sealed.seal().await;
    sealed
        .tamper("update es.tree_heads set note = replace(note, E'\\n4096\\n', E'\\n4095\\n') where size = 4096")
        .await;
    assert_eq!(
        sealed.found().await,
        ["signed head at 4096: its text is malformed"]
    );
    sealed
        .tamper("update es.tree_heads set note = (select note from es.tree_heads where size = 8300), size = 8299 where size = 4096")
        .await;
    assert_eq!(
        sealed.found().await,
        ["signed head at 8299: its text is malformed"]
    );
}

/// Somebody who owns the database makes keys, tree and signatures anew over an altered log: everything in the database
/// agrees, and nothing agrees with what is kept outside.
#[tokio::test]
async fn a_log_that_was_sealed_anew_by_another_key_is_refused() {
    let sealed = Sealed::with(EVENTS).await;
    sealed.seal().await;
    sealed
        .tamper(
            "update es.events set actor = 'somebody' where position = 5000;
             delete from es.anchored_heads; delete from es.tree_heads; delete from es.tree_tiles; delete from es.seal_keys",
        )
        .await;
    let forger = World::new().await;
    let forging = Sealer::new(sealed.pool.clone(), forger.vault(), Vec::new());
    forging.seal(Due::Now).await.unwrap();
    assert!(
        sealed.audit(&[]).await.unwrap().is_clean(),
        "nothing outside was asked"
    );
    let found = sealed.found().await;
    assert!(
        found[0].contains("is none of the signing keys"),
        "{found:?}"
    );
    assert!(
        found.contains(&"position 5000 altered".to_owned()),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_lost_tail_is_noticed_and_nothing_is_signed_on_top_of_it() {
    let sealed = Sealed::with(EVENTS).await;
    sealed.seal().await;
    sealed
        .tamper("delete from es.events where position > 8000")
        .await;
    let refused = sealed.sealer.seal(Due::Now).await;
    assert!(
        matches!(
            refused,
            Err(SealError::LostTail {
                sealed: 8_300,
                head: 8_000
            })
        ),
        "{refused:?}"
    );
    assert_eq!(sealed.found().await, ["positions 8001 to 8300 missing"]);
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
    let part = sealed
        .replay(&["audit", "verify", "--from", "50", "--to", "60"])
        .await;
    assert!(part.status.success(), "{}", said(&part));
}

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

#[tokio::test]
async fn heads_and_hashes_that_the_database_lost_are_taken_from_the_anchor() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    sealed.append(100).await;
    sealed.seal().await;
    sealed
        .tamper(
            "delete from es.anchored_heads; delete from es.tree_heads where size = 100;
             update es.tree_tiles set leaves = overlay(leaves placing decode(repeat('00', 32), 'hex') from 1)",
        )
        .await;
    assert_eq!(
        sealed.found().await,
        [""; 0],
        "the anchor has what is missing here"
    );
    sealed
        .tamper("delete from es.tree_heads where size = 200")
        .await;
    assert_eq!(sealed.found().await, [""; 0]);
}

/// The platform itself would sign what was altered, if it believed the database about what it signed before.
#[tokio::test]
async fn nothing_is_signed_over_a_database_that_forgot_what_was_signed() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    sealed
        .tamper(
            "update es.events set actor = 'somebody' where position = 50;
             delete from es.anchored_heads; delete from es.tree_heads; delete from es.tree_tiles",
        )
        .await;
    sealed.append(1).await;
    let fresh = || {
        let anchors = vec![sealed.anchor.clone()];
        Sealer::new(sealed.pool.clone(), sealed.world.vault(), anchors)
    };
    for refused in [
        sealed.sealer.seal(Due::Now).await,
        fresh().seal(Due::Now).await,
    ] {
        assert!(
            matches!(refused, Err(SealError::AnchorAhead { size: 100, .. })),
            "{refused:?}"
        );
    }
    assert_eq!(sealed.found().await, ["position 50 altered"]);
}

/// Nor does it help to call the log another one: it is sealed anew, and found to differ from what it was.
#[tokio::test]
async fn a_log_that_was_altered_and_renamed_is_found_to_differ_from_what_it_was() {
    let sealed = Sealed::with(5_000).await;
    sealed.seal().await;
    let before = sealed.audit(&[]).await.unwrap().incarnation;
    sealed
        .tamper(
            "update es.events set actor = 'somebody' where position = 4500;
             update es.log set incarnation = gen_random_uuid()",
        )
        .await;
    sealed.seal().await;
    let found = sealed.found().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("was sealed up to 5000, and this one is the same up to 4096 only"),
        "{found:?}"
    );
    let restored = [before];
    let anchors = [sealed.anchor.clone()];
    let audit = Audit {
        pool: &sealed.pool,
        anchors: &anchors,
        origin: None,
        restored: &restored,
    };
    let verdict = audit.verify(1, None, |_, _| ()).await.unwrap();
    assert!(
        verdict.is_clean(),
        "an officer knows of the restore: {verdict:?}"
    );
}

/// A database that was restored to before a rotation takes the keys over that only the anchor knows.
#[tokio::test]
async fn keys_that_a_restore_lost_come_back_from_the_anchor() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    sealed.sealer.rotate().await.unwrap();
    sealed.append(1).await;
    sealed.seal().await;
    sealed
        .tamper(
            "delete from es.seal_keys where place = 2; delete from es.anchored_heads where size = 101;
             delete from es.tree_heads where size = 101; delete from es.events where position = 101;
             update es.log set incarnation = gen_random_uuid()",
        )
        .await;
    assert_eq!(sealed.seal().await, 100);
    let found = sealed.found().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("was sealed up to 101"), "{found:?}");
}
