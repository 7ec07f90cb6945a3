//! The same by GraphQL.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Officer, renamed_site};
use crate::served::{Answered, Served, answered};

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

impl Officer<'_> {
    async fn ask(&self, question: Value) -> Answered {
        let asked = self.it.request(Method::POST, "/v1/graphql").json(&question);
        answered(asked.bearer_auth(&self.key)).await
    }

    /// The data of a document that is carried out as a whole.
    async fn data(&self, query: &str) -> Value {
        let found = self.ask(json!({ "query": query })).await.is(200);
        assert_eq!(found.body.get("errors"), None, "{query}");
        found.body["data"].clone()
    }
}

#[tokio::test]
async fn one_question_reads_several_lists_and_only_what_is_wanted_of_them() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let site = renamed_site(&it).await;
    let query = "query Both($site: String!) {
        audit(filter: { aggregateType: \"site\", aggregateId: $site }, first: 1) {
            nodes { sentence actor recordedAt position eventId aggregateVersion changes { name before after } }
            pageInfo { hasNextPage }
            position
        }
        auditAccesses { nodes { id } pageInfo { hasNextPage endCursor } }
    }";
    let question =
        json!({ "query": query, "variables": { "site": site }, "operationName": "Both" });
    let found = officer.ask(question).await.is(200);
    let entry = &officer
        .entries(&format!("aggregate_type=site&aggregate_id={site}"))
        .await[0];
    assert_eq!(
        found.body["data"],
        json!({
            "audit": {
                "nodes": [{
                    "sentence": entry["sentence"],
                    "actor": entry["actor"],
                    "recordedAt": found.body["data"]["audit"]["nodes"][0]["recordedAt"],
                    "position": entry["position"],
                    "eventId": entry["event_id"],
                    "aggregateVersion": 2,
                    "changes": entry["changes"],
                }],
                "pageInfo": { "hasNextPage": true },
                "position": found.header("proofline-position"),
            },
            "auditAccesses": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } },
        })
    );
    assert_eq!(found.header("cache-control"), "private, no-store");
    assert_eq!(found.header("content-type"), "application/json");
}

#[tokio::test]
async fn parts_of_a_list_join_without_gap_or_repeat() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    renamed_site(&it).await;
    let expected = officer.entries("limit=100").await;
    let expected: Vec<&Value> = expected.iter().map(|entry| &entry["event_id"]).collect();
    let (mut joined, mut after) = (Vec::new(), Value::Null);
    loop {
        let query = "query Part($after: String) {
            audit(first: 2, after: $after) { nodes { eventId } pageInfo { hasNextPage endCursor } }
        }";
        let question = json!({ "query": query, "variables": { "after": after } });
        let part = officer.ask(question).await.is(200).body["data"]["audit"].clone();
        let nodes = part["nodes"].as_array().unwrap();
        joined.extend(nodes.iter().map(|node| node["eventId"].clone()));
        after = part["pageInfo"]["endCursor"].clone();
        assert_eq!(part["pageInfo"]["hasNextPage"], !after.is_null());
        if after.is_null() {
            break;
        }
    }
    assert_eq!(joined.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_field_that_fails_has_the_problem_of_its_route() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    for (field, kind, parameters) in [
        (
            "audit(filter: { aggregateId: \"z\", until: \"later\" })",
            "invalid-parameter",
            vec!["until", "aggregateId"],
        ),
        (
            "audit(filter: { aggregateId: \"019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10\" })",
            "invalid-parameter",
            vec!["aggregateType"],
        ),
        ("audit(after: \"x\")", "invalid-cursor", vec![]),
        ("auditAccesses(after: \"x\")", "invalid-cursor", vec![]),
        (
            "auditAccesses(filter: { subjectId: \"anna\" })",
            "invalid-parameter",
            vec!["subjectId"],
        ),
    ] {
        let query = format!("{{ {field} {{ position }} }}");
        let failed = officer.ask(json!({ "query": query })).await.is(200);
        assert_eq!(failed.body["data"], Value::Null);
        let [error] = &failed.body["errors"].as_array().unwrap()[..] else {
            panic!("one error: {:?}", failed.body)
        };
        let name = field.split('(').next().unwrap();
        assert_eq!(error["path"], json!([name]));
        let problem = &error["extensions"]["problem"];
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{field}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let named: Vec<&str> = errors
            .iter()
            .map(|error| error["parameter"].as_str().unwrap())
            .collect();
        assert_eq!(named, parameters, "{field}");
    }
    // One that fails takes the others with it: none of the schema's fields may be missing.
    let query = "{ audit(filter: { actor: \"\" }) { position } auditAccesses { position } }";
    let failed = officer.ask(json!({ "query": query })).await.is(200);
    assert_eq!(failed.body["data"], Value::Null);
    assert_eq!(failed.body["errors"].as_array().unwrap().len(), 1);
    for first in [0, 101] {
        let query = format!("{{ audit(first: {first}) {{ position }} }}");
        let failed = officer.ask(json!({ "query": query })).await.is(200);
        assert_eq!(failed.body["data"], Value::Null);
        assert_eq!(failed.body["errors"][0]["path"], json!(["audit"]));
    }
}

