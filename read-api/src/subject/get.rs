use axum::extract::State;
use axum::response::Response;
use domain::SubjectId;
use platform::auth::Officer;
use platform::json::ApiPath;
use platform::request::IfNoneMatch;
use projections::{AsOf, subject_list};

use super::{MODELS, Subject};
use crate::answer::{self, Answer};
use crate::documentation::{IfNoneMatchHeader, ReadProblems};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// Read a person's record.
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject_id}",
    tag = "People",
    params(("subject_id" = Uuid, Path), MinPosition, IfNoneMatchHeader),
    responses(
        (status = OK, description = "The record.", body = Subject),
        (status = NOT_MODIFIED, description = "Still the version of `If-None-Match`."),
        ReadProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn get_subject(
    State(app): State<ReadState>,
    officer: Officer,
    ApiPath(id): ApiPath<SubjectId>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let mut tx = app.begin(&officer, min, MODELS).await?;
    let AsOf { value, position } = answer::found(subject_list::get(&mut tx, id).await?)?;
    let answer = Answer::versioned(position, value.version, &Subject::from(value))?;
    Ok(answer.unless_known(&if_none_match))
}
