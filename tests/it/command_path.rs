//! A test per row of the table in docs/command-path.md.

use commands::{
    Call, ClientKey, CommandError, Commands, NewActivity, NewNotification, NewSite, Secrets,
    Telemetry,
};
use domain::activity::ActivityKind;
use domain::{
    AccountId, ExternalId, Hostname, MessageTemplate, NotificationId, NotificationName, SiteId,
    SiteName,
};
use event_store::{Role, Store, Streams, TelemetryLog};
use futures::future::join_all;
use sha2::{Digest as _, Sha256};
use tests::World;
use uuid::Uuid;

use crate::support::{TENANT, tag_key};

/// A process of the platform, as far as commands go.
async fn commands(world: &World) -> Commands {
    commands_on(world, world.store().await).await
}

async fn commands_on(world: &World, store: Store) -> Commands {
    let telemetry = Telemetry::new(
        world.telemetry().await,
        TelemetryLog::open(world.pool(Role::Writer)).await.unwrap(),
    );
    Commands::new(store, telemetry, Secrets::new([1; 32], [2; 32]))
}

pub(crate) fn call() -> Call {
    Call {
        account: AccountId::from(TENANT),
        actor: "test".to_owned(),
        at: "2026-11-21T12:00:00Z".parse().unwrap(),
        correlation_id: Uuid::now_v7(),
        request_id: "r".to_owned(),
        source: "test",
        key: None,
        if_match: None,
        causation_id: None,
        reason: None,
    }
}

fn keyed(key: &str, request: &str) -> Call {
    Call {
        key: Some(ClientKey::new(&TENANT, key, &[request.as_bytes()])),
        ..call()
    }
}

fn site(name: &str) -> NewSite {
    NewSite {
        name: SiteName::parse(name).unwrap(),
        domain: Hostname::parse("shop.example.com").unwrap(),
        data_region: None,
    }
}

fn name(text: &str) -> Option<SiteName> {
    Some(SiteName::parse(text).unwrap())
}

async fn registered(process: &Commands) -> SiteId {
    let registered = process.sites.register(&call(), site("Shop")).await;
    SiteId::from(registered.unwrap().aggregate_id)
}

/// Registers a site and drafts a notification.
async fn drafted(process: &Commands) -> (SiteId, NotificationId) {
    let site_id = registered(process).await;
    let notification = NewNotification {
        name: NotificationName::parse("Sales").unwrap(),
        message: MessageTemplate::parse("{first_name} bought {product}").unwrap(),
    };
    let drafted = process
        .notifications
        .draft(&call(), site_id, notification)
        .await
        .unwrap();
    (site_id, NotificationId::from(drafted.aggregate_id))
}

async fn events(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from es.events")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn key_known_same_request_answers_with_the_stored_result() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let first = here
        .sites
        .register(&keyed("k", "a"), site("Shop"))
        .await
        .unwrap();
    let again = there
        .sites
        .register(&keyed("k", "a"), site("Shop"))
        .await
        .unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(
        (first.aggregate_id, first.version, first.position),
        (again.aggregate_id, again.version, again.position)
    );
    assert_eq!(events(&world).await, 1);
}

#[tokio::test]
async fn key_known_other_request_is_refused() {
    let world = World::new().await;
    let process = commands(&world).await;
    process
        .sites
        .register(&keyed("k", "a"), site("Shop"))
        .await
        .unwrap();
    let reused = process
        .sites
        .register(&keyed("k", "b"), site("Other"))
        .await;
    assert!(matches!(reused, Err(CommandError::KeyReused)));
    assert_eq!(events(&world).await, 1);
}

/// Nobody who has the rows alone can try out what was sent, whatever the command.
#[tokio::test]
async fn what_is_stored_of_a_request_is_hashed_with_a_secret() {
    let world = World::new().await;
    let process = commands(&world).await;
    let first = process.sites.register(&keyed("k", "a"), site("Shop")).await;
    let mut owner = world.owner().await;
    let plain = Sha256::digest([&1_u64.to_be_bytes()[..], b"a"].concat()).to_vec();
    let stored: Vec<u8> = sqlx::query_scalar("select request_hash from es.commands")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_ne!(stored, plain);

    // As builds stored it that hashed without one.
    sqlx::query("update es.commands set request_hash = $1")
        .bind(plain)
        .execute(&mut owner)
        .await
        .unwrap();
    for process in [process, commands(&world).await] {
        let again = process.sites.register(&keyed("k", "a"), site("Shop")).await;
        let again = again.unwrap();
        assert!(again.replayed);
        assert_eq!(again.aggregate_id, first.as_ref().unwrap().aggregate_id);
        let reused = process.sites.register(&keyed("k", "b"), site("Shop")).await;
        assert!(matches!(reused, Err(CommandError::KeyReused)));
    }
}

