use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Body,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::*;
use crate::testing::{Answer, post_json, send};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateThing {
    name: String,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    labels: BTreeMap<String, u8>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    colour: Colour,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Colour {
    Red,
    Blue,
}

async fn post_thing(body: impl Into<Body>) -> Answer {
    let router = Router::new().route(
        "/",
        post(async |ApiJson(thing): ApiJson<CreateThing>| Json(thing)),
    );
    send(&router, post_json("/").body(body.into()).unwrap()).await
}

#[track_caller]
fn assert_invalid(answer: &Answer, pointer: &str, code: &str) {
    assert_eq!(
        answer.invalid_field(),
        (pointer.to_owned(), code.to_owned())
    );
}

#[tokio::test]
async fn a_right_body_comes_through() {
    let answer = post_thing(r#"{"name":"a","parts":[{"name":"b","colour":"red"}]}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["parts"][0]["colour"], "red");
}

#[tokio::test]
async fn a_syntax_error_says_line_and_column() {
    let answer = post_thing("{\n  \"name\": oops\n}").await;
    let problem = answer.problem(ProblemKind::MalformedJson);
    assert_eq!(
        problem.detail.unwrap(),
        "expected value at line 2 column 11"
    );
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    for body in [
        "",
        "{",
        r#"{"name":"a"} trailing"#,
        r#"{"name":"a"}{"name":"b"}"#,
        "{'name':'a'}",
    ] {
        post_thing(body.to_owned())
            .await
            .problem(ProblemKind::MalformedJson);
    }
    post_thing(&b"{\"name\":\"\xff\"}"[..])
        .await
        .problem(ProblemKind::MalformedJson);
}

#[tokio::test]
async fn a_wrong_type_is_pointed_at() {
    assert_invalid(&post_thing(r#"{"name":5}"#).await, "#/name", "invalid_type");
    let nested =
        r#"{"name":"a","parts":[{"name":"b","colour":"red"},{"name":null,"colour":"red"}]}"#;
    assert_invalid(&post_thing(nested).await, "#/parts/1/name", "invalid_type");
    let variant = r#"{"name":"a","parts":[{"name":"b","colour":"mauve"}]}"#;
    assert_invalid(
        &post_thing(variant).await,
        "#/parts/0/colour",
        "unknown_variant",
    );
    assert_invalid(
        &post_thing(r#"{"name":"a","labels":{"a/b~c":300}}"#).await,
        "#/labels/a~1b~0c",
        "invalid_value",
    );
    assert_invalid(&post_thing("[]").await, "#", "invalid_length");
    assert_invalid(&post_thing("5").await, "#", "invalid_type");
}

#[tokio::test]
async fn our_type_names_stay_ours() {
    let answer = post_thing("5").await;
    let detail = &answer.problem(ProblemKind::InvalidBody).errors[0].detail;
    assert_eq!(detail, "invalid type: integer `5`, expected an object");
}

#[tokio::test]
async fn an_unknown_field_is_pointed_at() {
    assert_invalid(
        &post_thing(r#"{"name":"a","nmae":1}"#).await,
        "#/nmae",
        "unknown_field",
    );
    let nested = r#"{"name":"a","parts":[{"name":"b","colour":"red","size":1}]}"#;
    assert_invalid(&post_thing(nested).await, "#/parts/0/size", "unknown_field");
    let same_name = r#"{"name":"a","parts":[{"parts":1}]}"#;
    assert_invalid(
        &post_thing(same_name).await,
        "#/parts/0/parts",
        "unknown_field",
    );
    assert_invalid(
        &post_thing(r#"{"name":"a","a`b":1}"#).await,
        "#/a%60b",
        "unknown_field",
    );
}

#[tokio::test]
async fn a_missing_field_is_pointed_at() {
    assert_invalid(&post_thing("{}").await, "#/name", "missing_field");
    let nested = r#"{"name":"a","parts":[{"name":"b"}]}"#;
    assert_invalid(
        &post_thing(nested).await,
        "#/parts/0/colour",
        "missing_field",
    );
}

#[tokio::test]
async fn a_duplicate_field_is_pointed_at() {
    let answer = post_thing(r#"{"name":"a","name":"b"}"#).await;
    assert_invalid(&answer, "#/name", "duplicate_field");
}

#[test]
fn a_field_may_have_its_parents_name() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Outer {
        name: Inner,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        first: Option<String>,
    }
    let body = br#"{"name":{"name":"a"}}"#;
    let problem = parse::<Outer>(body).unwrap_err();
    assert_eq!(problem.errors()[0].pointer.as_deref(), Some("#/name/name"));
    let body = br#"{"name":{"first":"a","first":"b"}}"#;
    let problem = parse::<Outer>(body).unwrap_err();
    assert_eq!(problem.errors()[0].pointer.as_deref(), Some("#/name/first"));
    let problem = parse::<BTreeMap<String, Part>>(br#"{"name":{"colour":"red"}}"#).unwrap_err();
    assert_eq!(problem.errors()[0].pointer.as_deref(), Some("#/name/name"));
}

#[test]
fn nesting_is_bounded() {
    let deep = "[".repeat(100_000);
    let problem = parse::<serde_json::Value>(deep.as_bytes()).unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::MalformedJson);
}

#[tokio::test]
async fn echoed_text_is_bounded() {
    let name = "x".repeat(100_000);
    let answer = post_thing(format!(r#"{{"name":"a","{name}":1}}"#)).await;
    assert!(answer.body.len() < 2_000, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn only_json_is_taken_for_json() {
    let router = Router::new().route("/", post(async |ApiJson(_): ApiJson<CreateThing>| "ok"));
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.thing+json", 200),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
    ] {
        let request = axum::http::Request::post("/").header("content-type", content_type);
        let answer = send(&router, request.body(r#"{"name":"a"}"#.into()).unwrap()).await;
        assert_eq!(answer.status, status, "{content_type}");
    }
    let without = axum::http::Request::post("/").body("{}".into()).unwrap();
    let answer = send(&router, without).await;
    let problem = answer.problem(ProblemKind::UnsupportedMediaType);
    assert_eq!(problem.code.unwrap(), "content_type");
}

fn parameters() -> Router {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Query {
        interval: Option<Colour>,
        count: u8,
    }
    Router::new()
        .route(
            "/things/{id}",
            get(async |ApiPath(id): ApiPath<Uuid>| id.to_string()),
        )
        .route("/query", get(async |ApiQuery(_): ApiQuery<Query>| "ok"))
        .route("/broken", get(async |ApiPath(_): ApiPath<Uuid>| "never"))
}

async fn ask(path: &str) -> Answer {
    send(
        &parameters(),
        crate::testing::get(path).body(Body::empty()).unwrap(),
    )
    .await
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    assert_eq!(
        ask("/things/019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10")
            .await
            .status,
        200
    );
    for id in [
        "7",
        "%ff",
        "019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a1",
        "'; drop table",
    ] {
        let id = id.replace(' ', "%20");
        ask(&format!("/things/{id}"))
            .await
            .problem(ProblemKind::NotFound);
    }
}

#[tokio::test]
async fn a_route_without_its_parameter_is_our_fault() {
    ask("/broken").await.problem(ProblemKind::Internal);
}

#[tokio::test]
async fn a_wrong_query_parameter_is_named() {
    assert_eq!(ask("/query?count=5&interval=red&other=1").await.status, 200);
    for (query, parameter, code) in [
        ("count=300", "count", "invalid_value"),
        ("count=5&interval=mauve", "interval", "unknown_variant"),
        ("", "count", "missing_field"),
        ("count=1&count=2", "count", "duplicate_field"),
    ] {
        let problem = ask(&format!("/query?{query}"))
            .await
            .problem(ProblemKind::InvalidParameter);
        assert_eq!(
            problem.errors[0].parameter.as_deref(),
            Some(parameter),
            "{query}"
        );
        assert_eq!(problem.errors[0].code, code, "{query}");
    }
}
