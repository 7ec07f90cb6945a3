//! What every operation's documentation has in common.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::problem::{self, FieldError, ProblemBody};

/// The name of the bearer scheme: `security(("api_key" = []))`.
pub const SECURITY_SCHEME: &str = "api_key";

/// Add the schema of problems, the `default` answer of every operation that has none, and the bearer scheme.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
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
        .or_insert_with(|| RefOr::T(any_problem()));
}

fn any_problem() -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description("Any failure, as a problem (RFC 9457).")
        .content(problem::CONTENT_TYPE, content)
        .build()
}