#[tokio::test]
async fn key_known_answers_also_where_the_decision_would_now_be_refused() {
    let world = World::new().await;
    let process = commands(&world).await;
    let (site_id, id) = drafted(&process).await;
    let published = process
        .notifications
        .publish(&keyed("k", "publish"), site_id, id)
        .await
        .unwrap();
    process
        .notifications
        .archive(&call(), site_id, id)
        .await
        .unwrap();
    assert!(
        process
            .notifications
            .publish(&call(), site_id, id)
            .await
            .is_err()
    );
    let again = process
        .notifications
        .publish(&keyed("k", "publish"), site_id, id)
        .await
        .unwrap();
    assert_eq!((again.version, again.replayed), (published.version, true));
}

#[tokio::test]
async fn cached_and_stale_events_decided_are_decided_again() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let id = registered(&here).await;
    there
        .sites
        .change(&call(), id, name("Theirs"), None)
        .await
        .unwrap();
    let changed = here
        .sites
        .change(&call(), id, name("Ours"), None)
        .await
        .unwrap();
    assert_eq!(changed.version, 3);
}

#[tokio::test]
async fn cached_and_stale_refusal_is_confirmed_against_the_head() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let (site_id, id) = drafted(&here).await;
    assert!(matches!(
        here.notifications.pause(&call(), site_id, id).await,
        Err(CommandError::Refused(_))
    ));
    there
        .notifications
        .publish(&call(), site_id, id)
        .await
        .unwrap();
    let paused = here
        .notifications
        .pause(&call(), site_id, id)
        .await
        .unwrap();
    assert_eq!(paused.version, 3);
}

#[tokio::test]
async fn cached_and_stale_empty_decision_is_confirmed_against_the_head() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let (site_id, id) = drafted(&here).await;
    here.notifications
        .publish(&call(), site_id, id)
        .await
        .unwrap();
    there
        .notifications
        .pause(&call(), site_id, id)
        .await
        .unwrap();
    // Here it still looks published, so resuming looks done.
    let resumed = here
        .notifications
        .resume(&call(), site_id, id)
        .await
        .unwrap();
    assert_eq!(resumed.version, 4);
}

#[tokio::test]
async fn a_current_refusal_is_refused_and_appends_nothing() {
    let world = World::new().await;
    let process = commands(&world).await;
    let (site_id, id) = drafted(&process).await;
    let refused = process
        .notifications
        .resume(&keyed("k", "a"), site_id, id)
        .await;
    assert!(matches!(refused, Err(CommandError::Refused(_))));
    assert_eq!(events(&world).await, 2);
    // A refusal is not stored: the same key works once the state allows it.
    process
        .notifications
        .publish(&call(), site_id, id)
        .await
        .unwrap();
    assert!(
        !process
            .notifications
            .resume(&keyed("k", "a"), site_id, id)
            .await
            .unwrap()
            .replayed
    );
}

#[tokio::test]
async fn a_current_empty_decision_under_a_key_is_stored() {
    let world = World::new().await;
    let process = commands(&world).await;
    let (site_id, id) = drafted(&process).await;
    process
        .notifications
        .publish(&call(), site_id, id)
        .await
        .unwrap();
    let done = process
        .notifications
        .publish(&keyed("k", "a"), site_id, id)
        .await
        .unwrap();
    assert_eq!((done.version, done.replayed), (2, false));
    process
        .notifications
        .pause(&call(), site_id, id)
        .await
        .unwrap();
    let again = process
        .notifications
        .publish(&keyed("k", "a"), site_id, id)
        .await
        .unwrap();
    assert_eq!((again.version, again.replayed), (2, true));
    assert_eq!(events(&world).await, 4);
}

#[tokio::test]
async fn a_repeat_that_overlaps_its_first_request_is_answered_with_its_result() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let id = registered(&here).await;
    // Both are made conditional on version 1, so whoever comes second meets what the first has done.
    for round in 1..20 {
        let conditional = Call {
            if_match: Some(round),
            ..keyed(&format!("k-{round}"), "same")
        };
        let renamed = name(&format!("Name {round}"));
        let (one, two) = tokio::join!(
            here.sites.change(&conditional, id, renamed.clone(), None),
            there.sites.change(&conditional, id, renamed.clone(), None),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.version, two.version), (round + 1, round + 1));
        assert!(one.replayed != two.replayed, "one of them did it");
    }
}

