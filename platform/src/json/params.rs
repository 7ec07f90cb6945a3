//! Path and query parameters.

use axum::{
    extract::{FromRequestParts, Path, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::faults;
use crate::problem::{FieldError, Problem, ProblemKind};

/// Path parameters. One that does not parse names nothing that exists: 404.
#[derive(Clone, Copy, Debug)]
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error))
                if error.status().is_client_error() =>
            {
                Err(ProblemKind::NotFound.into())
            }
            // A route without the parameter, or a type no path can hold: ours to repair.
            Err(rejection) => Err(Problem::new(ProblemKind::Internal).internal(rejection)),
        }
    }
}

/// Query parameters. A wrong one is named in `errors`.
///
/// Unknown parameters are ignored unless `T` denies them; [`crate::page::PageQuery`] reads its own from
/// the same query string, so a `T` beside it must not.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query));
        serde_path_to_error::deserialize(pairs)
            .map(Self)
            .map_err(|error| {
                let name = error.path().to_string();
                let fault = faults::Fault::read(&error.into_inner().to_string());
                let name = fault.field.unwrap_or(name);
                Problem::new(ProblemKind::InvalidParameter).error(FieldError::parameter(
                    name,
                    fault.code,
                    fault.detail,
                ))
            })
    }
}
