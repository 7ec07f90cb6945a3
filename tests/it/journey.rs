//! What a merchant, a shop, a visitor and a dashboard do, end to end.

use clap::Parser as _;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::served::{Served, answered, order, seen};

#[tokio::test]
async fn an_order_becomes_a_notification_and_its_impressions_become_numbers() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let delivered = it
        .deliver(&shop, "orders/create", "w-1", &order(9_007_199_254_740_993))
        .await
        .is(200);
    assert_eq!(delivered.body["status"], "recorded");
    it.catch_up().await;

    let feed = answered(it.request(Method::GET, &format!("/embed/v1/{}/feed", shop.embed_key)))
        .await
        .is(200);
    let item = &feed.body["items"][0];
    assert_eq!(item["message"], "Anna from Berlin bought Trail Runner 3");
    assert_eq!(
        (&item["first_name"], &item["city"]),
        (&json!("Anna"), &json!("Berlin"))
    );
    for personal in ["Schmidt", "example.com", "DE"] {
        assert!(
            !feed.body["items"].to_string().contains(personal),
            "{}",
            feed.body
        );
    }
    assert!(feed.header("cache-control").contains("max-age"));
    let etag = feed.header("etag").to_owned();
    let again = it.request(Method::GET, &format!("/embed/v1/{}/feed", shop.embed_key));
    answered(again.header("if-none-match", etag)).await.is(304);

    let token = it.token(&shop).await;
    let events: Vec<_> = ["impression", "impression", "click", "conversion"]
        .map(|kind| seen(&token, kind))
        .into();
    let collected = it.collect(events.clone()).await.is(200);
    assert_eq!(
        (&collected.body["accepted"], &collected.body["duplicates"]),
        (&json!(4), &json!(0))
    );
    let resent = it.collect(events).await.is(200);
    assert_eq!(
        (&resent.body["accepted"], &resent.body["duplicates"]),
        (&json!(0), &json!(4))
    );
    it.catch_up().await;

    let analytics = it
        .get(&format!("/v1/sites/{}/analytics", shop.site_id))
        .await
        .is(200);
    assert_eq!(
        analytics.body["totals"],
        json!({ "impression": 2, "click": 1, "dismissal": 0, "conversion": 1 })
    );
    let counters = it
        .get(&format!("/v1/sites/{}/counters", shop.site_id))
        .await
        .is(200);
    assert!(
        counters.body.to_string().contains(&shop.notification_id),
        "{}",
        counters.body
    );
}

#[tokio::test]
async fn a_refund_or_a_cancellation_takes_the_order_out_of_the_feed() {
    let it = Served::start().await;
    let shop = it.shop().await;
    for id in [1, 2, 3] {
        it.deliver(&shop, "orders/create", &format!("c-{id}"), &order(id))
            .await
            .is(200);
    }
    it.deliver(
        &shop,
        "refunds/create",
        "r-1",
        &json!({ "id": 9, "order_id": 1 }),
    )
    .await
    .is(200);
    it.deliver(&shop, "orders/cancelled", "x-2", &order(2))
        .await
        .is(200);
    it.catch_up().await;
    let feed =
        answered(it.request(Method::GET, &format!("/embed/v1/{}/feed", shop.embed_key))).await;
    assert_eq!(
        feed.body["items"].as_array().unwrap().len(),
        1,
        "{}",
        feed.body
    );
}

#[tokio::test]
async fn a_refund_before_its_order_keeps_the_order_out() {
    let it = Served::start().await;
    let shop = it.shop().await;
    it.deliver(
        &shop,
        "refunds/create",
        "r",
        &json!({ "id": 9, "order_id": 7 }),
    )
    .await
    .is(200);
    let before = it.events().await;
    it.deliver(&shop, "orders/create", "c", &order(7))
        .await
        .is(200);
    assert_eq!(it.events().await, before);
}

#[tokio::test]
async fn a_webhook_delivered_many_times_at_once_records_one_order() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let before = it.events().await;
    let body = order(5);
    let deliveries = (0..10).map(|n| {
        it.deliver(
            &shop,
            "orders/create",
            if n < 5 { "same" } else { "other" },
            &body,
        )
    });
    for delivered in futures::future::join_all(deliveries).await {
        delivered.is(200);
    }
    assert_eq!(it.events().await, before + 1);
}

