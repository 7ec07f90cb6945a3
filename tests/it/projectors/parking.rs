//! Poison parks its key, visibly and in order; the others go on, and what waited comes once.

use clap::Parser as _;
use domain::site::{SiteEvent, SiteSettings};
use domain::{AccountId, EmbedKey, Hostname, NotificationId, SiteId, SiteName};
use event_store::{Bucket, DeadLetter, DeadLetterError, DeadLetters, Role};
use projections::{CatchUpError, ProjectionState};
use replay_tools::Arguments;
use serde_json::json;
use uuid::Uuid;

use super::facts::{account, now, renamed, vanished};
use super::world::{World, rows};

fn letters(world: &World) -> DeadLetters {
    DeadLetters::new(world.pool(Role::Projector))
}

async fn waiting(world: &World, name: &str) -> Vec<DeadLetter> {
    letters(world).list(Some(name), false).await.unwrap()
}

fn registered(account: AccountId, name: &str, embed_key: EmbedKey) -> SiteEvent {
    SiteEvent::Registered {
        account_id: account,
        name: SiteName::parse(name).unwrap(),
        domain: Hostname::parse("shop.example").unwrap(),
        embed_key,
        data_region: None,
        settings: SiteSettings::try_new(3, 24).unwrap(),
        at: now(),
    }
}

#[tokio::test]
async fn an_event_whose_row_the_table_refuses_blocks_its_key_alone_and_comes_in_order() {
    let world = World::new().await;
    let account = account();
    let [first, second, third] = [(); 3].map(|()| Uuid::now_v7());
    let same_key = EmbedKey::from_bytes([7; 16]);
    let append = |site, expected, event| {
        let world = &world;
        async move {
            world
                .append(account, ("site", site), expected, &[event])
                .await
        }
    };
    append(first, 0, registered(account, "Shoes", same_key.clone())).await;
    let refused = append(second, 0, registered(account, "Hats", same_key)).await;
    append(second, 1, renamed("Caps")).await;
    append(
        third,
        0,
        registered(account, "Belts", EmbedKey::from_bytes([8; 16])),
    )
    .await;
    world.catch_up().await;

    assert_eq!(world.name_of(account, first.into()).await.unwrap(), "Shoes");
    assert_eq!(world.name_of(account, second.into()).await, None);
    assert_eq!(world.name_of(account, third.into()).await.unwrap(), "Belts");
    let waits = waiting(&world, "site_list").await;
    assert_eq!(waits.len(), 1, "{waits:?}");
    assert_eq!(
        (waits[0].position, waits[0].bucket),
        (refused, Bucket::of(second).as_i16())
    );
    assert!(
        waits[0].error.contains("could not store the row"),
        "{}",
        waits[0].error
    );
    let status = world.reads.positions().status().await.unwrap();
    let site_list = status.iter().find(|one| one.name == "site_list").unwrap();
    assert_eq!(
        (site_list.state, site_list.lag, site_list.parked_keys),
        (ProjectionState::Running, 0, 1)
    );

    // More comes meanwhile, and a try before anything was mended changes nothing.
    append(second, 2, renamed("Beanies")).await;
    assert_eq!(letters(&world).retry("site_list", None).await.unwrap(), 1);
    world.catch_up().await;
    assert_eq!(world.name_of(account, second.into()).await, None);
    assert_eq!(waiting(&world, "site_list").await[0].attempts, 6);

    sqlx::query("update rm_site_list_v1.site set embed_key = 'pk_other' where site_id = $1")
        .bind(first)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let asked = letters(&world).retry("site_list", Some(refused)).await;
    assert_eq!(asked.unwrap(), 1);
    world.catch_up().await;
    assert_eq!(
        world.name_of(account, second.into()).await.unwrap(),
        "Beanies"
    );
    assert!(waiting(&world, "site_list").await.is_empty());
    assert_eq!(rows(&world, "es.parked_keys").await, 0);
    let all = letters(&world).list(None, true).await.unwrap();
    assert!(all[0].projected_at.is_some() && all[0].discarded_at.is_none());
}

