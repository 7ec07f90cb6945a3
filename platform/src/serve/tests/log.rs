use std::{cell::RefCell, io, sync::Once};

use super::*;
use crate::auth::{AuthError, Authenticate, Principal, Reader};

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One subscriber for the whole process: with one per test, `tracing` caches what another test's thread,
/// which has none, is interested in. Each test runs on a thread of its own, which keeps their lines apart.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged while one request is answered.
async fn logged(router: Router, request: Request<Body>) -> Vec<serde_json::Value> {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| ThisThread)
            .init();
    });
    LINES.take();
    send(&router, request).await;
    let lines = String::from_utf8(LINES.take()).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn get_with_id(path: &str) -> Request<Body> {
    Request::get(path)
        .header("x-request-id", "r-1")
        .header("authorization", "Bearer hidden-token")
        .body(Body::from("hidden-body"))
        .unwrap()
}

#[tokio::test]
async fn a_source_is_logged_once_with_its_chain_and_the_request_id() {
    let lines = logged(api(), get_with_id("/broken")).await;
    let errors: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    let [error] = errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(
        error["fields"]["error"],
        "could not load the thing: connection to 10.0.0.1 refused"
    );
    assert_eq!(error["fields"]["problem"], "unavailable");
    assert_eq!(error["span"]["request.id"], "r-1");
    assert_eq!(error["span"]["http.route"], "/broken");
}

#[tokio::test]
async fn a_panic_is_logged_with_the_request_id() {
    let lines = logged(api(), get_with_id("/panic")).await;
    let error = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(
        error["fields"]["error"],
        "a handler panicked: internal secret"
    );
    assert_eq!(error["span"]["request.id"], "r-1");
}

#[tokio::test]
async fn an_answer_is_logged_without_query_headers_and_body() {
    let id = uuid::Uuid::nil();
    let lines = logged(api(), get_with_id(&format!("/things/{id}?hidden=query"))).await;
    let answered = lines
        .iter()
        .find(|line| line["fields"]["message"] == "answered")
        .unwrap();
    let span = &answered["span"];
    assert_eq!(span["http.request.method"], "GET");
    assert_eq!(span["http.route"], "/things/{id}");
    assert_eq!(span["http.response.status_code"], 200);
    assert!(span["duration_ms"].is_number(), "{span}");
    let all = format!("{lines:?}");
    assert!(!all.contains("hidden"), "{all}");
    assert!(!all.contains(&id.to_string()), "{all}");
}

struct NobodyKnown;

impl Authenticate for NobodyKnown {
    fn authenticate<'a>(&'a self, _token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>> {
        Box::pin(async { Err(AuthError::Unknown) })
    }
}

#[tokio::test]
async fn a_refused_credential_is_not_logged() {
    let keys: Arc<dyn Authenticate> = Arc::new(NobodyKnown);
    let router = Router::new()
        .route("/own", get(async |_: Reader| "never"))
        .with_state(keys);
    let lines = logged(finish(router, ops()), get_with_id("/own")).await;
    assert_eq!(
        lines.last().unwrap()["span"]["http.response.status_code"],
        401
    );
    assert!(!format!("{lines:?}").contains("hidden"), "{lines:?}");
}