#[tokio::test]
async fn a_document_that_can_not_be_carried_out_reads_nothing() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let aliases: String = (0..60)
        .map(|n| format!("a{n}: audit(first: 100) {{ nodes {{ actor }} }}\n"))
        .collect();
    let lists: String = (0..20)
        .map(|n| format!("a{n}: audit(first: 1, filter: {{ text: \"zz\" }}) {{ position }}\n"))
        .collect();
    let fragments: String = (0..30)
        .map(|n| {
            format!(
                "fragment F{n} on Query {{ ...F{0} ...F{0} ...F{0} }} ",
                n + 1
            )
        })
        .collect();
    for query in [
        "{ audit { nodes { actor } ".to_owned(),
        "{ orders { total } }".to_owned(),
        "mutation { forget }".to_owned(),
        "{ audit(filter: { shop: 1 }) { position } }".to_owned(),
        format!("{{ {aliases} }}"),
        format!("{{ {lists} }}"),
        format!("{{ ...F0 }} {fragments} fragment F30 on Query {{ __typename }}"),
        format!(
            "{{ __schema {{ types {} name {} }} }}",
            "{ fields { type ".repeat(8),
            "} }".repeat(8)
        ),
    ] {
        let question = json!({ "query": query });
        let refused = officer.ask(question.clone()).await.is(200);
        assert_eq!(refused.body["data"], Value::Null, "{query}");
        assert!(!refused.body["errors"].as_array().unwrap().is_empty());
        let request = it.request(Method::POST, "/v1/graphql").json(&question);
        let request = request.bearer_auth(&officer.key);
        let refused = answered(request.header("accept", GRAPHQL_RESPONSE)).await;
        assert_eq!(refused.is(400).header("content-type"), GRAPHQL_RESPONSE);
    }
    for (question, status, kind) in [
        (json!({}), 422, "invalid-body"),
        (json!({ "query": 7 }), 422, "invalid-body"),
        (
            json!({ "query": "{ audit { position } }", "page": 2 }),
            422,
            "invalid-body",
        ),
    ] {
        officer.ask(question).await.problem(status, kind);
    }
    let text = it
        .request(Method::POST, "/v1/graphql")
        .body("{ audit { position } }");
    let refused = answered(text.bearer_auth(&officer.key)).await;
    refused.problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn the_schema_can_be_asked_for() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let deepest = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let query = format!(
        "{{ __schema {{ queryType {{ fields {{ name args {{ type {{ kind name {deepest} }} }} }} }} }} }}"
    );
    let data = officer.data(&query).await;
    let fields = data["__schema"]["queryType"]["fields"].as_array().unwrap();
    let names: Vec<&str> = fields
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["audit", "auditAccesses"]);
}

#[tokio::test]
async fn only_the_scope_compliance_asks_and_only_about_its_account() {
    let it = Served::start().await;
    renamed_site(&it).await;
    let question = json!({ "query": "{ audit(first: 100) { nodes { aggregateId } } }" });
    let ask = |key: String| {
        let request = it.request(Method::POST, "/v1/graphql").json(&question);
        answered(request.bearer_auth(key))
    };
    let keys = [it.key_with("read").await, it.key_with("write").await];
    for key in keys {
        let refused = ask(key).await;
        let refused = refused.problem(403, "forbidden");
        assert_eq!(refused.body["code"], "scope_missing");
    }
    ask("unknown".to_owned())
        .await
        .problem(401, "unauthenticated");
    let found = ask(it.other_officers_key().await).await.is(200);
    let nodes = found.body["data"]["audit"]["nodes"].as_array().unwrap();
    assert!(!nodes.is_empty());
    for node in nodes {
        assert_ne!(node["aggregateId"], it.account.to_string());
    }
}

#[tokio::test]
async fn a_question_may_name_a_position_that_it_waits_for() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let shoes = json!({ "name": "Shoes", "domain": "shoes.example.com" });
    let registered = it.post("/v1/sites", shoes).await.is(201);
    let question = json!({ "query": "{ audit(first: 1) { nodes { eventType } } }" });
    let ask = |position: String| {
        let request = it.request(Method::POST, "/v1/graphql").json(&question);
        let request = request.header("proofline-min-position", position);
        answered(request.bearer_auth(&officer.key))
    };
    let position = registered.body["position"].as_str().unwrap().to_owned();
    let found = ask(position).await.is(200);
    assert_eq!(
        found.body["data"]["audit"]["nodes"][0]["eventType"],
        "site.registered"
    );
    ask(Uuid::nil().to_string())
        .await
        .problem(400, "invalid-position");
}
