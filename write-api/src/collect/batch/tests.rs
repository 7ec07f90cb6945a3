use axum::body::Body;
use chrono::TimeDelta;
use domain::Impression;
use platform::rate_limit::Quota;
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn signer() -> Signer {
    Signer::new([7; 32])
}

fn token(site: u128, served_at: DateTime<Utc>) -> String {
    let impression = Impression {
        account_id: Uuid::from_u128(1).into(),
        site_id: Uuid::from_u128(site).into(),
        notification_id: Uuid::from_u128(3).into(),
        served_at,
    };
    signer().sign(&impression.to_bytes())
}

fn event(token: &str) -> Value {
    let made_at = Timestamp::from_unix(NoContext, now().timestamp().unsigned_abs(), 0);
    let id = Uuid::new_v7(made_at);
    json!({ "id": id, "type": "click", "token": token, "occurred_at": now() })
}

#[track_caller]
fn batch(events: &[Value]) -> Batch {
    Batch::parse(json!({ "events": events }).to_string().as_bytes()).unwrap()
}

fn codes(problem: &Problem) -> Vec<(&str, &str)> {
    let errors = problem.errors().iter();
    errors
        .map(|error| (error.pointer.as_deref().unwrap_or_default(), &*error.code))
        .collect()
}

#[test]
fn a_wrong_value_costs_its_own_event() {
    let good = token(2, now());
    let altered = format!("B{}", &good[1..]);
    let mut late = event(&good);
    late["occurred_at"] = "2020-01-01T00:00:00Z".into();
    let events = [event(&good), event(&altered), late, event(&good)];
    let judged = batch(&events).judge(&signer(), now()).unwrap();
    assert_eq!(judged.observations.len(), 2);
    let refused = serde_json::to_value(&judged.refused).unwrap();
    assert_eq!(refused[0]["pointer"], "#/events/1/token");
    assert_eq!(refused[0]["code"], "invalid_token");
    assert_eq!(refused[1]["pointer"], "#/events/2/occurred_at");
    assert_eq!(refused[1]["code"], "time_out_of_window");
}

#[test]
fn a_batch_of_which_nothing_counts_is_refused_by_its_cause() {
    let (good, old) = (token(2, now()), token(2, now() - TimeDelta::hours(2)));
    let early = token(2, now() + TimeDelta::hours(1));
    let foreign = Signer::new([8; 32]).sign(b"anything");
    let mut no_id = event(&good);
    no_id["id"] = "x".into();
    for (events, kind) in [
        (vec![event(&old), event(&old)], ProblemKind::TokenExpired),
        (vec![event(&foreign)], ProblemKind::InvalidToken),
        (vec![event(""), event(&early)], ProblemKind::InvalidToken),
        (vec![event(&foreign), event(&old)], ProblemKind::InvalidBody),
        (vec![no_id], ProblemKind::InvalidBody),
    ] {
        let problem = batch(&events).judge(&signer(), now()).unwrap_err();
        assert_eq!(problem.kind(), kind);
        assert_eq!(problem.errors().len(), events.len());
    }
}

#[test]
fn what_we_signed_for_something_else_is_no_impression() {
    let other = signer().sign(b"a stream token");
    let problem = batch(&[event(&other)]).judge(&signer(), now()).unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::InvalidToken);
}

#[test]
fn a_body_of_another_shape_is_refused_whole() {
    let good = event(&token(2, now()));
    let mut unknown = good.clone();
    unknown["visitor"] = "anna".into();
    let mut kind = good.clone();
    kind["type"] = "hover".into();
    for (body, kind, error) in [
        (
            json!({ "events": [] }),
            ProblemKind::InvalidBody,
            ("#/events", "empty"),
        ),
        (
            json!({ "events": vec![&good; EVENTS_MAX + 1] }),
            ProblemKind::InvalidBody,
            ("#/events", "too_many"),
        ),
        (
            json!({ "events": [good, unknown] }),
            ProblemKind::InvalidBody,
            ("#/events/1/visitor", "unknown_field"),
        ),
        (
            json!({ "events": [kind] }),
            ProblemKind::InvalidBody,
            ("#/events/0/type", "unknown_variant"),
        ),
        (
            json!({}),
            ProblemKind::InvalidBody,
            ("#/events", "missing_field"),
        ),
    ] {
        let Err(problem) = Batch::parse(body.to_string().as_bytes()) else {
            panic!("{error:?} was not found");
        };
        assert_eq!(problem.kind(), kind);
        assert_eq!(codes(&problem), [error]);
    }
    assert!(
        Batch::parse(
            json!({ "events": vec![&good; EVENTS_MAX] })
                .to_string()
                .as_bytes()
        )
        .is_ok()
    );
}

#[test]
fn events_count_against_their_sites() {
    let (one, other) = (token(2, now()), token(4, now()));
    let limit = RateLimit::new("collect-site", Quota::new(1, 3));
    let judged = |tokens: &[&String]| {
        let events: Vec<Value> = tokens.iter().map(|token| event(token)).collect();
        batch(&events).judge(&signer(), now()).unwrap()
    };
    judged(&[&one, &one]).within(&limit).unwrap();
    judged(&[&one, &other]).within(&limit).unwrap();
    let problem = judged(&[&one]).within(&limit).unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::RateLimited);
    judged(&[&other, &other]).within(&limit).unwrap();
}

#[tokio::test]
async fn only_json_and_what_a_beacon_sends_are_taken() {
    let body = json!({ "events": [event("t")] }).to_string();
    for (content_type, taken) in [
        (Some("application/json"), true),
        (Some("text/plain;charset=UTF-8"), true),
        (Some("Text/Plain"), true),
        (Some("application/x-www-form-urlencoded"), false),
        (Some("text/html"), false),
        (None, false),
    ] {
        let mut request = Request::post("/collect");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Body::from(body.clone())).unwrap();
        let batch = Batch::from_request(request, &()).await;
        assert_eq!(batch.is_ok(), taken, "{content_type:?}");
    }
}
