//! Bad input gets its documented problem and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::served::{SECRET, Served, answered, order, seen, sign};

#[tokio::test]
async fn bodies_that_are_not_what_they_must_be_are_refused_with_a_pointer() {
    let it = Served::start().await;
    let before = it.events().await;
    let post = |body: &'static str, kind: &'static str| {
        it.request(Method::POST, "/v1/sites")
            .bearer_auth(&it.key)
            .header("content-type", kind)
            .body(body)
    };
    let json = "application/json";
    answered(post("{\"name\": ", json))
        .await
        .problem(400, "malformed-json");
    answered(post("{}", "text/plain"))
        .await
        .problem(415, "unsupported-media-type");
    for (body, pointers) in [
        (r#"{"name": 1, "domain": "a.example"}"#, &["#/name"][..]),
        (
            r#"{"name": "A", "domain": "a.example", "colour": "red"}"#,
            &["#/colour"],
        ),
        (r#"{"name": "A"}"#, &["#/domain"]),
        (
            r#"{"name": "", "domain": "not a host"}"#,
            &["#/domain", "#/name"],
        ),
    ] {
        let refused = answered(post(body, json))
            .await
            .problem(422, "invalid-body");
        let mut found: Vec<_> = refused.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    let large = it
        .request(Method::POST, "/v1/sites")
        .bearer_auth(&it.key)
        .json(&json!({ "name": "x".repeat(3 << 20), "domain": "a.example" }));
    answered(large).await.problem(413, "body-too-large");
    assert_eq!(it.events().await, before);
}

#[tokio::test]
async fn without_a_right_key_nothing_opens_and_nobody_learns_why() {
    let it = Served::start().await;
    let (reader, writer) = (it.key_with("read").await, it.key_with("write").await);
    let before = it.events().await;
    let foreign = platform::api_key::ApiKey::generate(it.account, Uuid::now_v7()).expose();
    let nobody = platform::api_key::ApiKey::generate(Uuid::now_v7(), Uuid::now_v7()).expose();
    let mut refusals = Vec::new();
    for key in ["", "pl_garbage", &foreign, &nobody] {
        let refused = answered(it.request(Method::GET, "/v1/sites").bearer_auth(key)).await;
        let mut body = refused.problem(401, "unauthenticated").body;
        body["request_id"] = Value::Null;
        body["instance"] = Value::Null;
        refusals.push(body);
    }
    assert!(
        refusals.windows(2).all(|pair| pair[0] == pair[1]),
        "{refusals:?}"
    );
    let site = json!({ "name": "Trail", "domain": "shop.example.com" });
    let write = it
        .request(Method::POST, "/v1/sites")
        .bearer_auth(&reader)
        .json(&site);
    answered(write).await.problem(403, "forbidden");
    answered(it.request(Method::GET, "/v1/sites").bearer_auth(&writer))
        .await
        .problem(403, "forbidden");
    assert_eq!(it.events().await, before);
}

#[tokio::test]
async fn headers_that_are_not_what_they_must_be_are_refused() {
    let it = Served::start().await;
    let before = it.events().await;
    let site = json!({ "name": "Trail", "domain": "shop.example.com" });
    let post = || {
        it.request(Method::POST, "/v1/sites")
            .bearer_auth(&it.key)
            .json(&site)
    };
    answered(post().header("idempotency-key", "x".repeat(300)))
        .await
        .problem(400, "idempotency-key-invalid");
    assert_eq!(it.events().await, before);
    answered(post().header("idempotency-key", "k"))
        .await
        .is(201);
    let other = it
        .request(Method::POST, "/v1/sites")
        .bearer_auth(&it.key)
        .header("idempotency-key", "k")
        .json(&json!({ "name": "Other", "domain": "shop.example.com" }));
    answered(other).await.problem(422, "idempotency-key-reused");
    let get = |header: &'static str, value: String| {
        it.request(Method::GET, "/v1/sites")
            .bearer_auth(&it.key)
            .header(header, value)
    };
    answered(get("proofline-min-position", "nonsense".to_owned()))
        .await
        .problem(400, "invalid-position");
    let beyond = event_store::Token {
        log: event_store::LogName::Events,
        incarnation: sqlx::query_scalar("select incarnation from es.log where name = 'events'")
            .fetch_one(&mut it.world.owner().await)
            .await
            .unwrap(),
        position: 1_000_000,
    };
    answered(get("proofline-min-position", beyond.to_string()))
        .await
        .problem(400, "invalid-position");
    let elsewhere = event_store::Token {
        incarnation: Uuid::now_v7(),
        position: 1,
        ..beyond
    };
    answered(get("proofline-min-position", elsewhere.to_string()))
        .await
        .problem(400, "invalid-position");
    answered(
        it.request(Method::GET, "/v1/sites?cursor=zzz")
            .bearer_auth(&it.key),
    )
    .await
    .problem(400, "invalid-cursor");
    answered(
        it.request(Method::GET, "/v1/sites?limit=0")
            .bearer_auth(&it.key),
    )
    .await
    .problem(400, "invalid-parameter");
    let stream = it
        .request(Method::GET, "/v1/events/stream")
        .bearer_auth(&it.key)
        .header("last-event-id", "zzz");
    answered(stream).await.problem(400, "invalid-position");
}

#[tokio::test]
async fn webhooks_that_the_shop_did_not_sign_are_refused() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let before = it.events().await;
    let body = order(1).to_string();
    let right = sign(SECRET, body.as_bytes());
    let wrong = sign("another secret", body.as_bytes());
    let send = |integration: &str, signature: &str, body: &str| {
        it.webhook(integration, "orders/create", "w", signature)
            .body(body.to_owned())
    };
    let mut of_another_shop = send(&shop.integration_id, &right, &body).build().unwrap();
    let elsewhere = "other.myshopify.com".parse().unwrap();
    of_another_shop
        .headers_mut()
        .insert("x-shopify-shop-domain", elsewhere);
    let of_another_shop = reqwest::RequestBuilder::from_parts(it.client.clone(), of_another_shop);
    let mut refusals = Vec::new();
    for refused in [
        answered(send(&shop.integration_id, &wrong, &body)).await,
        answered(send(&shop.integration_id, "", &body)).await,
        answered(send(&shop.integration_id, &right, &format!("{body} "))).await,
        answered(send(&Uuid::now_v7().to_string(), &right, &body)).await,
        answered(of_another_shop).await,
    ] {
        let mut body = refused.problem(401, "invalid-signature").body;
        body["request_id"] = Value::Null;
        body["instance"] = Value::Null;
        refusals.push(body);
    }
    assert!(
        refusals.windows(2).all(|pair| pair[0] == pair[1]),
        "{refusals:?}"
    );
    let malformed = "{\"id\": ";
    let signed = sign(SECRET, malformed.as_bytes());
    answered(send(&shop.integration_id, &signed, malformed))
        .await
        .problem(400, "malformed-json");
    assert_eq!(it.events().await, before);
}

/// A platform, and the token of a notification that a page has shown.
async fn shown() -> (Served, String) {
    let it = Served::start().await;
    let shop = it.shop().await;
    it.deliver(&shop, "orders/create", "w", &order(1))
        .await
        .is(200);
    it.catch_up().await;
    let token = it.token(&shop).await;
    (it, token)
}

#[tokio::test]
async fn telemetry_that_is_not_to_be_believed_is_refused() {
    let (it, token) = shown().await;
    let with = |member: &str, value: Value| {
        let mut event = seen(&token, "click");
        event[member] = value;
        event
    };
    let years_ago = "2019-01-01T00:00:00Z";
    let years_ahead = "2039-01-01T00:00:00Z";
    let old_id = Uuid::new_v7(uuid::Timestamp::from_unix(
        uuid::NoContext,
        1_500_000_000,
        0,
    ));
    // In the middle, where every bit counts.
    let (head, tail) = token.split_at(20);
    let altered = format!(
        "{head}{}{}",
        if tail.starts_with('A') { 'B' } else { 'A' },
        &tail[1..]
    );
    for event in [
        with("token", json!("AAAA")),
        with("token", json!(altered)),
        with("occurred_at", json!(years_ago)),
        with("occurred_at", json!(years_ahead)),
        with("id", json!(old_id)),
        with("id", json!("7f0c0000-0000-4000-8000-000000000001")),
    ] {
        let refused = it.collect(vec![event.clone()]).await;
        assert_eq!(
            refused.status, 422,
            "{event} was answered with {}",
            refused.body
        );
        assert_eq!(refused.headers["content-type"], "application/problem+json");
    }
    for body in [
        json!({ "events": [with("type", json!("hover"))] }),
        json!({ "events": [with("extra", json!(1))] }),
        json!({}),
    ] {
        answered(it.request(Method::POST, "/collect").json(&body))
            .await
            .problem(422, "invalid-body");
    }
    let many: Vec<_> = (0..1001).map(|_| seen(&token, "click")).collect();
    let many = it.collect(many).await;
    assert!(many.status == 422 || many.status == 413, "{}", many.body);
    assert_eq!(it.count("select count(*) from es.telemetry").await, 0);
    // One bad event costs the others of its batch nothing.
    let mixed = it
        .collect(vec![
            seen(&token, "click"),
            with("occurred_at", json!(years_ago)),
        ])
        .await
        .is(200);
    assert_eq!(mixed.body["accepted"], 1);
    assert_eq!(mixed.body["refused"].as_array().unwrap().len(), 1);
    assert_eq!(it.count("select count(*) from es.telemetry").await, 1);
}

/// Whatever it sends, and however it is formed.
#[tokio::test]
async fn nothing_is_kept_of_a_browser_that_opts_out() {
    let (it, token) = shown().await;
    let batch = json!({ "events": [seen(&token, "impression")] });
    for body in [&batch, &json!({})] {
        let sent = it.request(Method::POST, "/collect").json(body);
        let kept = sent.header("sec-gpc", "1").send().await.unwrap();
        assert_eq!(kept.status(), 204);
        assert_eq!(kept.headers()["access-control-allow-origin"], "*");
        assert_eq!(kept.bytes().await.unwrap(), "");
    }
    assert_eq!(it.count("select count(*) from es.telemetry").await, 0);
    let sent = it.request(Method::POST, "/collect").json(&batch);
    answered(sent.header("sec-gpc", "0")).await.is(200);
    assert_eq!(it.count("select count(*) from es.telemetry").await, 1);
}

#[tokio::test]
async fn a_compressed_batch_is_taken_and_a_bomb_is_not() {
    use std::io::Write as _;
    let (it, token) = shown().await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let send = |body: Vec<u8>| {
        it.request(Method::POST, "/collect")
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(body)
    };
    let batch = json!({ "events": [seen(&token, "impression")] }).to_string();
    answered(send(gzip(batch.as_bytes()))).await.is(200);
    let bomb = gzip(&vec![b' '; 200 << 20]);
    answered(send(bomb)).await.problem(413, "body-too-large");
    let broken = answered(send(b"not gzip".to_vec())).await;
    assert_eq!(broken.status, 400, "{}", broken.body);
}

#[tokio::test]
async fn analytics_windows_are_checked_all_at_once() {
    let it = Served::start().await;
    let shop = it.shop().await;
    it.catch_up().await;
    for query in [
        "start=yesterday",
        "start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z",
        "interval=week",
        "start=2020-01-01T00:00:00Z&end=2026-01-01T00:00:00Z&interval=day",
    ] {
        it.get(&format!("/v1/sites/{}/analytics?{query}", shop.site_id))
            .await
            .problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_may_not_be_done_there_are_problems_too() {
    let it = Served::start().await;
    it.get("/v1/nothing").await.problem(404, "not-found");
    it.get("/v1/sites/not-a-uuid")
        .await
        .problem(404, "not-found");
    answered(it.request(Method::DELETE, "/v1/sites").bearer_auth(&it.key))
        .await
        .problem(405, "method-not-allowed");
    answered(it.request(
        Method::GET,
        "/embed/v1/pk_00000000000000000000000000000000/feed",
    ))
    .await
    .problem(404, "not-found");
    answered(it.request(Method::GET, "/embed/v1/nonsense/feed"))
        .await
        .problem(404, "not-found");
}
