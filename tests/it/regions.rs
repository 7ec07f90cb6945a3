//! Where a platform's data may lie, and what is not opened elsewhere.

use std::fs::{read_to_string, write};

use domain::DataRegion;
use proofline::app::{App, Part};
use proofline::config::Connections;
use proofline::migrate::migrate;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;

use crate::backups::{elsewhere, replay};
use crate::served::{Served, connections, tuning};

fn in_region(world: &World, region: &str) -> Connections {
    Connections {
        region: Some(DataRegion::parse(region).unwrap()),
        ..connections(world)
    }
}

async fn refused(connections: &Connections) -> String {
    let opened = App::open(Part::All, connections, &tuning()).await;
    format!("{:#}", opened.err().unwrap())
}

#[tokio::test]
async fn databases_of_another_region_are_not_opened() {
    let world = World::new().await;
    let eu = in_region(&world, "eu");
    let said = refused(&eu).await;
    assert!(said.contains("belongs to no region yet"), "{said}");
    assert!(!world.key_file().exists(), "no key was made for it");
    migrate(&eu).await.unwrap();
    migrate(&eu).await.unwrap();
    App::open(Part::All, &eu, &tuning()).await.unwrap();
    let us = in_region(&world, "us");
    let belongs = "the event store belongs to region eu, and this process to us";
    assert_eq!(migrate(&us).await.unwrap_err().to_string(), belongs);
    assert_eq!(refused(&us).await, belongs);
    let said = refused(&connections(&world)).await;
    assert!(said.contains("name its region"), "{said}");

    // Keys that came from elsewhere are noticed by themselves.
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    let moved = "update keys.region set name = 'us'";
    keys.execute(moved).await.unwrap();
    let of_keys = "the key database belongs to region us, and this process to eu";
    assert_eq!(refused(&eu).await, of_keys);
    // And where one of the two belongs elsewhere, the other is told nothing.
    let half = World::new().await;
    let mut keys = PgConnection::connect(&half.keys_url).await.unwrap();
    let bound = "insert into keys.region (name) values ('us')";
    keys.execute(bound).await.unwrap();
    let said = migrate(&in_region(&half, "eu")).await.unwrap_err();
    assert_eq!(said.to_string(), of_keys);
    let told: i64 = sqlx::query_scalar("select count(*) from es.region")
        .fetch_one(&mut half.owner().await)
        .await
        .unwrap();
    assert_eq!(told, 0);
}

#[tokio::test]
async fn a_site_is_registered_in_the_region_that_its_data_has_to_lie_in() {
    let world = World::new().await;
    let eu = in_region(&world, "eu");
    migrate(&eu).await.unwrap();
    let it = Served::on(world, eu).await;
    let register = async |domain: &str, region: Value| {
        let mut body = json!({ "name": "Trail", "domain": domain });
        if !region.is_null() {
            body["data_region"] = region;
        }
        it.post("/v1/sites", body).await
    };
    for (domain, asked) in [
        ("a.example.com", json!("EU")),
        ("b.example.com", Value::Null),
    ] {
        let site = register(domain, asked).await.is(201).body;
        it.catch_up().await;
        let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
        let read = it.get(&path).await.is(200);
        assert_eq!(read.body["data_region"], "eu");
    }
    let before = it.events().await;
    for (asked, code, told) in [
        ("us", "site_unknown_region", "https://us.example.com."),
        ("mars", "site_unknown_region", "keeps no data"),
        ("the moon", "region_character", "letters"),
    ] {
        let refused = register("c.example.com", json!(asked)).await;
        let error = &refused.problem(422, "invalid-body").body["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!("#/data_region"), &json!(code))
        );
        assert!(error["detail"].as_str().unwrap().contains(told), "{error}");
    }
    assert_eq!(it.events().await, before, "nothing of them is kept here");
}

/// Whatever stands by the names under which it would be brought back.
async fn begun(world: &World) -> i64 {
    let name = world.clickhouse_database.clone();
    let databases = "select count(*) from pg_database where starts_with(datname, $1)";
    let databases = sqlx::query_scalar(databases).bind(&name);
    let mut server = PgConnection::connect(&tests::in_database(&world.database_url, "postgres"))
        .await
        .unwrap();
    let clickhouse = connections(world).clickhouse().unwrap();
    let facts = clickhouse.query("select count() from system.databases where name = ?");
    let facts: u64 = facts.bind(&name).fetch_one().await.unwrap();
    let databases: i64 = databases.fetch_one(&mut server).await.unwrap();
    databases + i64::try_from(facts).unwrap()
}

#[tokio::test]
async fn a_backup_of_another_region_is_not_brought_back() {
    let mut world = World::new().await;
    let eu = in_region(&world, "eu");
    migrate(&eu).await.unwrap();
    // Makes the keys.
    App::open(Part::All, &eu, &tuning()).await.unwrap();
    let made = replay(&world, &["backup", "create"]).await.unwrap();
    let id = made.split_whitespace().next().unwrap();
    let manifest = |of: &str| {
        world
            .key_file()
            .with_file_name(of)
            .join(id)
            .join("manifest.json")
    };
    let manifests = [manifest("backups"), manifest("key-backups")];
    let [of_events, of_keys] = manifests.map(|path| (path.clone(), read_to_string(path).unwrap()));
    elsewhere(&mut world);
    let refused = async |region: &[&str], because: &str| {
        let arguments = [&["backup", "restore", id], region].concat();
        let said = format!("{:#}", replay(&world, &arguments).await.unwrap_err());
        assert!(
            said.contains("may not be brought back here") && said.contains(because),
            "{said}"
        );
        assert_eq!(begun(&world).await, 0, "{because}");
    };
    let of_eu = "the event store belongs to region eu, and this process to us";
    refused(&["--region", "us"], of_eu).await;
    refused(&[], "name its region").await;
    let moved = of_keys.1.replace(r#""region": "eu""#, r#""region": "us""#);
    write(&of_keys.0, moved).unwrap();
    let of_us = "the key database belongs to region us, and this process to eu";
    refused(&["--region", "eu"], of_us).await;
    // An earlier build did not say it, and the databases do.
    for (path, manifest) in [&of_events, &of_keys] {
        write(path, manifest.replace(r#""region": "eu","#, "")).unwrap();
    }
    let late = replay(&world, &["backup", "restore", id, "--region", "us"]).await;
    let said = format!("{:#}", late.unwrap_err());
    assert!(said.contains(of_eu), "{said}");
    assert_eq!(begun(&world).await, 0);
    let restored = ["backup", "restore", id, "--region", "eu"];
    replay(&world, &restored).await.unwrap();
    App::open(Part::All, &in_region(&world, "eu"), &tuning())
        .await
        .unwrap();
}