#[tokio::test]
async fn an_unknown_event_type_is_never_skipped_until_somebody_decides() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let stream = ("site", site.into());
    let position = world.append_raw(account, stream, 1, vec![vanished()]).await;
    world.append(account, stream, 2, &[renamed("Boots")]).await;
    let other = world.register_site(account, "Hats").await;
    world.catch_up().await;
    for list in [
        "integration_list",
        "notification_list",
        "proof_feed",
        "site_list",
        "subject_list",
    ] {
        let waits = waiting(&world, list).await;
        assert_eq!(waits.len(), 1, "{list}");
        assert!(
            waits[0].error.contains("site.vanished"),
            "{}",
            waits[0].error
        );
    }
    assert_eq!(world.name_of(account, site).await.unwrap(), "Shoes");
    assert_eq!(world.name_of(account, other).await.unwrap(), "Hats");

    let letters = letters(&world);
    let unreasoned = letters
        .discard("site_list", position, "operator:1", "")
        .await;
    assert!(matches!(unreasoned, Err(DeadLetterError::Decide(_))));
    let nowhere = letters
        .discard("site_list", position + 1, "operator:1", "typo")
        .await;
    assert!(matches!(nowhere, Err(DeadLetterError::NotWaiting { .. })));
    let discarded = letters.discard("site_list", position, "operator:1", "never released");
    discarded.await.unwrap();
    world.catch_up().await;
    assert_eq!(world.name_of(account, site).await.unwrap(), "Boots");

    // The decision is there for good, also for the projector's own role.
    let all = letters.list(Some("site_list"), true).await.unwrap();
    assert_eq!(
        (all[0].discarded_by.as_deref(), all[0].reason.as_deref()),
        (Some("operator:1"), Some("never released"))
    );
    for tampering in [
        "update es.dead_letters set reason = 'another' where name = 'site_list'",
        "delete from es.dead_letters",
        "truncate es.dead_letters",
    ] {
        assert!(
            sqlx::query(tampering)
                .execute(&mut world.owner().await)
                .await
                .is_err(),
            "{tampering}"
        );
    }
}

/// What `replay dead-letters` says, as an operator sees it.
async fn replay(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let fixed = [
        "replay",
        "--database-url",
        &world.database_url,
        "dead-letters",
    ];
    let arguments = Arguments::try_parse_from(fixed.iter().chain(arguments))?;
    let mut out = Vec::new();
    replay_tools::run(arguments, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

#[tokio::test]
async fn an_operator_lists_shows_retries_and_discards() {
    let world = World::new().await;
    let (account, site) = (account(), SiteId::from(Uuid::now_v7()));
    // Changes a row that no event has made.
    let stream = ("site", site.into());
    let position = world.append(account, stream, 0, &[renamed("Boots")]).await;
    world.catch_up().await;
    let at = position.to_string();

    let listed = replay(&world, &["list"]).await.unwrap();
    assert!(
        listed.contains("site_list") && listed.contains("earlier event should have made"),
        "{listed}"
    );
    let shown = replay(&world, &["show", "site_list", &at]).await.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["event"]["type"], "site.renamed");
    assert!(!shown.to_string().contains("Boots"), "{shown}");

    replay(&world, &["retry", "site_list", &at]).await.unwrap();
    world.catch_up().await;
    let listed = replay(&world, &["list", "--json"]).await.unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["attempts"], &listed[0]["state"]),
        (&json!(6), &json!("waits"))
    );

    for (wrong, because) in [
        (vec!["show", "site_list", "9"], "ever waited"),
        (vec!["retry", "site_list", "9"], "waits at position 9"),
        (vec!["retry", "proof_feed"], "no key of proof_feed"),
        (vec!["discard", "site_list", &at, "--by", "me"], "--reason"),
        (
            vec!["discard", "site_list", &at, "--by", "me", "--reason", " "],
            "a reason",
        ),
    ] {
        let error = replay(&world, &wrong).await.unwrap_err();
        assert!(
            format!("{error:#}").contains(because),
            "{wrong:?}: {error:#}"
        );
    }
    let discard = [
        "discard",
        "site_list",
        &at,
        "--by",
        "me",
        "--reason",
        "a slip",
    ];
    replay(&world, &discard).await.unwrap();
    world.catch_up().await;
    assert_eq!(rows(&world, "es.parked_keys").await, 0);
    assert!(
        !replay(&world, &["list"])
            .await
            .unwrap()
            .contains("site_list")
    );
    let all = replay(&world, &["list", "--all"]).await.unwrap();
    assert!(all.contains("discarded"), "{all}");
}

