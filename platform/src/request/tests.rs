use axum::{Router, body::Body, http::Request, routing::get};

use super::*;
use crate::{
    problem::ProblemKind,
    testing::{Answer, send},
};

async fn ask(path: &str, headers: &[(&str, &str)]) -> Answer {
    let router = Router::new()
        .route(
            "/id",
            get(async |context: RequestContext| context.request_id.to_string()),
        )
        .route(
            "/correlation",
            get(async |context: RequestContext| context.correlation_id.to_string()),
        )
        .route(
            "/match",
            get(async |IfMatch(version): IfMatch| format!("{version:?}")),
        )
        .route(
            "/none",
            get(async |none: IfNoneMatch| none.matches(&ETag::version(7)).to_string()),
        )
        .route(
            "/key",
            get(async |IdempotencyKey(key): IdempotencyKey| format!("{key:?}")),
        );
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_replaced() {
    let longest = "x".repeat(64);
    for id in ["abc-123", "019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10", &longest] {
        assert_eq!(ask("/id", &[("x-request-id", id)]).await.body, id);
    }
    let too_long = "x".repeat(65);
    for id in ["", "two words", "caf\u{e9}", &too_long] {
        let made = ask("/id", &[("x-request-id", id)]).await.body;
        assert_eq!(Uuid::try_parse(&made).unwrap().get_version_num(), 7, "{id}");
    }
}

#[tokio::test]
async fn the_trace_id_is_the_correlation_id() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let valid = format!("00-{trace}-00f067aa0ba902b7-01");
    let later = format!("01-{trace}-00f067aa0ba902b7-01-extra");
    for traceparent in [&valid, &later] {
        let answer = ask("/correlation", &[("traceparent", traceparent)]).await;
        assert_eq!(answer.body.replace('-', ""), trace);
    }
    let request_id = "019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10";
    for traceparent in [
        "",
        "00",
        &valid.to_uppercase(),
        &format!("ff-{trace}-00f067aa0ba902b7-01"),
        &format!("00-{trace}-00f067aa0ba902b7-01-extra"),
        &format!("00-{trace}-0000000000000000-01"),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f35-77b3-4da6-a3ce-929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let headers = [("traceparent", traceparent), ("x-request-id", request_id)];
        assert_eq!(
            ask("/correlation", &headers).await.body,
            request_id,
            "{traceparent}"
        );
    }
}

#[tokio::test]
async fn if_match_takes_strong_versions_only() {
    for (value, version) in [
        ("\"v7\"", "Some(7)"),
        ("\"v0\"", "Some(0)"),
        ("*", "None"),
        ("W/\"v6\", \"v7\"", "Some(7)"),
        ("\"a,b\" , \"v7\",", "Some(7)"),
    ] {
        assert_eq!(
            ask("/match", &[("if-match", value)]).await.body,
            version,
            "{value}"
        );
    }
    assert_eq!(ask("/match", &[]).await.body, "None");
    for value in [
        "W/\"v7\"",
        "\"7\"",
        "\"v07\"",
        "\"v+7\"",
        "\"\"",
        "\"v99999999999999999999\"",
    ] {
        ask("/match", &[("if-match", value)])
            .await
            .problem(ProblemKind::PreconditionFailed);
    }
    for value in [
        "",
        "v7",
        "7",
        "\"v7",
        "\"v7\" \"v8\"",
        "*, \"v7\"",
        "\"v7\", \"v8\"",
        "w/\"v7\"",
    ] {
        let answer = ask("/match", &[("if-match", value)]).await;
        let problem = answer.problem(ProblemKind::InvalidParameter);
        assert_eq!(
            problem.errors[0].parameter.as_deref(),
            Some("If-Match"),
            "{value}"
        );
    }
    let repeated = [("if-match", "\"v7\""), ("if-match", "W/\"v8\"")];
    assert_eq!(ask("/match", &repeated).await.body, "Some(7)");
}

#[tokio::test]
async fn if_none_match_compares_weakly() {
    for (value, matches) in [
        ("\"v7\"", "true"),
        ("W/\"v7\"", "true"),
        ("\"v6\", \"v7\"", "true"),
        ("*", "true"),
        ("\"v6\"", "false"),
    ] {
        assert_eq!(
            ask("/none", &[("if-none-match", value)]).await.body,
            matches,
            "{value}"
        );
    }
    assert_eq!(ask("/none", &[]).await.body, "false");
}

#[test]
fn a_client_that_has_the_representation_gets_304() {
    let mut headers = HeaderMap::new();
    headers.insert("if-none-match", HeaderValue::from_static("\"v7\""));
    let none = IfNoneMatch::of(&headers).unwrap();
    let response = none.not_modified(&ETag::version(7)).unwrap();
    assert_eq!(response.status(), 304);
    assert_eq!(response.headers()["etag"], "\"v7\"");
    assert!(none.not_modified(&ETag::version(8)).is_none());
    assert!(!none.is_any());
}

#[test]
fn an_opaque_tag_stays_a_tag() {
    assert_eq!(ETag::version(7).as_str(), "\"v7\"");
    assert_eq!(ETag::opaque("p-12/3").as_str(), "\"p-12/3\"");
    assert_eq!(ETag::opaque("a\"b c\r\n").as_str(), "\"a_b_c__\"");
}

#[tokio::test]
async fn an_idempotency_key_is_bare_or_quoted() {
    let longest = "k".repeat(255);
    for (value, key) in [
        ("abc", "abc"),
        ("\"abc\"", "abc"),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        (
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
        ),
        (&longest, &longest),
    ] {
        let answer = ask("/key", &[("idempotency-key", value)]).await;
        assert_eq!(answer.body, format!("{:?}", Some(key)), "{value}");
    }
    assert_eq!(ask("/key", &[]).await.body, "None");
}

#[tokio::test]
async fn a_bad_idempotency_key_is_refused() {
    let too_long = "k".repeat(256);
    for (value, code) in [
        ("", "empty"),
        ("\"\"", "empty"),
        ("two words", "invalid_character"),
        ("\"two words\"", "invalid_character"),
        ("caf\u{e9}", "invalid_character"),
        ("\"open", "malformed"),
        (r#""a\b""#, "malformed"),
        (r#""a"b"#, "malformed"),
        (&too_long, "too_long"),
    ] {
        let answer = ask("/key", &[("idempotency-key", value)]).await;
        let problem = answer.problem(ProblemKind::IdempotencyKeyInvalid);
        assert_eq!(problem.code.as_deref(), Some(code), "{value}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let problem = ask("/key", &twice)
        .await
        .problem(ProblemKind::IdempotencyKeyInvalid);
    assert_eq!(problem.code.as_deref(), Some("repeated"));
}