#[tokio::test]
async fn if_match_holds_against_the_head_and_not_the_cache() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let id = registered(&here).await;
    there
        .sites
        .change(&call(), id, name("Theirs"), None)
        .await
        .unwrap();
    let at = |version| Call {
        if_match: Some(version),
        ..call()
    };
    let stale = here.sites.change(&at(1), id, name("Ours"), None).await;
    assert!(
        matches!(stale, Err(CommandError::VersionMismatch { actual: 2 })),
        "{stale:?}"
    );
    assert_eq!(
        here.sites
            .change(&at(2), id, name("Ours"), None)
            .await
            .unwrap()
            .version,
        3
    );
}

#[tokio::test]
async fn another_accounts_aggregate_is_not_found_cached_or_not() {
    let world = World::new().await;
    let process = commands(&world).await;
    let id = registered(&process).await;
    let foreign = Call {
        account: AccountId::from(Uuid::from_u128(9)),
        ..call()
    };
    for _ in 0..2 {
        let refused = process.sites.change(&foreign, id, name("Mine"), None).await;
        assert!(
            matches!(refused, Err(CommandError::NotFound)),
            "{refused:?}"
        );
    }
    assert_eq!(events(&world).await, 1);
}

#[tokio::test]
async fn commands_on_one_stream_all_succeed_one_after_the_other() {
    let world = World::new().await;
    let processes = [commands(&world).await, commands(&world).await];
    let id = registered(&processes[0]).await;
    let (calls, names): (Vec<_>, Vec<_>) = (0..64)
        .map(|n| (call(), name(&format!("Name {n}"))))
        .unzip();
    let changes = (0..64).map(|n| {
        processes[n % 2]
            .sites
            .change(&calls[n], id, names[n].clone(), None)
    });
    let mut versions: Vec<_> = join_all(changes)
        .await
        .into_iter()
        .map(|done| done.unwrap().version)
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..66).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_command_that_makes_something_new_reads_nothing() {
    let world = World::new().await;
    // May read neither streams nor stored results: whatever looks there fails.
    let blind = async || {
        let streams = Streams::new(world.pool(Role::Reader), world.vault(), domain::upcasters());
        let lane = event_store::connect_lane(&world.database_url).unwrap();
        let store = Store::open(lane, streams, tag_key()).await.unwrap();
        commands_on(&world, store).await
    };
    let process = blind().await;
    drafted(&process).await;
    let other = NewSite {
        domain: Hostname::parse("other.example.com").unwrap(),
        ..site("Other")
    };
    let first = process
        .sites
        .register(&keyed("k", "a"), other.clone())
        .await
        .unwrap();
    let again = blind()
        .await
        .sites
        .register(&keyed("k", "a"), other.clone())
        .await
        .unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(again.aggregate_id, first.aggregate_id);
    let reused = blind()
        .await
        .sites
        .register(&keyed("k", "b"), other.clone())
        .await;
    // What it can't be sure of it looks at, which fails here.
    let denied = process.sites.register(&keyed("k", "a"), other).await;
    for refused in [reused, denied] {
        assert!(
            matches!(refused, Err(CommandError::Unavailable(_))),
            "{refused:?}"
        );
    }
    assert_eq!(events(&world).await, 3);
}

#[tokio::test]
async fn an_order_that_is_reported_twice_is_one_activity() {
    let world = World::new().await;
    let (here, there) = (commands(&world).await, commands(&world).await);
    let site_id = registered(&here).await;
    let order = NewActivity {
        kind: ActivityKind::Order,
        occurred_at: call().at,
        buyer: None,
        product: None,
        items_count: 1,
        total: None,
    };
    let external_id = ExternalId::parse("order-1").unwrap();
    let report = async |process: &Commands, call: &Call| {
        let id = Some(external_id.clone());
        process
            .activities
            .record(call, site_id, id, order.clone())
            .await
            .unwrap()
    };
    let first = report(&here, &keyed("a", "a")).await;
    let second = report(&there, &keyed("b", "b")).await;
    let third = report(&there, &call()).await;
    assert!(first.changed && !second.changed && !third.changed);
    for again in [&second, &third] {
        assert_eq!((again.aggregate_id, again.version), (first.aggregate_id, 1));
    }
    assert_eq!(events(&world).await, 2);
}