#[tokio::test]
async fn a_repeated_command_has_one_effect_and_one_answer() {
    let it = Served::start().await;
    let create = || {
        it.request(Method::POST, "/v1/sites")
            .bearer_auth(&it.key)
            .header(
                "idempotency-key",
                "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
            )
            .json(&json!({ "name": "Trail", "domain": "shop.example.com" }))
    };
    let first = answered(create()).await.is(201);
    let again = answered(create()).await.is(201);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert!(first.headers.get("idempotent-replayed").is_none());
    assert_eq!(it.events().await, 3, "an account, its key and one site");
}

#[tokio::test]
async fn a_change_holds_only_against_the_version_that_was_seen() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let path = format!("/v1/sites/{}", shop.site_id);
    let change = |etag: &str, name: &str| {
        it.request(Method::PATCH, &path)
            .bearer_auth(&it.key)
            .header("if-match", etag.to_owned())
            .json(&json!({ "name": name, "settings": { "feed_items_max": 5 } }))
    };
    let changed = answered(change("\"v1\"", "New name")).await.is(200);
    assert_eq!(changed.header("etag"), "\"v3\"");
    answered(change("\"v1\"", "Late"))
        .await
        .problem(412, "precondition-failed");
    it.catch_up().await;
    let site = it.get(&path).await.is(200);
    assert_eq!(
        (&site.body["name"], site.header("etag")),
        (&json!("New name"), "\"v3\"")
    );
    let unchanged = it
        .request(Method::GET, &path)
        .bearer_auth(&it.key)
        .header("if-none-match", "\"v3\"");
    answered(unchanged).await.is(304);
}

#[tokio::test]
async fn a_read_sees_the_command_whose_position_it_carries() {
    let it = Served::start().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let _runners = it.projections.spawn_all(&stop);
    for n in 0..20 {
        let name = format!("Site {n}");
        let site = it
            .post(
                "/v1/sites",
                json!({ "name": name, "domain": format!("s{n}.example.com") }),
            )
            .await
            .is(201);
        let path = format!("/v1/sites/{}", site.body["id"].as_str().unwrap());
        let read = it
            .request(Method::GET, &path)
            .bearer_auth(&it.key)
            .header("proofline-min-position", site.header("proofline-position"));
        assert_eq!(answered(read).await.is(200).body["name"], json!(name));
    }
}

