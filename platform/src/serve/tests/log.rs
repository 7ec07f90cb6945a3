use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Everything that is logged while one request is answered.
async fn logged(request: Request<Body>) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    send(&api(), request).await;
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
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
    let lines = logged(get_with_id("/broken")).await;
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
    assert_eq!(error["span"]["route"], "/broken");
}

#[tokio::test]
async fn a_panic_is_logged_with_the_request_id() {
    let lines = logged(get_with_id("/panic")).await;
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
    let lines = logged(get_with_id(&format!("/things/{id}?hidden=query"))).await;
    let answered = lines
        .iter()
        .find(|line| line["fields"]["message"] == "answered")
        .unwrap();
    let span = &answered["span"];
    assert_eq!(span["method"], "GET");
    assert_eq!(span["route"], "/things/{id}");
    assert_eq!(span["status"], 200);
    assert!(span["duration_ms"].is_number(), "{span}");
    let all = format!("{lines:?}");
    assert!(!all.contains("hidden"), "{all}");
    assert!(!all.contains(&id.to_string()), "{all}");
}

#[tokio::test]
async fn a_refused_credential_is_not_logged() {
    let lines = logged(get_with_id("/nothing")).await;
    assert!(!format!("{lines:?}").contains("hidden"));
}
