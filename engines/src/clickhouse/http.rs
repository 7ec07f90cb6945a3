//! The HTTP interface: routes, credentials, and one handler that turns a request into a plan and a plan's events
//! into a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest as _, Multipart, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, mpsc};

use super::body;
use super::connection::Flushes;
use super::engine::{Engine, Event, PIECES_WAITING_MAX};
use super::exception::{Exception, code};
use super::launch::USER;
use super::plan::Plan;
use super::request::Options;
use super::respond::{self, Answer};
use super::spool::Spool;

/// A form carries a statement and its parameters.
const FORM_BYTES_MAX: usize = 64 << 20;

/// What every request needs.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) password: String,
    /// One permit per statement that the engine runs.
    pub(crate) slots: Arc<Semaphore>,
    /// Statements in the engine right now, also those whose client has gone.
    pub(crate) running: AtomicUsize,
}

pub(crate) fn router(server: Arc<Server>) -> Router {
    let ok = || async { "Ok.\n" };
    Router::new()
        .route("/ping", get(ok))
        .route("/replicas_status", get(ok))
        .route("/", any(handle))
        .fallback(|| async {
            let text = "There is no such path; the query interface is /, and /ping and /replicas_status answer Ok.\n";
            (StatusCode::NOT_FOUND, text)
        })
        // Of forms only; what else a body may have is the spool's to say.
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(server)
}

async fn handle(
    State(server): State<Arc<Server>>,
    ConnectInfo(flushes): ConnectInfo<Flushes>,
    request: Request,
) -> Response {
    let mut query_id = String::new();
    answer(&server, flushes, request, &mut query_id)
        .await
        .unwrap_or_else(|exception| respond::failed(&exception, &server.engine.version, &query_id))
}

async fn answer(
    server: &Arc<Server>,
    flushes: Flushes,
    request: Request,
    query_id: &mut String,
) -> Result<Response, Exception> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let url_query = uri.query().unwrap_or_default();
    if method != Method::GET && method != Method::POST {
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    if method == Method::GET && url_query.is_empty() {
        return Ok("Ok.\n".into_response());
    }
    let mut options = Options::new(&method, request.headers(), url_query)?;
    query_id.clone_from(&options.query_id);
    authenticate(server, &options, request.headers())?;
    let body = receive(server, &mut options, request).await?;
    let plan = Plan::new(&options, body)?;
    let cancellable = matches!(plan, Plan::Select { .. });
    let slot = Arc::clone(&server.slots)
        .acquire_owned()
        .await
        .map_err(|_| Exception::new(code::SUPPORT_IS_DISABLED, "The server is stopping"))?;

    let (sender, events) = mpsc::channel::<Event>(PIECES_WAITING_MAX);
    let answer = Answer::new(&options);
    let guard = Abandoned {
        server: Arc::clone(server),
        comment: options.comment(),
        armed: cancellable,
    };
    let runner = Arc::clone(server);
    tokio::task::spawn_blocking(move || {
        let _running = Running::count(&runner.running);
        runner.engine.run(&options, plan, &sender);
        drop(slot);
    });
    answer.respond(events, guard, server, flushes).await
}

/// Reads the body: raw, or a form whose fields are parameters.
async fn receive(
    server: &Server,
    options: &mut Options,
    request: Request,
) -> Result<Spool, Exception> {
    let spool = Spool::new(&server.engine.temporary);
    let is_form = request.headers().get("content-type").is_some_and(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"multipart/form-data")
    });
    if !is_form {
        let headers = request.headers().clone();
        return body::receive(request.into_body(), &headers, options.decompress, spool).await;
    }
    let broken = |error: String| {
        Exception::new(
            code::BAD_ARGUMENTS,
            format!("Broken form: {error} (BAD_ARGUMENTS)"),
        )
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| broken(error.body_text()))?;
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| broken(error.body_text()))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "query" && !name.starts_with("param_") || field.file_name().is_some() {
            return Err(Exception::new(
                code::NOT_IMPLEMENTED,
                format!(
                    "External tables are not supported; field '{}' (NOT_IMPLEMENTED)",
                    name.escape_default()
                ),
            ));
        }
        let value = field
            .text()
            .await
            .map_err(|error| broken(error.body_text()))?;
        options.take(&name, value)?;
    }
    Ok(spool)
}

fn authenticate(server: &Server, options: &Options, headers: &HeaderMap) -> Result<(), Exception> {
    let (user, password) = options.credentials(headers).unwrap_or_default();
    let right = password.as_bytes().ct_eq(server.password.as_bytes());
    if user == USER && bool::from(right) {
        return Ok(());
    }
    Err(Exception::new(
        code::AUTHENTICATION_FAILED,
        "Authentication failed: wrong user or password. Both stand in CLICKHOUSE_URL; the clickhouse crate takes them \
         by with_user and with_password. (AUTHENTICATION_FAILED)",
    ))
}

/// Counts a statement while it is in the engine.
struct Running<'c>(&'c AtomicUsize);

impl<'c> Running<'c> {
    fn count(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Cancels a `SELECT` whose client went away before its end: a long aggregation would run on for nobody.
pub(crate) struct Abandoned {
    server: Arc<Server>,
    /// By which the engine's query is found.
    comment: String,
    armed: bool,
}

impl Abandoned {
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if self.armed {
            let (server, comment) = (Arc::clone(&self.server), std::mem::take(&mut self.comment));
            tokio::task::spawn_blocking(move || server.engine.kill(&comment));
        }
    }
}