#[tokio::test]
async fn a_read_at_a_position_that_is_not_reached_is_told_to_come_again() {
    let it = Served::start().await;
    let site = it
        .post(
            "/v1/sites",
            json!({ "name": "Trail", "domain": "shop.example.com" }),
        )
        .await
        .is(201);
    let read = it
        .request(Method::GET, "/v1/sites")
        .bearer_auth(&it.key)
        .header("proofline-min-position", site.header("proofline-position"));
    let waited = answered(read).await.problem(503, "position-not-reached");
    assert!(waited.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn lists_are_read_page_by_page_without_loss_or_repeat() {
    let it = Served::start().await;
    for n in 0..7 {
        it.post(
            "/v1/sites",
            json!({ "name": format!("S{n}"), "domain": format!("s{n}.example.com") }),
        )
        .await
        .is(201);
    }
    it.catch_up().await;
    let (mut names, mut path) = (Vec::new(), "/v1/sites?limit=3".to_owned());
    loop {
        let page = it.get(&path).await.is(200);
        names.extend(
            page.body["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|site| site["name"].clone()),
        );
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/sites?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        names,
        (0..7).map(|n| json!(format!("S{n}"))).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_stream_resumes_where_it_broke_off_and_tells_each_event_once() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let (first, last_id) = listen(&it, None, 3, async {
        for id in [1, 2, 3] {
            it.deliver(&shop, "orders/create", &format!("w-{id}"), &order(id))
                .await
                .is(200);
        }
    })
    .await;
    // What happens while nobody listens is told on return.
    for id in [4, 5] {
        it.deliver(&shop, "orders/create", &format!("w-{id}"), &order(id))
            .await
            .is(200);
    }
    let (second, _) = listen(&it, Some(last_id), 3, async {
        it.deliver(&shop, "orders/create", "w-6", &order(6))
            .await
            .is(200);
    })
    .await;
    let mut activities: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|event| event["aggregate_id"].to_string())
        .collect();
    assert_eq!(activities.len(), 6);
    activities.sort();
    activities.dedup();
    assert_eq!(activities.len(), 6, "each once");
    let told = format!("{first:?}{second:?}");
    for personal in ["Anna", "Schmidt", "example.com", "sealed"] {
        assert!(!told.contains(personal), "{personal} in {told}");
    }
}

/// Listens while something is done, until so many activities were told. Answers them and the last event's id.
async fn listen(
    it: &Served,
    after: Option<String>,
    events: usize,
    done: impl Future<Output = ()>,
) -> (Vec<Value>, String) {
    let mut request = it
        .request(Method::GET, "/v1/events/stream")
        .bearer_auth(&it.key);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let response = request.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    done.await;
    let (mut told, mut text, mut id) = (Vec::new(), String::new(), String::new());
    while told.len() < events {
        let chunk = stream.next().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((line, rest)) = text.split_once('\n') {
            if let Some(value) = line.strip_prefix("id:") {
                id = value.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data:") {
                let event: Value = serde_json::from_str(data).unwrap();
                if event["event_type"] == "activity.recorded" {
                    told.push(event);
                }
            }
            text = rest.to_owned();
        }
    }
    (told, id)
}

#[tokio::test]
async fn operational_routes_and_documents_are_served() {
    let it = Served::start().await;
    it.catch_up().await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        answered(it.request(Method::GET, path)).await.is(200);
    }
    let docs = it.request(Method::GET, "/docs/").send().await.unwrap();
    assert_eq!(docs.status(), 200);
    let openapi = answered(it.request(Method::GET, "/openapi.json"))
        .await
        .body;
    let paths = openapi["paths"].as_object().unwrap();
    for (path, methods) in [
        ("/v1/sites", &["get", "post"][..]),
        ("/v1/sites/{site_id}", &["get", "patch"]),
        ("/v1/sites/{site_id}/notifications", &["get", "post"]),
        ("/v1/sites/{site_id}/integrations", &["get", "post"]),
        ("/v1/sites/{site_id}/activities", &["post"]),
        ("/v1/sites/{site_id}/analytics", &["get"]),
        ("/v1/events/stream", &["get"]),
        ("/hooks/{integration_id}", &["post"]),
        ("/collect", &["post"]),
        ("/embed/v1/{embed_key}/feed", &["get"]),
    ] {
        for method in methods {
            assert!(
                paths[path].get(method).is_some(),
                "{method} {path} is not documented"
            );
        }
    }
    let metrics = answered(it.request(Method::GET, "/metrics"))
        .await
        .body
        .to_string();
    for metric in [
        "proofline_http_requests_total",
        "proofline_append_duration_seconds",
        "proofline_lane_batch_items",
    ] {
        assert!(metrics.contains(metric), "{metric}");
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let it = Served::start().await;
    let key = it.key_with("read").await;
    let read = || it.request(Method::GET, "/v1/sites").bearer_auth(&key);
    answered(read()).await.is(200);
    let id = platform::api_key::ApiKey::parse(&key).unwrap().key;
    // By another process, as `proofline account revoke-key` does.
    let connections = crate::served::connections(&it.world);
    let secrets = proofline::secrets::Secrets::open(&connections).await;
    let there = proofline::write_side::open(&connections, &secrets.unwrap())
        .await
        .unwrap();
    let call = commands::Call {
        account: it.account.into(),
        actor: "operator".to_owned(),
        at: platform::clock::now(),
        correlation_id: Uuid::now_v7(),
        request_id: "r".to_owned(),
        source: "test",
        key: None,
        if_match: None,
        causation_id: None,
        reason: None,
    };
    there
        .accounts
        .revoke_api_key(&call, id.into())
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while answered(read()).await.status != 401 {
        assert!(std::time::Instant::now() < deadline, "the key still opens");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn replay_status_shows_every_projection_at_the_head_of_its_log() {
    let it = Served::start().await;
    it.shop().await;
    it.catch_up().await;
    let arguments = [
        "replay",
        "--database-url",
        &it.world.database_url,
        "status",
        "--json",
    ];
    let mut out = Vec::new();
    replay_tools::run(replay_tools::Arguments::parse_from(arguments), &mut out)
        .await
        .unwrap();
    let all: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(all.len(), projections::Projection::ALL.len());
    for one in &all {
        assert_eq!(
            (&one["lag"], &one["served"], &one["state"]),
            // Who caught up has gone again.
            (&json!(0), &json!(true), &json!("unattended")),
            "{one}"
        );
    }
    let events = it.events().await;
    let sites = all.iter().find(|one| one["name"] == "site_list").unwrap();
    assert_eq!(sites["checkpoint"], events);
}
