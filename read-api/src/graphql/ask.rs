use async_graphql::{Request, Response as Answered, ServerError, Value as GraphValue, Variables};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use platform::auth::Officer;
use platform::json::ApiJson;
use platform::position::position_header;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{GRAPH, size};
use crate::documentation::AskProblems;
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// With it, a document that can't be carried out is a 400.
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
/// As every client of before 2025 expects it: always a 200.
const JSON: &str = "application/json";
const CACHE: HeaderValue = HeaderValue::from_static("private, no-store");

/// A request as GraphQL over HTTP has it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = GraphqlRequest)]
pub(crate) struct Question {
    /// A GraphQL document.
    #[schema(example = "{ audit(first: 5) { nodes { recordedAt actor sentence } } }")]
    query: String,
    /// Which of the document's operations to carry out, where it has several.
    operation_name: Option<String>,
    #[schema(value_type = Option<Object>)]
    variables: Option<Map<String, Value>>,
    /// None is known.
    #[schema(value_type = Option<Object>)]
    #[serde(rename = "extensions")]
    _extensions: Option<Map<String, Value>>,
}

/// Ask for what `GET /v1/audit` and `GET /v1/audit/access` answer, in GraphQL. The schema can be asked for, too. A field that
/// fails has the problem of its route as `extensions.problem` of its error.
#[utoipa::path(
    post,
    path = "/v1/graphql",
    tag = "Audit",
    params(MinPosition),
    request_body = Question,
    responses(
        (status = OK, description = "`data` and `errors` of a GraphQL response; where there are errors, no data. For whoever \
            accepts `application/graphql-response+json` it is of that type, and a 400 where the document can't be carried out.",
            content((Value = "application/json"), (Value = "application/graphql-response+json"))),
        AskProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn ask_graph(
    State(app): State<ReadState>,
    officer: Officer,
    min: MinPosition,
    headers: HeaderMap,
    ApiJson(question): ApiJson<Question>,
) -> Result<Response, Failure> {
    min.reached(&app, &[]).await?;
    // Known before anything is read, so that it never claims more than was seen.
    let position = app.reads.position().await?;
    let mut answered = match question.asked(app, officer) {
        Ok(request) => GRAPH.execute(request).await,
        Err(refused) => Answered::from_errors(vec![refused]),
    };
    if !answered.errors.is_empty() {
        // No field of the schema may be missing.
        answered.data = GraphValue::Null;
    }
    let (content_type, refused) = match accepts_graphql_response(&headers) {
        true => (GRAPHQL_RESPONSE, StatusCode::BAD_REQUEST),
        false => (JSON, StatusCode::OK),
    };
    let outcome = Outcome::of(&answered);
    metrics::counter!("proofline_graphql_requests_total", "outcome" => outcome.name()).increment(1);
    let status = match outcome {
        Outcome::Refused => refused,
        Outcome::Answered | Outcome::Failed => StatusCode::OK,
    };
    let mut response = (status, position_header(position), Json(answered)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, CACHE);
    Ok(response)
}

impl Question {
    fn asked(self, app: ReadState, officer: Officer) -> Result<Request, ServerError> {
        let variables = self.variables.map(Value::Object).unwrap_or_default();
        let mut request = Request::new(self.query)
            .variables(Variables::from_json(variables))
            .data(app)
            .data(officer);
        request.operation_name = self.operation_name;
        size::check(request.parsed_query()?)?;
        Ok(request)
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Answered,
    /// At least one field could not be read, so that nothing is told.
    Failed,
    /// Nothing of the document was carried out.
    Refused,
}

impl Outcome {
    fn of(answered: &Answered) -> Self {
        let before_any_field = |error: &ServerError| error.path.is_empty();
        match &answered.errors[..] {
            [] => Self::Answered,
            errors if errors.iter().all(before_any_field) => Self::Refused,
            _ => Self::Failed,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

fn accepts_graphql_response(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        let types = value.to_str().unwrap_or_default().split(',');
        let mut essences = types.map(|of| of.split(';').next().unwrap_or_default().trim());
        essences.any(|essence| essence.eq_ignore_ascii_case(GRAPHQL_RESPONSE))
    })
}
