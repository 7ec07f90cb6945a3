//! Conditions across streams: what the lane answers, whoever appends meanwhile.

use event_store::{Append, AppendError, Excluded, Role, Tag};
use futures::future::join_all;
use sqlx::Executor as _;
use tests::World;

use crate::support::{OTHER_TENANT, append, event, keyed, stream};

fn tag(value: &str) -> Tag {
    Tag::new("seat", value)
}

fn excluded(value: &str) -> Excluded {
    Excluded {
        tag: tag(value),
        also: Vec::new(),
        types: vec!["thing.happened".to_owned()],
        after: 0,
    }
}

/// One event under the tags.
fn tagged(id: &str, values: &[&str]) -> Append {
    let mut append = append(id);
    append.events[0].tags = values.iter().copied().map(tag).collect();
    append
}

/// Takes what its tag names, unless it is taken.
fn taking(id: &str, value: &str) -> Append {
    Append {
        excluded: vec![excluded(value)],
        ..tagged(id, &[value])
    }
}

fn position(result: &Result<event_store::Appended, AppendError>) -> i64 {
    match result {
        Err(AppendError::ConditionFailed { position }) => *position,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_excluded_event_refuses_the_command_and_names_its_position() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("unrelated")).await.unwrap();
    assert_eq!(store.append(taking("a", "1")).await.unwrap().position, 2);
    let mut foreign = taking("b", "1");
    foreign.tenant = OTHER_TENANT;
    assert_eq!(position(&store.append(foreign).await), 2);
    assert_eq!(store.append(taking("b", "2")).await.unwrap().position, 3);
    assert_eq!(
        store.streams().head(&stream("nothing")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn only_what_has_all_tags_and_one_of_the_types_after_the_position_is_excluded() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(tagged("a", &["1", "2"])).await.unwrap();
    store.append(tagged("b", &["1"])).await.unwrap();
    let mut ask = 0;
    let mut with = |excluded: Vec<Excluded>| {
        ask += 1;
        Append {
            excluded,
            ..append(&format!("ask-{ask}"))
        }
    };
    let both = Excluded {
        also: vec![tag("2")],
        ..excluded("1")
    };
    let later = Excluded {
        after: 1,
        ..both.clone()
    };
    let other_type = Excluded {
        types: vec!["thing.else".to_owned()],
        ..excluded("1")
    };
    let any_type = Excluded {
        types: Vec::new(),
        ..excluded("1")
    };
    assert_eq!(position(&store.append(with(vec![both])).await), 1);
    assert!(store.append(with(vec![later.clone()])).await.is_ok());
    assert!(store.append(with(vec![other_type.clone()])).await.is_ok());
    // One alternative is enough, and the last event that it excludes is named.
    let alternatives = vec![later, other_type, any_type];
    assert_eq!(position(&store.append(with(alternatives)).await), 2);
}

#[tokio::test]
async fn of_many_that_want_the_same_exactly_one_wins_in_one_process_and_in_several() {
    let world = World::new().await;
    let stores = [world.store().await, world.store().await];
    for round in 0..10 {
        let value = format!("{round}");
        let wanted = (0..16).map(|n| stores[n % 2].append(taking(&format!("{round}-{n}"), &value)));
        let results = join_all(wanted).await;
        let won: Vec<_> = results.iter().flatten().collect();
        assert_eq!(won.len(), 1, "{results:?}");
        for lost in results.iter().filter(|result| result.is_err()) {
            assert_eq!(position(lost), won[0].position);
        }
    }
}

#[tokio::test]
async fn an_event_without_a_condition_of_its_own_counts_as_well() {
    let world = World::new().await;
    let store = world.store().await;
    let appends = (0..40).map(|n| {
        let value = format!("{}", n / 2);
        let id = format!("s-{n}");
        store.append(match n % 2 {
            0 => tagged(&id, &[&value]),
            _ => taking(&id, &value),
        })
    });
    let results = join_all(appends).await;
    for pair in results.chunks(2) {
        // Two calls may be in flight: whoever has the lower position was first, and the other was told so.
        let tagged = pair[0].as_ref().unwrap().position;
        match &pair[1] {
            Ok(taken) => assert!(taken.position < tagged),
            refused => assert_eq!(position(refused), tagged),
        }
    }
}

#[tokio::test]
async fn a_repeat_of_the_winner_is_answered_with_its_result() {
    let world = World::new().await;
    let store = world.store().await;
    let first = store.append(keyed(taking("a", "1"), 7, 1)).await.unwrap();
    let again = store.append(keyed(taking("a", "1"), 7, 1)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.position, first.position);
}

#[tokio::test]
async fn a_failed_condition_costs_nobody_else_anything() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(taking("a", "1")).await.unwrap();
    let mut several = taking("c", "2");
    several.events.push(event(serde_json::json!({ "n": 2 })));
    let (before, refused, after) = tokio::join!(
        store.append(append("b")),
        store.append(taking("lost", "1")),
        store.append(several)
    );
    assert!(before.is_ok());
    assert_eq!(position(&refused), 1);
    assert_eq!(after.unwrap().version, 2);
    let tagged: Vec<i64> = sqlx::query_scalar("select position from es.tags order by position")
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(tagged.len(), 2);
    assert_eq!(tagged[0], 1);
}

#[tokio::test]
async fn tags_are_stored_as_hashes_and_seen_by_no_runtime_role() {
    let world = World::new().await;
    world
        .store()
        .await
        .append(taking("a", "anna"))
        .await
        .unwrap();
    let found: i64 = sqlx::query_scalar(
        "select count(*) from es.tags where position(convert_to('anna', 'UTF8') in tag) > 0",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(found, 0);
    for role in [Role::Writer, Role::Projector, Role::Reader] {
        let read = world.pool(role).execute("select * from es.tags").await;
        assert!(read.is_err(), "{role:?}");
    }
}