#[tokio::test]
async fn poison_among_telemetry_holds_back_its_site_in_redis_and_clickhouse_and_then_counts_once() {
    let world = World::new().await;
    let account = account();
    let [bad, good] = [(); 2].map(|()| SiteId::from(Uuid::now_v7()));
    let shown = NotificationId::from(Uuid::now_v7());
    world
        .collect((account, bad, shown), "click", now(), 100)
        .await;
    let position = world.collect_poison(account, bad).await;
    world
        .collect((account, bad, shown), "click", now(), 10)
        .await;
    world
        .collect((account, good, shown), "click", now(), 70)
        .await;
    world.catch_up().await;
    assert_eq!(world.clicks((account, bad, shown)).await, 100);
    assert_eq!(world.clicks((account, good, shown)).await, 70);
    assert_eq!(world.facts().await, (170, 170));
    world
        .collect((account, bad, shown), "click", now(), 1)
        .await;
    world.catch_up().await;
    assert_eq!(world.facts().await, (170, 170));

    // A crash at the worst moment: what waited is written, and this could not be noted.
    let mut owner = world.owner().await;
    let letters = letters(&world);
    for name in ["telemetry_counters", "telemetry_facts"] {
        let discarded = letters.discard(name, position, "operator:1", "a broken script");
        discarded.await.unwrap();
    }
    let revoked = "revoke delete on es.parked_keys from proofline_projector";
    sqlx::query(revoked).execute(&mut owner).await.unwrap();
    let stopped = world.projections.catch_up_all().await;
    assert!(
        matches!(stopped, Err(CatchUpError::Stopped(_))),
        "{stopped:?}"
    );
    let granted = "grant delete on es.parked_keys to proofline_projector";
    sqlx::query(granted).execute(&mut owner).await.unwrap();
    world
        .collect((account, bad, shown), "click", now(), 5)
        .await;
    world.another_process().await.catch_up_all().await.unwrap();
    assert_eq!(world.clicks((account, bad, shown)).await, 116);
    assert_eq!(world.facts().await, (186, 186));
    assert_eq!(rows(&world, "es.parked_keys").await, 0);
    assert_eq!(rows(&world, "es.intents").await, 0);

    // The same key once more.
    let again = world.collect_poison(account, bad).await;
    world
        .collect((account, bad, shown), "click", now(), 3)
        .await;
    world.catch_up().await;
    assert_eq!(world.clicks((account, bad, shown)).await, 116);
    for name in ["telemetry_counters", "telemetry_facts"] {
        letters
            .discard(name, again, "operator:1", "again")
            .await
            .unwrap();
    }
    world.catch_up().await;
    assert_eq!(world.clicks((account, bad, shown)).await, 119);
    assert_eq!(world.facts().await, (189, 189));
}

#[tokio::test]
async fn too_many_parked_keys_stop_the_projection() {
    let world = World::new().await;
    let account = account();
    let buckets = (0..40).map(|_| SiteId::from(Uuid::now_v7()));
    for site in buckets {
        world.collect_poison(account, site).await;
    }
    let Err(CatchUpError::Stopped(stopped)) = world.projections.catch_up_all().await else {
        panic!("went on");
    };
    assert!(
        stopped.source.to_string().contains("keys are parked"),
        "{}",
        stopped.source
    );
}
