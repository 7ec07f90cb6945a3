use axum::extract::State;
use axum::response::Response;
use domain::SubjectId;
use platform::auth::Officer;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, subject_list};

use super::MODELS;
use crate::answer::{self, Answer};
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// Read the certificate of a person's erasure: a signed note, which docs/people.md tells how to verify.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject_id}/certificate",
    tag = "People",
    params(("subject_id" = Uuid, Path), MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "The certificate.", body = String, content_type = "text/plain"),
        (status = NOT_MODIFIED, description = "Still the version of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_certificate(
    State(app): State<ReadState>,
    officer: Officer,
    ApiPath(id): ApiPath<SubjectId>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let mut tx = app.begin(&officer, min, MODELS).await?;
    let row = subject_list::get(&mut tx, id).await?;
    let certified = row.map(|row| row.and_then(|row| Some((row.version, row.certificate?))));
    let AsOf { value, position } = answer::found(certified)?;
    let (version, certificate) = value;
    Ok(Answer::text(position, version, certificate).unless_known(&if_none_match))
}
