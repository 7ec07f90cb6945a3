use std::sync::Mutex;

use axum::{Router, body::Body, http::Request, routing::get};

use super::*;
use crate::testing::{Answer, send};

const ACCOUNT: Uuid = Uuid::from_u128(1);
const KEY: Uuid = Uuid::from_u128(2);

/// Tokens are their scopes, as in `read+write`; `down` is a store that does not answer.
#[derive(Default)]
struct Keys {
    asked: Mutex<Vec<String>>,
}

impl Authenticate for Keys {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(token.to_owned());
            let scopes = match token {
                "down" => return Err(AuthError::Unavailable("pool timed out at 10.0.0.1".into())),
                "none" => BTreeSet::new(),
                "read" | "write" | "read+write" => token.split('+').map(str::to_owned).collect(),
                _ => return Err(AuthError::Unknown),
            };
            Ok(Principal {
                account: ACCOUNT,
                key: KEY,
                scopes,
            })
        })
    }
}

fn router(keys: Arc<Keys>) -> Router {
    let keys: Arc<dyn Authenticate> = keys;
    Router::new()
        .route(
            "/read",
            get(async |reader: Reader| format!("{} {}", reader.account, reader.actor())),
        )
        .route(
            "/write",
            get(async |writer: Writer| writer.request.request_id.to_string()),
        )
        .with_state(keys)
}

async fn ask(path: &str, authorization: &[&str]) -> Answer {
    let mut request = Request::get(path).header("x-request-id", "r-1");
    for value in authorization {
        request = request.header("authorization", *value);
    }
    send(
        &router(Arc::default()),
        request.body(Body::empty()).unwrap(),
    )
    .await
}

#[tokio::test]
async fn a_scope_opens_its_own_routes_only() {
    for (token, read, write) in [
        ("read", 200, 403),
        ("write", 403, 200),
        ("read+write", 200, 200),
        ("none", 403, 403),
        ("other", 401, 401),
        ("down", 503, 503),
    ] {
        let authorization = format!("Bearer {token}");
        assert_eq!(
            ask("/read", &[&authorization]).await.status,
            read,
            "{token}"
        );
        assert_eq!(
            ask("/write", &[&authorization]).await.status,
            write,
            "{token}"
        );
    }
}

#[tokio::test]
async fn a_caller_knows_account_actor_and_request() {
    let answer = ask("/read", &["bearer  read"]).await;
    assert_eq!(answer.body, format!("{ACCOUNT} api_key:{KEY}"));
    assert_eq!(ask("/write", &["BEARER write"]).await.body, "r-1");
}

#[tokio::test]
async fn every_bad_credential_gets_the_same_401() {
    let unknown = ask("/read", &["Bearer unknown"]).await;
    let expected = unknown.problem(ProblemKind::Unauthenticated);
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
    let long = format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX + 1));
    for authorization in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["read"],
        &["Basic cmVhZDo="],
        &["Bearer read extra"],
        &["Bearer re\u{e4}d"],
        &["Bearer read", "Bearer read"],
        &[&long],
    ] {
        let answer = ask("/read", authorization).await;
        assert_eq!(answer.problem(ProblemKind::Unauthenticated), expected);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn garbage_is_not_looked_up() {
    let keys = Arc::new(Keys::default());
    for authorization in ["Bearer ", "Bearer a b", "Token read"] {
        let request = Request::get("/read").header("authorization", authorization);
        send(&router(keys.clone()), request.body(Body::empty()).unwrap()).await;
    }
    assert!(keys.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let answer = ask("/write", &["Bearer read"]).await;
    let problem = answer.problem(ProblemKind::Forbidden);
    assert_eq!(problem.code.as_deref(), Some("scope_missing"));
    assert_eq!(
        answer.header("www-authenticate"),
        r#"Bearer error="insufficient_scope", scope="write""#
    );
}

#[tokio::test]
async fn a_failed_look_up_is_no_401_and_shows_no_internals() {
    let answer = ask("/read", &["Bearer down"]).await;
    answer.problem(ProblemKind::Unavailable);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.body.contains("10.0.0.1"), "{}", answer.body);
}
