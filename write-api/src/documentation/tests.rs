use std::collections::BTreeSet;

use serde_json::Value;

const COMMANDS: [(&str, &str); 20] = [
    ("post", "/v1/sites"),
    ("patch", "/v1/sites/{site_id}"),
    ("post", "/v1/sites/{site_id}/notifications"),
    (
        "post",
        "/v1/sites/{site_id}/notifications/{notification_id}/publish",
    ),
    (
        "post",
        "/v1/sites/{site_id}/notifications/{notification_id}/pause",
    ),
    (
        "post",
        "/v1/sites/{site_id}/notifications/{notification_id}/resume",
    ),
    (
        "post",
        "/v1/sites/{site_id}/notifications/{notification_id}/archive",
    ),
    ("post", "/v1/sites/{site_id}/integrations"),
    ("post", "/v1/sites/{site_id}/activities"),
    ("post", "/v1/consents"),
    ("post", "/v1/consents/withdraw"),
    ("post", "/v1/subjects"),
    ("post", "/v1/subjects/{subject_id}/identities"),
    (
        "post",
        "/v1/subjects/{subject_id}/identities/{identity_id}/unlink",
    ),
    ("post", "/v1/subjects/{subject_id}/access-requests"),
    ("post", "/v1/subjects/{subject_id}/exports"),
    ("post", "/v1/subjects/{subject_id}/erasure-requests"),
    (
        "post",
        "/v1/subjects/{subject_id}/erasure-requests/withdraw",
    ),
    ("post", "/v1/subjects/{subject_id}/legal-hold"),
    ("post", "/v1/subjects/{subject_id}/legal-hold/release"),
];
const PUBLIC: [(&str, &str); 2] = [("post", "/hooks/{integration_id}"), ("post", "/collect")];

fn document() -> Value {
    let document = crate::routes().into_openapi();
    serde_json::to_value(document).unwrap()
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (&**method, &**path, operation))
    });
    operations.collect()
}

fn names<'a>(list: &'a Value, name: &str) -> BTreeSet<&'a str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item[name].as_str())
        .collect()
}

#[test]
fn every_route_is_documented_and_no_other() {
    let document = document();
    let found: BTreeSet<(&str, &str)> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let expected: BTreeSet<(&str, &str)> = COMMANDS.into_iter().chain(PUBLIC).collect();
    assert_eq!(found, expected);
}

#[test]
fn commands_want_a_key_and_public_routes_do_not() {
    let document = document();
    for (_, path, operation) in operations(&document) {
        if path.starts_with("/v1/") {
            assert_eq!(
                operation["security"][0]["api_key"],
                Value::Array(vec![]),
                "{path}"
            );
        } else {
            assert_eq!(operation.get("security"), None, "{path}");
        }
    }
}

#[test]
fn every_path_parameter_is_documented() {
    let document = document();
    for (_, path, operation) in operations(&document) {
        let documented = names(&operation["parameters"], "name");
        let in_path = path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{'));
        for parameter in in_path.map(|segment| segment.trim_end_matches('}')) {
            assert!(documented.contains(parameter), "{path}: {parameter}");
        }
    }
}

#[test]
fn every_command_documents_its_headers_and_problems() {
    let document = document();
    for (_, path, operation) in operations(&document) {
        if !path.starts_with("/v1/") {
            continue;
        }
        let parameters = names(&operation["parameters"], "name");
        for header in ["Idempotency-Key", "Proofline-Reason"] {
            assert!(parameters.contains(header), "{path} takes no {header}");
        }
        let responses = operation["responses"].as_object().unwrap();
        for status in [
            "400", "401", "403", "409", "413", "415", "422", "500", "503",
        ] {
            let content = &responses[status]["content"]["application/problem+json"];
            assert_eq!(
                content["schema"]["$ref"], "#/components/schemas/ProblemBody",
                "{path} {status}"
            );
        }
        assert_eq!(responses.contains_key("404"), path != "/v1/sites", "{path}");
        let success = responses
            .iter()
            .filter(|(status, _)| status.starts_with('2'));
        for (status, response) in success {
            let headers = response["headers"].as_object().unwrap();
            for header in ["ETag", "Proofline-Position", "Idempotent-Replayed"] {
                assert!(headers.contains_key(header), "{path} {status}: no {header}");
            }
            assert_eq!(
                headers.contains_key("Location"),
                status == "201",
                "{path} {status}"
            );
        }
    }
}

#[test]
fn what_changes_a_version_honours_if_match() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let changes = method == "patch"
            || ["{notification_id}", "{subject_id}"]
                .iter()
                .any(|id| path.contains(id));
        let documented = names(&operation["parameters"], "name").contains("If-Match");
        assert_eq!(documented, changes, "{path}");
        let conditional = operation["responses"].get("412").is_some();
        assert_eq!(conditional, changes, "{path}");
    }
}

#[test]
fn operations_are_named_once_and_every_reference_resolves() {
    let document = document();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations
        .iter()
        .filter_map(|(_, _, operation)| operation["operationId"].as_str())
        .collect();
    assert_eq!(ids.len(), operations.len());
    let text = document.to_string();
    for (at, marker) in text.match_indices("#/components/schemas/") {
        let name = text[at + marker.len()..].split('"').next().unwrap();
        // Theirs come from `platform::serve::finish`.
        let known = document["components"]["schemas"].get(name).is_some();
        assert!(
            known || ["ProblemBody", "FieldError"].contains(&name),
            "{name}"
        );
    }
}
