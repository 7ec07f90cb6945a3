//! What there is to be told.

use event_store::Role;
use event_store::seal::TombstoneError;
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

use super::{Log, Receiver, tell_all};

/// Kind, path and note, in the order in which they are told.
async fn noted(owner: &mut PgConnection) -> Vec<(String, String, String)> {
    sqlx::query_as("select kind, path, note from es.seal_notes order by place")
        .fetch_all(owner)
        .await
        .unwrap()
}

/// By the very lines of the migration, on a log that was restored and whose keys were replaced.
#[tokio::test]
async fn what_was_signed_before_anybody_could_be_told_is_told_in_the_order_of_signing() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let mut owner = log.world.owner().await;
    log.grow(4_500).await;
    log.grow(10).await;
    let restored = "update es.log set system_identifier = system_identifier + 1";
    owner.execute(restored).await.unwrap();
    log.grow(10).await;
    log.sealer.rotate().await.unwrap();
    log.grow(10).await;
    let signed = noted(&mut owner).await;
    let kinds: Vec<&str> = signed.iter().map(|(kind, ..)| &**kind).collect();
    let [key, head] = ["key", "head"];
    assert_eq!(
        kinds,
        [key, head, head, head, key, head, head, key, head],
        "{signed:?}"
    );

    let undo = "drop table es.seal_notes; drop function es.note_signed cascade";
    owner.execute(undo).await.unwrap();
    let migration = include_str!("../../../migrations/postgres/20261122000092_seal_notes.sql");
    owner.execute(migration).await.unwrap();
    assert_eq!(noted(&mut owner).await, signed);
    log.grow(10).await;
    tell_all(&receiver.webhook(&log.world).await).await.unwrap();
    assert_eq!(receiver.heard().len(), signed.len() + 1);
}

/// Those of processes that noted none, or of what a restore lost.
#[tokio::test]
async fn tombstones_that_only_the_anchor_has_are_taken_over_as_they_stand() {
    let log = Log::new().await;
    let mut owner = log.world.owner().await;
    log.grow(10).await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let standing = log.anchor_tombstone(one).await;
    // Asked for again at another time: what stands, stands, and is what is told.
    assert_eq!(log.anchor_tombstone(one).await, standing);
    log.erase(other).await;
    // What nobody signed is none, and keeps no other from being noted.
    let forged = Uuid::now_v7();
    let text = standing.to_string();
    let text = text.replace(&one.to_string(), &forged.to_string());
    let folder = std::path::Path::new(log.anchor.name()).join("erased");
    std::fs::write(folder.join(format!("{forged}.txt")), text).unwrap();
    let before = noted(&mut owner).await;
    for _ in 0..2 {
        let erased = log.anchor.erased_subjects().await.unwrap();
        assert_eq!(erased.len(), 3);
        let refused = log.sealer.take_tombstones_over(&log.anchor, &erased).await;
        assert!(
            matches!(refused, Err(TombstoneError::NotSigned { subject, .. }) if subject == forged),
            "{refused:?}"
        );
    }
    let after = noted(&mut owner).await;
    assert_eq!(after[..before.len()], before);
    let path = format!("erased/{one}.txt");
    let expected = ("tombstone".to_owned(), path, standing.to_string());
    assert_eq!(after[before.len()..], [expected]);

    std::fs::remove_file(folder.join(format!("{forged}.txt"))).unwrap();
    let erased = log.anchor.erased_subjects().await.unwrap();
    let taken_over = log.sealer.take_tombstones_over(&log.anchor, &erased).await;
    taken_over.unwrap();
    assert_eq!(noted(&mut owner).await, after);
}

#[tokio::test]
async fn nobody_who_runs_the_platform_can_change_what_is_told_or_to_whom() {
    let log = Log::new().await;
    log.grow(10).await;
    let notes = [
        "update es.seal_notes set note = ''",
        "delete from es.seal_notes",
        "truncate es.seal_notes",
    ];
    for sql in notes {
        assert!(log.pool.execute(sql).await.is_err(), "{sql}");
        let refused = log.world.owner().await.execute(sql).await;
        let code = refused.unwrap_err().into_database_error().unwrap();
        assert_eq!(code.code().as_deref(), Some("ES900"), "{sql}");
    }
    let webhooks = [
        "delete from es.webhooks",
        "update es.webhooks set webhook = ''",
        "insert into es.webhooks (webhook, delivered) values ('late', 1)",
    ];
    let others = [
        Role::Writer,
        Role::Projector,
        Role::Reader,
        Role::Compliance,
        Role::Maintenance,
    ];
    let mine = "insert into es.webhooks (webhook) values ('mine')";
    let note = "insert into es.seal_notes (place, kind, path, note) values (99, 'key', '', '')";
    let mut refused: Vec<(Role, &str)> = webhooks.map(|sql| (Role::Sealer, sql)).to_vec();
    for role in others {
        refused.extend([(role, mine), (role, note)]);
    }
    for (role, sql) in refused {
        let refused = log.world.pool(role).execute(sql).await;
        let code = refused.unwrap_err().into_database_error().unwrap();
        assert_eq!(code.code().as_deref(), Some("42501"), "{role:?}: {sql}");
    }
}
