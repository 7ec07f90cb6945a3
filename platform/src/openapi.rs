//! What every operation's documentation has in common.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response,
        ResponseBuilder, Type,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::problem::{self, FieldError, ProblemBody, ProblemKind};

/// The name of the bearer scheme: `security(("api_key" = []))`.
pub const SECURITY_SCHEME: &str = "api_key";

/// One response per status.
pub type Responses = BTreeMap<String, RefOr<Response>>;

/// Names sets of problems for `responses(..)` in `#[utoipa::path]`: `ReadProblems: NotFound Internal;` makes a type.
#[macro_export]
macro_rules! problem_responses {
    ($($(#[$docs:meta])* $name:ident: $($kind:ident)+;)*) => {$(
        $(#[$docs])*
        pub(crate) struct $name;

        impl ::utoipa::IntoResponses for $name {
            fn responses() -> $crate::openapi::Responses {
                $crate::openapi::documented(&[$($crate::problem::ProblemKind::$kind),+])
            }
        }
    )*};
}

/// One response per status, which names every problem that it may be.
#[must_use]
pub fn documented(kinds: &[ProblemKind]) -> Responses {
    let mut statuses: BTreeMap<String, Vec<ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        let status = kind.status().as_str().to_owned();
        statuses.entry(status).or_default().push(*kind);
    }
    statuses
        .into_iter()
        .map(|(status, kinds)| (status, RefOr::T(problem_response(&kinds))))
        .collect()
}

/// Add a header to what is said of an answer.
pub fn add_header(response: &mut Response, name: &str, of: Type, description: &str) {
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(of).build()))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}

fn problem_response(kinds: &[ProblemKind]) -> Response {
    let words = |kind: &ProblemKind| format!("`{}`: {}.", kind.slug(), kind.title());
    let description = kinds.iter().map(words).collect::<Vec<_>>().join(" ");
    let mut response = problem_answer(description);
    let status = kinds.first().map_or(0, |kind| kind.status().as_u16());
    if matches!(status, 429 | 503) {
        let description = "Seconds to wait before sending again.";
        add_header(&mut response, "Retry-After", Type::Integer, description);
    }
    response
}

/// An answer with a problem as its body.
fn problem_answer(description: impl Into<String>) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, content)
        .build()
}

/// Add the schema of problems, the `default` answer of every operation that has none, and the bearer scheme.
pub(crate) fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    let schemas = [
        (ProblemBody::name(), ProblemBody::schema()),
        (FieldError::name(), FieldError::schema()),
    ];
    for (name, schema) in schemas {
        components
            .schemas
            .entry(name.into_owned())
            .or_insert(schema);
    }
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components
        .security_schemes
        .entry(SECURITY_SCHEME.to_owned())
        .or_insert(RefOr::T(bearer));
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.options,
            &mut item.head,
            &mut item.patch,
            &mut item.trace,
        ];
        operations.into_iter().flatten().for_each(add_problem);
    }
    document
}

fn add_problem(operation: &mut Operation) {
    operation
        .responses
        .responses
        .entry("default".to_owned())
        .or_insert_with(|| RefOr::T(problem_answer("Any failure, as a problem (RFC 9457).")));
}
