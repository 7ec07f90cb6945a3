//! Without Redis or ClickHouse commands go on, and what needs them says that it will be back.

use proofline::config::Connections;
use reqwest::Method;
use serde_json::json;
use tests::World;

use crate::served::{Served, answered, connections, order};

/// A port of the test's own that nothing listens on.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn without_redis_and_clickhouse_commands_and_the_feed_go_on() {
    let world = World::new().await;
    let lost = Connections {
        redis_url: format!("redis://{}", nowhere()),
        clickhouse_url: format!("http://{}/", nowhere()),
        ..connections(&world)
    };
    let it = Served::on(world, lost).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let _runners = it.projections.spawn_all(&stop);
    let shop = it.shop().await;
    let delivered = it
        .deliver(&shop, "orders/create", "w", &order(1))
        .await
        .is(200);
    let feed = it
        .request(Method::GET, &format!("/embed/v1/{}/feed", shop.embed_key))
        .header(
            "proofline-min-position",
            delivered.header("proofline-position"),
        );
    assert_eq!(
        answered(feed).await.is(200).body["items"][0]["first_name"],
        "Anna"
    );
    answered(it.request(Method::GET, "/readyz")).await.is(200);
    for path in ["analytics", "counters"] {
        let refused = it
            .get(&format!("/v1/sites/{}/{path}", shop.site_id))
            .await
            .problem(503, "unavailable");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    }
}

#[tokio::test]
async fn without_postgres_everything_says_that_it_will_be_back() {
    let it = Served::start().await;
    it.shop().await;
    // Nobody may connect any more, and whoever is connected is not.
    let name = it.world.redis_prefix.clone();
    let mut admin = it.world.admin().await;
    sqlx::query(&format!(
        r#"alter database "{name}" allow_connections false"#
    ))
    .execute(&mut admin)
    .await
    .unwrap();
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(&name)
        .execute(&mut admin)
        .await
        .unwrap();
    let site = json!({ "name": "Trail", "domain": "shop.example.com" });
    let refused = it.post("/v1/sites", site).await.problem(503, "unavailable");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    it.get("/v1/sites").await.problem(503, "unavailable");
    answered(it.request(Method::GET, "/readyz")).await.is(503);
    answered(it.request(Method::GET, "/healthz")).await.is(200);
    sqlx::query(&format!(
        r#"alter database "{name}" allow_connections true"#
    ))
    .execute(&mut admin)
    .await
    .unwrap();
    let site = json!({ "name": "Trail", "domain": "shop.example.com" });
    it.post("/v1/sites", site).await.is(201);
}
