//! One trace from a request through the processes that it passes, received as a collector receives it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use proofline::secrets::Secrets;
use proofline::{account, write_side};
use prost::Message as _;
use reqwest::Client;
use serde_json::{Value, json};
use tests::World;
use tokio::net::TcpListener;

use crate::part::{Part, until};
use crate::served::connections;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Sent>>>);

#[derive(Clone, Debug)]
struct Sent {
    service: Value,
    part: Value,
    span: Span,
}

impl Collector {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receive = async |State(collector): State<Self>, body: Bytes| collector.receive(body);
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    fn receive(&self, body: Bytes) {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for of_process in request.resource_spans {
            let resource = of_process.resource.unwrap().attributes;
            let spans = of_process.scope_spans.into_iter();
            self.0
                .lock()
                .unwrap()
                .extend(spans.flat_map(|scope| scope.spans).map(|span| Sent {
                    service: attribute(&resource, "service.name"),
                    part: attribute(&resource, "part"),
                    span,
                }));
        }
    }

    fn sent(&self) -> Vec<Sent> {
        self.0.lock().unwrap().clone()
    }
}

impl Sent {
    fn attribute(&self, key: &str) -> Value {
        attribute(&self.span.attributes, key)
    }

    fn links_to(&self, trace: &[u8]) -> bool {
        self.span.links.iter().any(|link| link.trace_id == trace)
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Value {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue { value: Some(value) }) => match value {
            any_value::Value::StringValue(text) => json!(text),
            any_value::Value::IntValue(number) => json!(number),
            other => json!(format!("{other:?}")),
        },
        _ => Value::Null,
    }
}

#[tokio::test]
async fn a_registration_is_one_trace_from_the_caller_through_the_lane_to_every_projector() {
    let world = World::new().await;
    let connections = connections(&world);
    migrations::clickhouse(
        &connections.clickhouse().unwrap(),
        &world.clickhouse_database,
    )
    .await
    .unwrap();
    let secrets = Secrets::open(&connections).await.unwrap();
    let commands = write_side::open(&connections, &secrets).await.unwrap();
    let opened = account::open(&commands, &secrets.api_keys, "Test")
        .await
        .unwrap();
    let collector = Collector::default();
    let collector_url = collector.listen().await;
    let environment = [
        ("PROOFLINE_LOG", "info,platform=debug"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector_url),
        // Longer than the test: whatever arrives was sent because the process stopped.
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ];
    let write_api = Part::start("write-api", &world, &environment).await;
    let projector = Part::start("projector", &world, &environment).await;

    let answer = Client::new()
        .post(format!("{}/v1/sites", write_api.url))
        .bearer_auth(opened.key)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({ "name": "Trail", "domain": "trail.example.com" }))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let response = answer.headers()["traceresponse"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(response.starts_with(&format!("00-{TRACE}-")), "{response}");

    let mut owner = world.owner().await;
    let (position, metadata): (i64, Value) = sqlx::query_as(
        "select position, metadata from es.events where event_type = 'site.registered'",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let traceparent = metadata["traceparent"].as_str().unwrap().to_owned();
    assert!(
        traceparent.starts_with(&format!("00-{TRACE}-")),
        "{metadata}"
    );
    assert!(traceparent.ends_with("-01"), "{metadata}");
    let behind = || async {
        let mut owner = world.owner().await;
        let behind: i64 = sqlx::query_scalar(
            "select count(*) from es.projections where name like '%_list' and checkpoint < $1",
        )
        .bind(position)
        .fetch_one(&mut owner)
        .await
        .unwrap();
        let known: i64 = sqlx::query_scalar("select count(*) from es.projections")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        behind == 0 && known > 0
    };
    until(behind, || "the lists follow".to_owned()).await;
    assert!(
        collector.sent().is_empty(),
        "nothing is sent before its time"
    );
    let lines = write_api.stop().await;
    projector.stop().await;

    let sent = collector.sent();
    let trace: Vec<u8> = uuid::Uuid::parse_str(TRACE).unwrap().into_bytes().into();
    let of_trace = |name: &str| -> Sent {
        let found: Vec<_> = sent
            .iter()
            .filter(|sent| sent.span.trace_id == trace && sent.span.name == name)
            .collect();
        let [one] = found[..] else {
            panic!("{name}: {found:?}")
        };
        one.clone()
    };
    let request = of_trace("POST /v1/sites");
    assert_eq!(request.span.kind, SpanKind::Server as i32);
    assert_eq!(hex(&request.span.parent_span_id), CALLER);
    assert_eq!(
        (&request.service, &request.part),
        (&json!("proofline"), &json!("write-api"))
    );
    assert_eq!(request.attribute("http.response.status_code"), 201);
    let command = of_trace("command");
    assert_eq!(command.span.parent_span_id, request.span.span_id);
    assert_eq!(command.attribute("aggregate.type"), "site");
    assert_eq!(
        traceparent,
        format!("00-{TRACE}-{}-01", hex(&command.span.span_id))
    );

    let append = of_trace("append");
    assert_eq!(append.span.parent_span_id, command.span.span_id);
    assert_ne!(append.attribute("lane.wait_ms"), Value::Null);
    let flush = of_trace("flush");
    assert_eq!(flush.span.parent_span_id, append.span.span_id);
    assert_eq!(flush.attribute("lane.name"), "append");

    // Each projector of the domain log points to the trace from a trace of its own.
    let batches: Vec<_> = sent
        .iter()
        .filter(|sent| sent.span.name == "project_batch" && sent.links_to(&trace))
        .collect();
    let mut projectors: Vec<_> = batches
        .iter()
        .map(|sent| sent.attribute("projector.name"))
        .collect();
    projectors.sort_by_key(Value::to_string);
    assert_eq!(
        projectors,
        [
            "integration_list",
            "notification_list",
            "proof_feed",
            "site_list",
            "subject_events",
            "subject_list"
        ]
    );
    for batch in batches {
        assert_eq!(batch.part, "projector");
        assert_ne!(batch.span.trace_id, trace);
        assert_eq!(batch.attribute("projector.version"), 1);
        assert!(batch.attribute("event.position").as_i64().unwrap() >= position);
        let mut links = batch.span.links.iter();
        let link = links.find(|link| link.trace_id == trace).unwrap();
        assert_eq!(hex(&link.span_id), hex(&command.span.span_id));
        assert_eq!(attribute(&link.attributes, "event.position"), position);
        assert_ne!(attribute(&link.attributes, "projector.shard"), Value::Null);
    }

    // Every line that was logged on the way names the trace.
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line["span"]["http.route"] == "/v1/sites")
        .collect();
    assert!(!answered.is_empty(), "{lines:?}");
    for line in answered {
        assert_eq!(line["trace_id"], TRACE, "{line}");
        assert_eq!(line["span_id"], hex(&request.span.span_id), "{line}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
