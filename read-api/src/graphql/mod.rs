//! `/v1/graphql`: lists of other routes as one graph, for whoever wants several of them in one request, or few of their
//! fields.
//!
//! GraphQL (September 2025) over HTTP (the draft of the GraphQL Foundation). Everything in it is an officer's so far. A field
//! fails with the problem that its route would answer, as `extensions.problem` of its error.

mod ask;
mod size;

use std::sync::LazyLock;

use async_graphql::{EmptyMutation, EmptySubscription, Error, Schema, Value};
use platform::problem::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audit::AuditQueries;
use crate::failure::Failure;
use crate::state::ReadState;

/// The document by which tools look at a schema is this deep.
const DEPTH_MAX: usize = 16;
/// Fields in all, those of a list as often as entries are asked for: a few whole pages.
const FIELDS_MAX: usize = 5_000;

type Graph = Schema<AuditQueries, EmptyMutation, EmptySubscription>;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    Schema::build(AuditQueries, EmptyMutation, EmptySubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(FIELDS_MAX)
        .finish()
});

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new().routes(routes!(ask::ask_graph))
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut problem = Problem::from(failure).into_body();
        for error in &mut problem.errors {
            error.parameter = error.parameter.take().map(|name| camel_case(&name));
        }
        let message = problem.detail.clone();
        let mut error = Self::new(message.unwrap_or_else(|| problem.title.clone()));
        let body = serde_json::to_value(&problem).and_then(Value::from_json);
        error
            .extensions
            .get_or_insert_default()
            .set("problem", body.unwrap_or_default());
        error
    }
}

/// As the graph names what is a parameter elsewhere.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        camel + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients are written by it.
    #[test]
    fn the_schema_is_what_the_document_says() {
        let documented = include_str!("../../../docs/schema.graphql");
        assert_eq!(GRAPH.sdl(), documented, "docs/schema.graphql has to follow");
    }

    #[test]
    fn parameters_are_named_as_the_graph_names_them() {
        assert_eq!(camel_case("until"), "until");
        assert_eq!(camel_case("aggregate_id"), "aggregateId");
    }
}
