use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    http::Request,
    response::{Sse, sse::Event},
    routing::{get, post},
};
use futures::StreamExt;
use tower::ServiceExt;
use utoipa::OpenApi;

use super::*;
use crate::{
    auth::BoxFuture,
    json::ApiPath,
    problem::{Problem, ProblemKind},
    request::{RawBody, RequestContext},
    testing::{Answer, send},
};

mod log;
mod operational;
mod sockets;

#[derive(OpenApi)]
#[openapi(paths(thing))]
struct Document;

#[utoipa::path(get, path = "/things/{id}", responses((status = 200, description = "A thing.")))]
async fn thing(ApiPath(id): ApiPath<uuid::Uuid>, context: RequestContext) -> String {
    format!("{id} {}", context.request_id)
}

fn business() -> Router {
    Router::new()
        .route("/things/{id}", get(thing).delete(async || "deleted"))
        .route("/panic", get(panics))
        .route("/broken", get(broken))
        .route("/slow", get(slow))
        .route("/stream", get(stream))
        .route(
            "/echo",
            post(async |RawBody(body): RawBody| body.len().to_string()),
        )
        .route(
            "/large",
            post(async |RawBody(body): RawBody| body.len().to_string())
                .layer(DefaultBodyLimit::max(3_000_000)),
        )
}

async fn panics() {
    panic!("internal secret");
}

async fn broken() -> Problem {
    let io = std::io::Error::other("connection to 10.0.0.1 refused");
    Problem::new(ProblemKind::Unavailable)
        .retry_after_s(7)
        .internal(anyhow::Error::from(io).context("could not load the thing"))
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    "late"
}

async fn stream() -> Sse<impl futures::Stream<Item = Result<Event, Infallible>>> {
    let ticks = futures::stream::iter(0..).then(async |tick: u32| {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Ok(Event::default().data(tick.to_string()))
    });
    Sse::new(ticks)
}

fn ops() -> Ops {
    Ops::new(Document::openapi())
}

fn api() -> Router {
    finish(business(), ops())
}

async fn ask(router: &Router, path: &str) -> Answer {
    let request = Request::get(path).header("x-request-id", "r-1");
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem() {
    let answer = ask(&api(), "/nothing/here?secret=1").await;
    let problem = answer.problem(ProblemKind::NotFound);
    assert_eq!(problem.instance.as_deref(), Some("/nothing/here"));
    assert_eq!(problem.request_id.as_deref(), Some("r-1"));
    assert_eq!(answer.header("x-request-id"), "r-1");
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
}

#[tokio::test]
async fn another_method_is_a_problem_and_names_the_allowed_ones() {
    let request = Request::put("/things/1").body(Body::empty()).unwrap();
    let answer = send(&api(), request).await;
    answer.problem(ProblemKind::MethodNotAllowed);
    assert_eq!(answer.header("allow"), "GET,HEAD,DELETE");
    let request = Request::post("/healthz").body(Body::empty()).unwrap();
    send(&api(), request)
        .await
        .problem(ProblemKind::MethodNotAllowed);
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let id = uuid::Uuid::from_u128(7);
    let answer = ask(&api(), &format!("/things/{id}")).await;
    assert_eq!(answer.body, format!("{id} r-1"));
    assert_eq!(answer.header("x-request-id"), "r-1");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_that_tells_nothing() {
    let answer = ask(&api(), "/panic").await;
    let problem = answer.problem(ProblemKind::Internal);
    assert_eq!(problem.request_id.as_deref(), Some("r-1"));
    assert!(!answer.body.contains("secret"), "{}", answer.body);
}

#[tokio::test]
async fn a_source_stays_out_of_the_body() {
    let answer = ask(&api(), "/broken").await;
    answer.problem(ProblemKind::Unavailable);
    assert_eq!(answer.header("retry-after"), "7");
    for internal in ["10.0.0.1", "could not load"] {
        assert!(!answer.body.contains(internal), "{}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_start_in_time_is_a_problem() {
    let answer = ask(&api(), "/slow").await;
    answer.problem(ProblemKind::RequestTimeout);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_handler_goes_on_when_nobody_waits_for_it_any_more() {
    let (done, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let handler = async move || {
        tokio::time::sleep(REQUEST_TIMEOUT_DEFAULT * 2).await;
        done.send(()).unwrap();
    };
    let api = finish(Router::new().route("/patient", get(handler)), ops());
    ask(&api, "/patient")
        .await
        .problem(ProblemKind::RequestTimeout);
    let hung_up = tokio::time::timeout(Duration::from_secs(1), ask(&api, "/patient")).await;
    assert!(hung_up.is_err());
    for _ in 0..2 {
        let ended = tokio::time::timeout(Duration::from_secs(120), handled.recv()).await;
        assert_eq!(ended.ok().flatten(), Some(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_does_not_go_on_for_ever() {
    let (held, mut holding) = tokio::sync::mpsc::unbounded_channel::<()>();
    let handler = async move || {
        let _held = held;
        std::future::pending::<()>().await;
    };
    let api = finish(Router::new().route("/endless", get(handler)), ops());
    ask(&api, "/endless")
        .await
        .problem(ProblemKind::RequestTimeout);
    drop(api);
    let let_go = tokio::time::timeout(Duration::from_secs(120), holding.recv()).await;
    assert_eq!(let_go.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_cut_by_the_time_limit() {
    let request = Request::get("/stream").body(Body::empty()).unwrap();
    let response = api().oneshot(request).await.unwrap();
    let events: Vec<_> = response
        .into_body()
        .into_data_stream()
        .take(10)
        .collect()
        .await;
    assert_eq!(events[9].as_ref().unwrap(), "data: 9\n\n");
}

#[tokio::test]
async fn bodies_are_limited_and_a_route_may_set_its_own_limit() {
    for (path, bytes, status) in [
        ("/echo", BODY_BYTES_MAX_DEFAULT, 200),
        ("/echo", BODY_BYTES_MAX_DEFAULT + 1, 413),
        ("/large", 3_000_000, 200),
        ("/large", 3_000_001, 413),
    ] {
        let request = Request::post(path).body(vec![0; bytes].into()).unwrap();
        assert_eq!(send(&api(), request).await.status, status, "{path} {bytes}");
    }
    let small = finish(business(), ops().body_bytes_max(10));
    let request = Request::post("/echo").body(vec![0; 11].into()).unwrap();
    send(&small, request)
        .await
        .problem(ProblemKind::BodyTooLarge);
}
