use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use platform::auth::{AuthError, Authenticate, BoxFuture, Principal, Writer};
use platform::problem::ProblemKind;
use uuid::Uuid;

use super::*;

const KEY: Uuid = Uuid::from_u128(2);

/// Tokens are account numbers.
struct Accounts;

impl Authenticate for Accounts {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>> {
        let principal = token.parse().map(|account| Principal {
            account: Uuid::from_u128(account),
            key: KEY,
            scopes: BTreeSet::from(["write".to_owned()]),
        });
        Box::pin(async { principal.map_err(|_| AuthError::Unknown) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    name: String,
}

fn post(path: &str, key: Option<&str>, body: &str) -> Request {
    let mut request = Request::post(path)
        .header("authorization", "Bearer 1")
        .header("x-request-id", "r-1")
        .header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn writer(account: &str) -> Writer {
    let keys: Arc<dyn Authenticate> = Arc::new(Accounts);
    let request = Request::post("/")
        .header("authorization", format!("Bearer {account}"))
        .header("x-request-id", "r-1");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    Writer::from_request_parts(&mut parts, &keys).await.unwrap()
}

/// What makes the call itself, as text: key and request hash are not to be seen otherwise.
async fn identity(request: Request, account: &str) -> String {
    let request = ActionRequest::from_request(request, &()).await.unwrap();
    let call = request.call_if(&writer(account).await, IfMatch(None));
    format!("{:?}", call.key.unwrap())
}

#[tokio::test]
async fn a_call_says_who_and_under_which_request() {
    let request = post("/v1/things", None, r#"{"name":"a"}"#);
    let request = CommandRequest::<Thing>::from_request(request, &())
        .await
        .unwrap();
    assert_eq!(request.content.name, "a");
    let call = request.call(&writer("1").await);
    assert_eq!(call.account, Uuid::from_u128(1).into());
    assert_eq!(call.actor, format!("api_key:{KEY}"));
    assert_eq!((&*call.request_id, call.source), ("r-1", "http"));
    assert!(call.key.is_none() && call.if_match.is_none());
    let conditional = request.call_if(&writer("1").await, IfMatch(Some(7)));
    assert_eq!(conditional.if_match, Some(7));
    let beyond = request.call_if(&writer("1").await, IfMatch(Some(u64::MAX)));
    assert_eq!(beyond.if_match, Some(i64::MAX));
}

#[tokio::test]
async fn a_request_is_itself_by_key_account_path_and_body() {
    let first = identity(post("/v1/a", Some("k"), ""), "1").await;
    assert_eq!(identity(post("/v1/a", Some("\"k\""), ""), "1").await, first);
    for (request, account) in [
        (post("/v1/a", Some("other"), ""), "1"),
        (post("/v1/b", Some("k"), ""), "1"),
        (post("/v1/a", Some("k"), "{}"), "1"),
        (post("/v1/a", Some("k"), ""), "2"),
    ] {
        assert_ne!(identity(request, account).await, first);
    }
}

#[tokio::test]
async fn an_action_takes_no_content() {
    for body in ["", "{}", " {\n} "] {
        let request = post("/v1/a", None, body);
        assert!(
            ActionRequest::from_request(request, &()).await.is_ok(),
            "{body:?}"
        );
    }
    for (body, kind) in [
        (r#"{"at":"noon"}"#, ProblemKind::InvalidBody),
        ("[", ProblemKind::MalformedJson),
    ] {
        let refused = ActionRequest::from_request(post("/v1/a", None, body), &()).await;
        assert_eq!(refused.err().unwrap().kind(), kind, "{body}");
    }
}

#[tokio::test]
async fn content_is_refused_with_its_place() {
    let request = post("/v1/things", None, r#"{"name":"a","size":1}"#);
    let refused = CommandRequest::<Thing>::from_request(request, &()).await;
    let problem = refused.err().unwrap();
    assert_eq!(problem.errors()[0].pointer.as_deref(), Some("#/size"));
    let mut request = post("/v1/things", None, r#"{"name":"a"}"#);
    request.headers_mut().remove("content-type");
    let refused = CommandRequest::<Thing>::from_request(request, &()).await;
    assert_eq!(
        refused.err().unwrap().kind(),
        ProblemKind::UnsupportedMediaType
    );
    let request = post("/v1/things", Some("not a key"), r#"{"name":"a"}"#);
    let refused = CommandRequest::<Thing>::from_request(request, &()).await;
    assert_eq!(
        refused.err().unwrap().kind(),
        ProblemKind::IdempotencyKeyInvalid
    );
}

#[tokio::test]
async fn a_reason_is_a_reference_and_no_prose() {
    let reason = async |values: &[&str]| {
        let mut request = post("/v1/a", Some("k"), "");
        for value in values {
            request.headers_mut().append(REASON, value.parse().unwrap());
        }
        let request = ActionRequest::from_request(request, &()).await?;
        let call = request.call_if(&writer("1").await, IfMatch(None));
        Ok::<_, Problem>(call.reason.map(|reason| reason.to_string()))
    };
    assert_eq!(reason(&[]).await.unwrap(), None);
    let given = reason(&["GDPR-2026/17"]).await.unwrap();
    assert_eq!(given.as_deref(), Some("GDPR-2026/17"));
    for (refused, code) in [
        (&["Anna asked for it"][..], "invalid_reference"),
        (&["anna@example.com"], "invalid_reference"),
        (&[""], "invalid_reference"),
        (&["\u{e4}"], "invalid_reference"),
        (&["a", "b"], "repeated"),
    ] {
        let problem = reason(refused).await.unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidParameter, "{refused:?}");
        let [error] = problem.errors() else {
            panic!("one error: {problem:?}")
        };
        assert_eq!(error.parameter.as_deref(), Some(REASON));
        assert_eq!(error.code, code);
    }
}
