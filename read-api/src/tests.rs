//! The OpenAPI document says everything about every route.

use serde_json::Value;

use super::routes;

/// What the document must have, and what is public of it.
const ROUTES: &[(&str, bool)] = &[
    ("/embed/v1/{embed_key}/feed", true),
    ("/v1/audit", false),
    ("/v1/audit/access", false),
    ("/v1/events/stream", false),
    ("/v1/graphql", false),
    ("/v1/sites", false),
    ("/v1/sites/{site_id}", false),
    ("/v1/sites/{site_id}/analytics", false),
    ("/v1/sites/{site_id}/counters", false),
    ("/v1/sites/{site_id}/integrations", false),
    ("/v1/sites/{site_id}/integrations/{integration_id}", false),
    ("/v1/sites/{site_id}/notifications", false),
    ("/v1/sites/{site_id}/notifications/{notification_id}", false),
    ("/v1/subjects", false),
    ("/v1/subjects/{subject_id}", false),
    ("/v1/subjects/{subject_id}/certificate", false),
];

fn document() -> Value {
    serde_json::to_value(routes().get_openapi()).unwrap()
}

fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, item)| (path.as_str(), item.get("get").unwrap_or(&item["post"])))
        .collect()
}

fn parameters(operation: &Value) -> Vec<(&str, &str)> {
    let parameters = operation["parameters"].as_array().unwrap();
    parameters
        .iter()
        .map(|parameter| {
            let text = |member: &str| parameter[member].as_str().unwrap();
            (text("in"), text("name"))
        })
        .collect()
}

#[test]
fn every_route_is_documented_and_only_the_feed_is_public() {
    let document = document();
    let found: Vec<(&str, bool)> = operations(&document)
        .into_iter()
        .map(|(path, operation)| (path, operation.get("security").is_none()))
        .collect();
    let mut expected = ROUTES.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn every_operation_says_what_it_does_takes_and_answers() {
    let document = document();
    for (path, operation) in operations(&document) {
        for member in ["summary", "tags", "operationId", "parameters"] {
            assert!(operation.get(member).is_some(), "{path} has no {member}");
        }
        let ok = &operation["responses"]["200"];
        assert!(ok["content"].is_object(), "{path}");
        for header in ["Proofline-Position", "Cache-Control"] {
            assert!(ok["headers"][header].is_object(), "{path} has no {header}");
        }
        let unavailable = &operation["responses"]["503"];
        assert!(unavailable["headers"]["Retry-After"].is_object(), "{path}");
        let placeholders: Vec<&str> = path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let in_path: Vec<&str> = parameters(operation)
            .into_iter()
            .filter_map(|(place, name)| (place == "path").then_some(name))
            .collect();
        assert_eq!(in_path, placeholders, "{path}");
    }
}

#[test]
fn every_read_takes_a_position_and_a_tag() {
    let document = document();
    for (path, operation) in operations(&document) {
        if ["/v1/events/stream", "/v1/graphql"].contains(&path) {
            continue;
        }
        let parameters = parameters(operation);
        for expected in [
            ("header", "Proofline-Min-Position"),
            ("query", "min_position"),
            ("header", "If-None-Match"),
        ] {
            assert!(
                parameters.contains(&expected),
                "{path} takes no {expected:?}"
            );
        }
        let headers = &operation["responses"]["304"]["headers"];
        assert!(headers["ETag"].is_object(), "{path}");
        assert!(headers["Proofline-Position"].is_object(), "{path}");
    }
}

#[test]
fn the_stream_takes_an_id_to_resume_after_and_types() {
    let document = document();
    let stream = &document["paths"]["/v1/events/stream"]["get"];
    assert_eq!(
        parameters(stream),
        [
            ("header", "Last-Event-ID"),
            ("query", "last_event_id"),
            ("query", "types")
        ]
    );
    assert!(stream["responses"]["200"]["content"]["text/event-stream"].is_object());
}

#[test]
fn no_reference_leads_nowhere_but_to_what_the_platform_adds() {
    let document = document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in references {
        let known = schemas.contains_key(name) || name == "ProblemBody";
        assert!(known, "{name} is not defined");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                references.extend(reference.strip_prefix("#/components/schemas/"));
            }
            members
                .values()
                .for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
