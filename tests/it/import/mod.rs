//! `replay import` from a database that postgres-es itself has written.

mod source;

use std::process::Stdio;
use std::time::{Duration, Instant};

use commands::Secrets;
use domain::Email;
use event_store::StreamId;
use event_store::vault::LocalKeyFile;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use self::source::{AT, Source, TENANT, appended, stored};
use crate::projectors::world::{World, rows};

#[tokio::test]
async fn a_database_of_postgres_es_comes_in_and_is_projected() {
    let world = World::new().await;
    let source = Source::new(&world).await;
    for n in 0..3 {
        source.site(n).await;
    }
    let dry = source.import(&world, &["--dry-run"]).await;
    dry.ended.clone().unwrap();
    assert_eq!((dry.events(), appended(&world).await), ([9, 9, 0, 0], 0));

    let imported = source.import(&world, &[]).await;
    imported.ended.clone().unwrap();
    assert_eq!(imported.events(), [9, 9, 0, 0]);
    assert_eq!(stored(&world).await, source.events().await);
    world.catch_up().await;
    assert_eq!(rows(&world, "rm_site_list_v1.site").await, 3);
    assert_eq!(
        rows(
            &world,
            "rm_notification_list_v1.notification where status = 'published'"
        )
        .await,
        3
    );

    let again = source.import(&world, &[]).await;
    again.ended.clone().unwrap();
    assert_eq!((again.events(), appended(&world).await), ([9, 0, 9, 0], 9));

    // The source goes on, and so does the import.
    source.site(3).await;
    let grown = source.import(&world, &[]).await;
    assert_eq!(grown.events(), [12, 3, 9, 0]);
    assert_eq!(stored(&world).await, source.events().await);

    // A domain belongs to one site, imported or not.
    let twin = Uuid::from_u128(0x7717).to_string();
    sqlx::query(
        "insert into events select aggregate_type, $1, sequence, event_type, event_version, payload, metadata
         from events where aggregate_type = 'site' limit 1",
    )
    .bind(&twin)
    .execute(&source.pool)
    .await
    .unwrap();
    let refused = source.import(&world, &[]).await.refused();
    assert!(
        refused[&twin].contains("was claimed at position"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn personal_data_that_the_map_names_is_sealed_under_the_platforms_own_subject() {
    let world = World::new().await;
    let source = Source::new(&world).await;
    let site = source.site(0).await;
    let order = Uuid::from_u128(0xac).to_string();
    let payload = json!({ "OrderPlaced": {
        "site_id": site, "kind": "order", "occurred_at": AT, "items_count": 1, "at": AT, "note": "call 555-0100",
        "buyer": { "first_name": "Anna", "email": "Anna@Example.com" },
    }});
    let metadata = json!({ "trace": "t-1", "user": "anna@example.com" });
    source
        .insert_with(("Order", &order), 1, "OrderPlaced", payload, metadata)
        .await;

    // Not by its own names; by ours, with personal data in the clear, neither.
    let unmapped = source.import(&world, &[]).await;
    assert!(unmapped.refused()["*"].contains("unknown to this build"));
    let mut event = json!({ "as": "activity.recorded", "content": "/OrderPlaced" });
    let mut map = json!({ "aggregates": { "Order": { "as": "activity", "events": { "OrderPlaced": event } } } });
    let undecided = source.import(&world, &["--map", &source.map(&map)]).await;
    assert!(undecided.refused()[&order].contains("neither keeps nor drops"));
    map["metadata"] = json!({ "keep": ["trace"], "drop": ["user"] });
    let unsealed = source.import(&world, &["--map", &source.map(&map)]).await;
    assert!(unsealed.refused()[&order].contains("not of its shape"));
    event["personal"] = json!([{ "at": "/buyer", "email": "/buyer/email" }]);
    map["aggregates"]["Order"]["events"]["OrderPlaced"] = event.clone();
    let unknown = source.import(&world, &["--map", &source.map(&map)]).await;
    assert!(
        unknown.refused()[&order].contains("/note"),
        "{:?}",
        unknown.refused()
    );
    event["drop"] = json!(["/note"]);
    map["aggregates"]["Order"]["events"]["OrderPlaced"] = event;
    let imported = source.import(&world, &["--map", &source.map(&map)]).await;
    imported.ended.unwrap();

    let id = StreamId {
        aggregate_type: "activity".to_owned(),
        aggregate_id: order,
    };
    let streams = world.store.streams();
    let [event] = &streams.events_after(&id, 0).await.unwrap()[..] else {
        panic!("one event")
    };
    let all = format!("{} {}", event.payload.get(), event.metadata.get());
    for personal in ["Anna", "anna@", "555-0100"] {
        assert!(!all.contains(personal), "{all}");
    }
    let metadata: Value = serde_json::from_str(event.metadata.get()).unwrap();
    assert_eq!(metadata["source"], "postgres-es");
    assert_eq!(
        metadata["imported"],
        json!({ "from": "old-shop", "metadata": { "trace": "t-1" } })
    );
    let mut payload = event.payload_value().unwrap();
    streams
        .vault()
        .open(TENANT, event.event_id, &mut payload)
        .await
        .unwrap();
    let secrets = Secrets::of(LocalKeyFile::open(&world.key_file()).unwrap().root());
    let anna = secrets.subject_of_email(TENANT.into(), &Email::parse("anna@example.com").unwrap());
    assert_eq!(payload["buyer"]["$pii"]["subject"], json!(anna));
    assert_eq!(payload["buyer"]["$pii"]["value"]["first_name"], "Anna");
    world.catch_up().await;
    assert_eq!(rows(&world, "rm_proof_feed_v1.proof").await, 1);
}

#[tokio::test]
async fn what_can_not_come_in_is_reported_and_the_rest_comes_in() {
    let world = World::new().await;
    let source = Source::new(&world).await;
    let site = source.site(0).await;
    let withdrawn = || json!({ "site_id": site, "reason": "refunded", "at": AT });
    let id = |n: u128| Uuid::from_u128(0xbad0 + n).to_string();
    let activity = "activity.withdrawn";
    let insert = async |id: &str, sequence, payload| {
        source
            .insert(("activity", id), sequence, activity, payload)
            .await;
    };
    insert(&id(0), 1, withdrawn()).await; // good
    insert(&id(1), 1, withdrawn()).await;
    insert(&id(1), 3, withdrawn()).await;
    insert("order-7", 1, withdrawn()).await;
    insert(&id(2), 1, json!("Withdrawn")).await;
    let mut elsewhere = withdrawn();
    elsewhere["site_id"] = json!(Uuid::from_u128(0xfff));
    insert(&id(3), 1, elsewhere).await;
    insert(&id(4), 1, withdrawn()).await;
    let archived = ("activity", &*id(4));
    source
        .insert(archived, 2, "activity.archived", withdrawn())
        .await;
    source.insert(("Bank", "1"), 1, "Robbed", json!({})).await;
    // One stands here already, by somebody else's hand; another is another tenant's.
    let standing = |n: u128, tenant| {
        let mut append = crate::support::append(&id(n));
        append.tenant = tenant;
        append.stream.aggregate_type = "activity".to_owned();
        append.events[0].event_type = activity.to_owned();
        append.events[0].payload = withdrawn();
        append
    };
    world.store.append(standing(5, TENANT)).await.unwrap();
    world
        .store
        .append(standing(6, Uuid::from_u128(2)))
        .await
        .unwrap();
    insert(&id(5), 1, withdrawn()).await;
    insert(&id(6), 1, withdrawn()).await;

    let dry = source.import(&world, &["--dry-run"]).await;
    assert_eq!(appended(&world).await, 2);
    let imported = source.import(&world, &[]).await;
    let error = imported.ended.clone().unwrap_err();
    assert!(
        error.contains("7 streams and 1 whole types were refused"),
        "{error}"
    );
    assert_eq!(imported.events(), [14, 4, 0, 10]);
    let refused = imported.refused();
    assert_eq!(dry.refused(), refused);
    for (id, reason) in [
        (id(1), "sequence 2 was expected and 3 was found"),
        ("order-7".to_owned(), "not a UUID"),
        (id(2), "not an object"),
        (id(3), "is not one of the account's"),
        (id(4), "activity.archived"),
        (id(5), "another event stands here"),
        (id(6), "belongs to another account"),
        ("*".to_owned(), "aggregate type Bank is unknown"),
    ] {
        assert!(refused[&id].contains(reason), "{id}: {}", refused[&id]);
    }
    assert_eq!(refused.len(), 8);
    // Nothing of a refused stream came in, and what came in can be read by everybody.
    assert_eq!(appended(&world).await, 2 + 4);
    world.catch_up().await;
}

#[tokio::test]
async fn an_import_that_is_killed_half_way_and_run_again_brings_everything_once() {
    const ORDERS: i32 = 4_000;
    let world = World::new().await;
    let source = Source::new(&world).await;
    let site = source.site(0).await;
    source.orders(site, ORDERS).await;
    let all = source.events().await;
    let mut kills = 0;
    for share in [0.1, 0.4, 0.7] {
        let program = crate::faults::program().with_file_name("replay");
        let mut child = Command::new(program)
            .args(&source.arguments(&world, &[])[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary `replay`; `make test` builds it");
        let deadline = Instant::now() + Duration::from_secs(120);
        while (appended(&world).await as f64) < all.len() as f64 * share {
            assert!(Instant::now() < deadline, "the import goes on");
            assert_eq!(child.try_wait().unwrap(), None, "the import is under way");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        child.kill().await.unwrap();
        kills += 1;
    }
    let came_in = appended(&world).await as usize;
    assert!(kills == 3 && came_in < all.len(), "it was killed half way");

    let finished = source.import(&world, &[]).await;
    finished.ended.clone().unwrap();
    let [read, imported, found, refused] = finished.events();
    assert_eq!((read, refused), (all.len() as u64, 0));
    // What the last one sent before it died may have been committed after it was counted here.
    assert!(
        found >= came_in as u64 && imported + found == read,
        "{imported} {found}"
    );
    assert_eq!(stored(&world).await, all);
    let ids: i64 = rows(&world, "(select distinct event_id from es.events) e").await;
    assert_eq!(ids, all.len() as i64);
    world.catch_up().await;
    assert_eq!(
        rows(&world, "rm_site_list_v1.site where name = 'Shop 2500'").await,
        1
    );
}
