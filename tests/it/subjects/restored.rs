//! What comes back from an old copy brings nobody back.

use std::time::{Duration, Instant};

use event_store::seal::{Anchor, Due, Sealer};
use event_store::vault::{SubjectEvents, VaultError};
use event_store::{EventLog, Log as _, Role, connect};
use proofline::app::{App, Part};
use sqlx::{Connection as _, Executor as _};
use tokio_util::sync::CancellationToken;

use super::{ANNA, BOB, DEADLINE, Office, SOMEONE, replay};
use crate::served::{Served, connections, tuning};
use crate::support::{BACK_KEYS_UP, PUT_KEYS_BACK};

#[tokio::test]
async fn keys_that_are_put_back_from_before_an_erasure_bring_nobody_back() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    for (name, id) in [("Anna", 1), ("Bob", 2)] {
        office.order(name, id).await;
    }
    let record = office.record_of("Anna").await;
    let id: uuid::Uuid = record.rsplit_once('/').unwrap().1.parse().unwrap();
    office.pages_show(vec![ANNA, BOB]).await;
    let world = &office.it.world;
    let mut keys = sqlx::PgConnection::connect(&world.keys_url).await.unwrap();
    keys.execute(BACK_KEYS_UP).await.unwrap();
    let key_file = std::fs::read(world.key_file()).unwrap();
    office.erase(&record).await;

    // Somebody who means well, or not, puts everything back as it was.
    let put_back = async |keys: &mut sqlx::PgConnection| {
        keys.execute(PUT_KEYS_BACK).await.unwrap();
        std::fs::write(world.key_file(), &key_file).unwrap();
    };
    put_back(&mut keys).await;
    let connections = connections(world);
    let erased =
        "select exists (select from keys.subject where subject_id = $1 and erased_at is not null)";
    let is_erased = async |keys: &mut sqlx::PgConnection| -> bool {
        sqlx::query_scalar(erased)
            .bind(id)
            .fetch_one(keys)
            .await
            .unwrap()
    };
    assert!(!is_erased(&mut keys).await);
    // Nothing is exported over it at a terminal.
    let (account, id_text) = (office.it.account.to_string(), id.to_string());
    let (key_file, anchor) = (world.key_file(), world.key_file().with_file_name("anchor"));
    let export = [
        "export",
        &account,
        &id_text,
        "--out",
        "/dev/null/nowhere",
        "--anchor",
        anchor.to_str().unwrap(),
        "--key-file",
        key_file.to_str().unwrap(),
        "--keys-database-url",
        &world.keys_url,
    ];
    let refused = format!("{:#}", replay(world, &export).await.unwrap_err());
    assert!(refused.contains("the person was erased"), "{refused}");
    assert!(is_erased(&mut keys).await, "before anything is read");
    put_back(&mut keys).await;

    let app = App::open(Part::ReadApi, &connections, &tuning())
        .await
        .unwrap();
    assert!(is_erased(&mut keys).await, "before anything is served");
    drop(app);
    office.pages_show(vec![BOB, SOMEONE]).await;

    // What nobody signed erases nobody, and nothing is served over it.
    let forged = world.key_file().with_file_name("anchor").join("erased");
    let bob = uuid::Uuid::now_v7();
    let honest = std::fs::read_to_string(forged.join(format!("{id}.txt"))).unwrap();
    let text = honest.replace(&id.to_string(), &bob.to_string());
    std::fs::write(forged.join(format!("{bob}.txt")), text).unwrap();
    let refused = async || {
        let refused = App::open(Part::ReadApi, &connections, &tuning()).await;
        format!("{:#}", refused.err().unwrap())
    };
    let said = refused().await;
    assert!(said.contains("no signing key has signed"), "{said}");

    // Nor does what somebody else's keys signed, who can write there.
    let anchor = world.key_file().with_file_name("anchor");
    let elsewhere = tests::World::new().await;
    let other = elsewhere.key_file().with_file_name("anchor");
    elsewhere
        .store()
        .await
        .append(crate::support::append("s"))
        .await
        .unwrap();
    let pool = elsewhere.pool(Role::Sealer);
    let sealer = Sealer::new(
        pool,
        elsewhere.vault(),
        vec![Anchor::folder(&other).unwrap()],
    );
    sealer.seal(Due::Now).await.unwrap();
    sealer.anchor().await.unwrap();
    let first = |anchor: &std::path::Path| anchor.join("keys").join("000001.txt");
    std::fs::copy(first(&other), first(&anchor)).unwrap();
    let said = refused().await;
    assert!(
        said.contains("other statements about signing keys"),
        "{said}"
    );
    // An empty folder is not the anchor.
    std::fs::remove_dir_all(&anchor).unwrap();
    let said = refused().await;
    assert!(
        said.contains("it is not the anchor, or was emptied"),
        "{said}"
    );
}

#[tokio::test]
async fn after_a_restore_it_is_found_anew_whose_data_stands_where() {
    let office = Office::open().await;
    office.order("Anna", 1).await;
    let record = office.record_of("Anna").await;
    let id: uuid::Uuid = record.rsplit_once('/').unwrap().1.parse().unwrap();
    office.it.catch_up().await;
    let world = office.it.world;
    let key_file = world.key_file();
    let reindex = async || {
        let keys = [
            "--key-file",
            key_file.to_str().unwrap(),
            "--keys-database-url",
            &world.keys_url,
        ];
        replay(&world, &[&["reindex"], &keys[..]].concat())
            .await
            .unwrap()
    };
    assert!(reindex().await.contains("stays"));
    let moved = "update es.log set system_identifier = system_identifier + 1";
    sqlx::query(moved)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let (head, _) = log.head().await.unwrap();
    let index = SubjectEvents::new(connect(&world.keys_url, Role::Vault, 2).unwrap());
    let whole = log.token(head);
    let stale = index.positions(&[id], whole).await;
    assert!(
        matches!(stale, Err(VaultError::IndexBehind { .. })),
        "{stale:?}"
    );
    assert!(reindex().await.contains("begun anew"));

    let connections = connections(&world);
    let again = Served::on(world, connections).await;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    drop(again.projections.spawn_all(&stop));
    let deadline = Instant::now() + DEADLINE;
    let positions = loop {
        match index.positions(&[id], whole).await {
            Ok(positions) => break positions,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(positions.len(), 1);
}
