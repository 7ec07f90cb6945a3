use axum::{Router, body::Body, extract::DefaultBodyLimit, http::Request, routing::post};

use super::*;
use crate::{
    problem::ProblemKind,
    testing::{Answer, gzip, send},
};

const INFLATED_BYTES_MAX: usize = 100_000;

async fn length(RawBody(bytes): RawBody) -> String {
    bytes.len().to_string()
}

async fn post_to(path: &str, encoding: Option<&str>, body: impl Into<Body>) -> Answer {
    let router = Router::new()
        .route("/gzip", post(length).layer(accept_gzip(INFLATED_BYTES_MAX)))
        .route("/plain", post(length))
        .layer(DefaultBodyLimit::max(10_000));
    let mut request = Request::post(path);
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    send(&router, request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read_and_no_more() {
    assert_eq!(post_to("/plain", None, vec![0; 10_000]).await.body, "10000");
    post_to("/plain", None, vec![0; 10_001])
        .await
        .problem(ProblemKind::BodyTooLarge);
}

#[tokio::test]
async fn gzip_is_opt_in() {
    let packed = gzip(&[7; 50_000]);
    assert_eq!(
        post_to("/gzip", Some("gzip"), packed.clone()).await.body,
        "50000"
    );
    assert_eq!(
        post_to("/gzip", Some("GZIP"), packed.clone()).await.body,
        "50000"
    );
    assert_eq!(post_to("/gzip", None, "plain").await.body, "5");
    assert_eq!(post_to("/gzip", Some("identity"), "plain").await.body, "5");
    for (path, encoding) in [("/plain", "gzip"), ("/gzip", "br"), ("/gzip", "gzip, gzip")] {
        let answer = post_to(path, Some(encoding), packed.clone()).await;
        let problem = answer.problem(ProblemKind::UnsupportedMediaType);
        assert_eq!(problem.code.unwrap(), "content_encoding");
    }
}

#[tokio::test]
async fn a_zip_bomb_is_refused_at_the_limit() {
    let exactly = gzip(&vec![0; INFLATED_BYTES_MAX]);
    assert_eq!(post_to("/gzip", Some("gzip"), exactly).await.body, "100000");
    let over = gzip(&vec![0; INFLATED_BYTES_MAX + 1]);
    post_to("/gzip", Some("gzip"), over)
        .await
        .problem(ProblemKind::BodyTooLarge);
    // 8 MB in less than 10 kB: passes the limit on the wire, stops at the one behind it.
    let bomb = gzip(&vec![0; 8_000_000]);
    assert!(bomb.len() < 10_000);
    post_to("/gzip", Some("gzip"), bomb)
        .await
        .problem(ProblemKind::BodyTooLarge);
    // Many small members in a row are one stream.
    let members = gzip(&[0; 20_000]).repeat(6);
    post_to("/gzip", Some("gzip"), members)
        .await
        .problem(ProblemKind::BodyTooLarge);
}

#[tokio::test]
async fn broken_gzip_is_unreadable() {
    let whole = gzip(&[7; 5_000]);
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for body in [
        b"not gzip".to_vec(),
        whole[..whole.len() - 4].to_vec(),
        flipped,
    ] {
        let answer = post_to("/gzip", Some("gzip"), body).await;
        let problem = answer.problem(ProblemKind::UnreadableBody);
        assert_eq!(problem.code.unwrap(), "invalid_gzip");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_unreadable() {
    let chunks = [Ok("some"), Err(std::io::Error::other("connection lost"))];
    let broken = Body::from_stream(futures::stream::iter(chunks));
    let answer = post_to("/plain", None, broken).await;
    assert_eq!(
        answer.problem(ProblemKind::UnreadableBody).code.unwrap(),
        "incomplete"
    );
}
