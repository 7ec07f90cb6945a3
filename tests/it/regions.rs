//! Where a platform's data may lie, and what is not opened elsewhere.

use domain::DataRegion;
use proofline::app::{App, Part};
use proofline::config::Connections;
use proofline::migrate::migrate;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;

use crate::served::{Served, answered, connections, tuning};

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
    let said = refused(&eu).await;
    assert!(
        said.contains("the key database belongs to region us"),
        "{said}"
    );
}

#[tokio::test]
async fn a_site_is_registered_in_the_region_that_its_data_has_to_lie_in() {
    let world = World::new().await;
    let eu = in_region(&world, "eu");
    migrate(&eu).await.unwrap();
    let it = Served::on(world, eu).await;
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let register = async |domain: &str, region: Value| {
        let mut body = json!({ "name": "Trail", "domain": domain });
        if !region.is_null() {
            body["data_region"] = region;
        }
        let request = client.post(format!("{}/v1/sites", it.url)).json(&body);
        answered(request.bearer_auth(&it.key)).await
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
    let elsewhere = register("c.example.com", json!("us")).await;
    assert_eq!(elsewhere.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(
        elsewhere.headers[header::LOCATION],
        "https://us.example.com/v1/sites"
    );
    let nowhere = register("c.example.com", json!("mars")).await;
    let nowhere = nowhere.problem(422, "invalid-body");
    assert_eq!(nowhere.body["code"], "site_unknown_region");
    let garbled = register("c.example.com", json!("the moon")).await;
    let garbled = garbled.problem(422, "invalid-body");
    assert_eq!(garbled.body["errors"][0]["pointer"], "#/data_region");
    assert_eq!(it.events().await, before, "nothing of them is kept here");
}
