use axum::body::to_bytes;
use axum::extract::FromRequestParts as _;
use axum::http::StatusCode;
use platform::page::PageQuery;
use serde_json::json;

use super::*;
use crate::testing::{request, token};

async fn if_none_match(tags: &str) -> IfNoneMatch {
    let mut parts = match tags {
        "" => request("/", &[]),
        tags => request("/", &[("if-none-match", tags)]),
    };
    IfNoneMatch::from_request_parts(&mut parts, &())
        .await
        .unwrap()
}

#[track_caller]
fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .unwrap_or_else(|| panic!("no {name} in {response:?}"))
        .to_str()
        .unwrap()
}

#[tokio::test]
async fn a_full_answer_has_body_tag_and_position() {
    let answer = Answer::versioned(token(5), 7, &json!({ "version": 7 })).unwrap();
    let response = answer.unless_known(&if_none_match("\"v6\"").await);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "etag"), "\"v7\"");
    assert_eq!(
        header(&response, "proofline-position"),
        token(5).to_string()
    );
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "cache-control"), "private, no-cache");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, r#"{"version":7}"#);
}

#[tokio::test]
async fn a_page_links_to_the_next() {
    let query = PageQuery::default();
    let value = query.page_before(vec![1], Some(1)).unwrap();
    let next = value.next_cursor.clone().unwrap();
    let position = token(5);
    let answer = Answer::page(AsOf { value, position }).unwrap();
    let response = answer.unless_known(&if_none_match("").await);
    let link = format!("<?limit=20&cursor={next}>; rel=\"next\"");
    assert_eq!(header(&response, "link"), link);
}

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again_but_its_position_is() {
    let answer = Answer::versioned(token(5), 7, &json!({})).unwrap();
    let response = answer
        .cache_control(HeaderValue::from_static("public, max-age=30"))
        .unless_known(&if_none_match("W/\"v7\"").await);
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(header(&response, "etag"), "\"v7\"");
    assert_eq!(
        header(&response, "proofline-position"),
        token(5).to_string()
    );
    assert_eq!(header(&response, "cache-control"), "public, max-age=30");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(body.is_empty());
}

#[tokio::test]
async fn a_tag_of_content_changes_with_the_content_and_not_with_the_position() {
    let tag = |position, body: &str| Answer::hashed(token(position), &body).unwrap().etag;
    assert_eq!(tag(1, "a"), tag(2, "a"));
    assert_ne!(tag(1, "a"), tag(1, "b"));
    let response = Answer::hashed(token(2), &"a").unwrap();
    let response = response.unless_known(&if_none_match(tag(1, "a").as_str()).await);
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

#[test]
fn what_is_not_there_is_a_404_that_says_how_far_was_looked() {
    let read = |value| AsOf {
        value,
        position: token(5),
    };
    assert_eq!(found(read(Some(1))).unwrap().value, 1);
    let problem = found(read(None)).unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::NotFound);
    let response = problem.into_response();
    assert_eq!(
        header(&response, "proofline-position"),
        token(5).to_string()
    );
}
