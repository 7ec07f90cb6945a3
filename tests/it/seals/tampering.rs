//! What the database's owner may try, every guard switched off.

use event_store::seal::{Audit, Due, SealError, Sealer};
use tests::World;

use super::{EVENTS, Sealed, said};

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
        (
            "alter table es.events drop constraint events_position_positive;
             create table es.events_below partition of es.events for values from (minvalue) to (1);
             insert into es.events select 0, tenant_id, aggregate_type, 'forged', 1, bucket, gen_random_uuid(), event_type,
               event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
             from es.events where position = 19",
            vec!["position 0 inserted"],
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
    // Nor by whoever exports, or replaces the signing key, at a terminal.
    let out = sealed.directory().join("bundle");
    for arguments in [vec!["export", out.to_str().unwrap()], vec!["rotate-key"]] {
        let refused = sealed.replay(&[&["audit"], &arguments[..]].concat()).await;
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(
            said(&refused).contains("holds a head at 100"),
            "{}",
            said(&refused)
        );
    }
    assert!(!out.exists());
    assert_eq!(sealed.found().await, ["position 50 altered"]);
}

/// Also where nothing is left to be signed for: the log, cut back, is as long as the last head that the database has.
#[tokio::test]
async fn nothing_is_exported_of_a_log_that_was_cut_back() {
    let sealed = Sealed::with(100).await;
    sealed.seal().await;
    sealed.append(100).await;
    sealed.seal().await;
    sealed
        .tamper(
            "delete from es.events where position > 100; delete from es.tree_heads where size = 200;
             delete from es.anchored_heads where size = 200;
             update es.tree_tiles set leaves = substr(leaves, 1, 3200)",
        )
        .await;
    let out = sealed.directory().join("bundle");
    let refused = sealed
        .replay(&["audit", "export", out.to_str().unwrap()])
        .await;
    assert!(!refused.status.success());
    assert!(
        said(&refused).contains("holds a head at 200"),
        "{}",
        said(&refused)
    );
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
