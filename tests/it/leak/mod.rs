//! Whatever the platform does with people's data: nobody's lies anywhere in the clear, and nobody who was erased can be
//! brought back. What it does is read from its own list of routes, so that a new one can't be left out.

mod platform;
mod search;

use std::collections::BTreeSet;

use event_store::seal::{Anchor, Audit, Due, Sealer};
use event_store::vault::{KeyProvider as _, LocalKeyFile, ProviderError};
use event_store::{Role, connect};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use self::platform::Platform;
use self::search::{dumps_holding, holding, keys_holding, rows_holding, tables_holding};

const PEOPLE: usize = 1_000;
const ERASED: usize = 300;
/// Of a shop's people; so many are erased that some of every tree are.
const TREES: usize = 16;

/// In everything personal that is sent, and in nothing else.
const MARK: &str = "qzx7w";
/// In something that is not personal: what finds this would find the other.
const CONTROL: &str = "kvj4y";

/// A person whose every text is unlike any other's.
fn name(person: usize) -> String {
    format!("{MARK}p{person:04}n")
}

/// Somebody who is known by a review alone.
fn reviewer(person: usize) -> String {
    format!("{MARK}r{person:04}n")
}

fn email(person: usize) -> String {
    format!("{}@example.com", name(person))
}

#[tokio::test]
async fn nobody_lies_anywhere_in_the_clear_and_who_was_erased_is_gone_for_good() {
    let mut platform = Platform::start().await;
    let site = platform.use_everything().await;
    let everybody: BTreeSet<usize> = (0..PEOPLE).collect();
    assert_eq!(platform.known().await, everybody, "sealed, and still known");
    let wrapped = platform.wrapped().await;
    let yesterday = platform.back_up().await;

    platform.erase().await;
    platform.check_that_every_route_was_used().await;
    check_at_rest(&platform, &site).await;
    check_opened(&platform).await;
    check_wrapped(&platform, &wrapped).await;
    check_seals(&platform, &[]).await;

    // The same again after the machine was lost, and everything was brought back as it was before anybody was erased.
    let lost = platform.lose_and_restore(&yesterday).await;
    check_at_rest(&platform, &site).await;
    check_opened(&platform).await;
    check_wrapped(&platform, &wrapped).await;
    check_seals(&platform, &[lost]).await;
    platform.stage.end().await;
}

/// (a) At rest: Postgres with its write-ahead log, Redis, ClickHouse, anchor, backups and logs lie below one folder.
async fn check_at_rest(platform: &Platform, site: &str) {
    let mut owner = PgConnection::connect(&platform.stage.connections.database_url)
        .await
        .unwrap();
    owner.execute("checkpoint").await.unwrap();
    let folder = platform.stage.directory();
    let control = holding(folder, CONTROL);
    for part in ["postgres", "pg_wal"] {
        assert!(
            control.iter().any(|path| path.contains(part)),
            "the search finds what is there: {control:?}"
        );
    }
    assert_eq!(holding(folder, MARK), Vec::<String>::new());
    let logs = holding(folder, "a person was erased");
    assert!(logs.iter().any(|path| path.ends_with(".log")), "{logs:?}");
    let dumps = dumps_holding(folder, CONTROL);
    assert!(
        dumps.values().any(|holds| *holds),
        "backups hold what is there: {dumps:?}"
    );
    let dumps = dumps_holding(folder, MARK);
    assert!(dumps.values().all(|holds| !holds), "{dumps:?}");
    let (events, keys) = (
        &platform.stage.connections.database_url,
        platform.keys_url(),
    );
    let control = tables_holding(events, CONTROL).await;
    assert!(
        control.iter().any(|table| table.starts_with("es.events")),
        "{control:?}"
    );
    for database in [events, &keys] {
        assert_eq!(tables_holding(database, MARK).await, [""; 0]);
    }
    platform.traces.check(MARK);
    let rows = rows_holding(platform, MARK).await;
    assert!(
        rows.len() > 2 && rows.values().all(|rows| *rows == 0),
        "{rows:?}"
    );
    let held = rows_holding(platform, site).await;
    assert!(
        held.values().any(|rows| *rows > 0),
        "the search finds what is there: {held:?}"
    );
    assert_eq!(keys_holding(platform, MARK).await, 0);
}

/// (b) Every key that there is opens everybody else, and none of those who were erased.
async fn check_opened(platform: &Platform) {
    let others: BTreeSet<usize> = (ERASED..PEOPLE).collect();
    assert_eq!(platform.known().await, others);
}

/// (c) What was copied before of every tree that somebody was taken out of opens nothing any more.
async fn check_wrapped(platform: &Platform, wrapped: &[(Uuid, String, Vec<u8>)]) {
    let provider = LocalKeyFile::open(&platform.stage.connections.key_file).unwrap();
    let (mut useless, still) = (0, platform.wrapped().await);
    for (key, wrapped_by, wrapped) in wrapped {
        if !still.iter().any(|(one, _, _)| one == key) {
            let unwrapped = provider.unwrap(wrapped_by, *key, wrapped).await;
            assert!(
                matches!(unwrapped, Err(ProviderError::UnknownKey(_))),
                "{unwrapped:?}"
            );
            useless += 1;
        }
    }
    assert_eq!(useless, TREES);
}

/// And the seals hold.
async fn check_seals(platform: &Platform, restored: &[Uuid]) {
    let pool = connect(&platform.stage.connections.database_url, Role::Sealer, 2).unwrap();
    let anchor = Anchor::open(&platform.stage.connections.anchor())
        .await
        .unwrap();
    let sealer = Sealer::new(pool.clone(), platform.vault(), vec![anchor.clone()]);
    sealer.seal(Due::Now).await.unwrap();
    sealer.anchor().await.unwrap();
    let audit = Audit {
        pool: &pool,
        anchors: &[anchor],
        origin: None,
        restored,
    };
    let verdict = audit.verify(1, None, |_, _| ()).await.unwrap();
    assert!(verdict.is_clean() && verdict.anchored > 0, "{verdict:?}");
}
