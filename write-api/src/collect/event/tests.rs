use platform::json;
use uuid::{NoContext, Timestamp};

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn id_at(time: DateTime<Utc>) -> String {
    let seconds = u64::try_from(time.timestamp()).unwrap();
    let made_at = Timestamp::from_unix(NoContext, seconds, time.timestamp_subsec_nanos());
    Uuid::new_v7(made_at).to_string()
}

fn served_at(served_at: DateTime<Utc>) -> Impression {
    Impression {
        account_id: Uuid::from_u128(1).into(),
        site_id: Uuid::from_u128(2).into(),
        notification_id: Uuid::from_u128(3).into(),
        served_at,
    }
}

/// An impression that happens now, of what was served a minute ago.
fn event() -> Event {
    Event {
        id: id_at(now()),
        kind: EventKind::Impression,
        token: "token".to_owned(),
        occurred_at: now().to_rfc3339(),
        page: None,
    }
}

#[track_caller]
fn judge(event: &Event) -> Result<Observation, Refusal> {
    event.judge(Some(served_at(now() - TimeDelta::minutes(1))), now())
}

#[test]
fn an_observation_belongs_where_the_token_says() {
    let mut event = event();
    event.page = Some("https://shop.example/a?b".to_owned());
    event.occurred_at = "2026-11-20T10:29:59.1234567+01:00".to_owned();
    let observation = judge(&event).unwrap();
    assert_eq!(observation.id.to_string(), event.id);
    assert_eq!(observation.account, Uuid::from_u128(1).into());
    assert_eq!(observation.site, Uuid::from_u128(2).into());
    assert_eq!(observation.notification, Uuid::from_u128(3).into());
    assert_eq!(observation.kind, "impression");
    assert_eq!(observation.page.as_deref(), Some("/a"));
    assert_eq!(
        observation.occurred_at.to_rfc3339(),
        "2026-11-20T09:29:59.123456+00:00"
    );
}

#[test]
fn a_token_lives_as_long_as_its_kind_of_event_takes() {
    use EventKind::{Click, Conversion, Dismissal, Impression};
    let hours = TimeDelta::hours;
    let second = TimeDelta::seconds(1);
    for (kind, age, expected) in [
        (Impression, hours(1), None),
        (Impression, hours(1) + second, Some(Refusal::TokenExpired)),
        (Click, hours(1), None),
        (Click, hours(1) + second, Some(Refusal::TokenExpired)),
        (Dismissal, hours(1), None),
        (Dismissal, hours(1) + second, Some(Refusal::TokenExpired)),
        (Conversion, hours(24), None),
        (Conversion, hours(24) + second, Some(Refusal::TokenExpired)),
        (Impression, -TimeDelta::minutes(5), None),
        (
            Conversion,
            -TimeDelta::minutes(5) - second,
            Some(Refusal::TokenNotYetValid),
        ),
    ] {
        let event = Event { kind, ..event() };
        let refusal = event.judge(Some(served_at(now() - age)), now()).err();
        assert_eq!(refusal, expected, "{kind:?} {age}");
    }
    assert_eq!(
        event().judge(None, now()).unwrap_err(),
        Refusal::InvalidToken
    );
}

#[test]
fn an_id_is_a_version_7_of_the_last_day() {
    let second = TimeDelta::seconds(1);
    for (id, expected) in [
        (id_at(now() - AGE_MAX), None),
        (
            id_at(now() - AGE_MAX - second),
            Some(Refusal::IdOutOfWindow),
        ),
        (id_at(now() + SKEW_MAX), None),
        (
            id_at(now() + SKEW_MAX + second),
            Some(Refusal::IdOutOfWindow),
        ),
        (id_at(now()).to_uppercase(), None),
        (
            "ffffffff-ffff-7fff-bfff-ffffffffffff".to_owned(),
            Some(Refusal::IdOutOfWindow),
        ),
        (Uuid::new_v4().to_string(), Some(Refusal::NotUuidV7)),
        (Uuid::nil().to_string(), Some(Refusal::NotUuidV7)),
        (String::new(), Some(Refusal::NotUuidV7)),
        ("1".to_owned(), Some(Refusal::NotUuidV7)),
    ] {
        let event = Event { id, ..event() };
        assert_eq!(judge(&event).err(), expected, "{}", event.id);
    }
}

#[test]
fn a_clock_years_off_is_refused() {
    for (occurred_at, expected) in [
        ("2026-11-20T09:35:00Z", None),
        ("2026-11-20T09:35:01Z", Some(Refusal::TimeOutOfWindow)),
        ("2026-11-19T09:29:59Z", Some(Refusal::TimeOutOfWindow)),
        ("1970-01-01T00:00:00Z", Some(Refusal::TimeOutOfWindow)),
        ("2026-11-20T09:24:00Z", None),
        ("2026-11-20T09:23:59Z", Some(Refusal::BeforeServed)),
        ("2026-11-20T09:30:00", Some(Refusal::InvalidTime)),
        ("1795167000", Some(Refusal::InvalidTime)),
        ("", Some(Refusal::InvalidTime)),
    ] {
        let occurred_at = occurred_at.to_owned();
        let event = Event {
            occurred_at,
            ..event()
        };
        assert_eq!(judge(&event).err(), expected, "{}", event.occurred_at);
    }
}

#[test]
fn an_odd_page_costs_its_event_only() {
    let page = Some("about:blank".to_owned());
    let event = Event { page, ..event() };
    assert_eq!(
        judge(&event).unwrap_err(),
        Refusal::Page(PageError::NotAPath)
    );
}

#[test]
fn a_refusal_points_at_its_member() {
    for (refusal, pointer) in [
        (Refusal::NotUuidV7, "#/events/7/id"),
        (Refusal::TokenExpired, "#/events/7/token"),
        (Refusal::BeforeServed, "#/events/7/occurred_at"),
        (Refusal::Page(PageError::TooLong), "#/events/7/page"),
    ] {
        let error = RefusedEvent { index: 7, refusal }.field_error();
        assert_eq!(error.pointer.as_deref(), Some(pointer));
        assert_eq!(error.code, refusal.code());
    }
}

#[test]
fn another_shape_is_no_event() {
    for body in [
        r#"{"id":"1","type":"hover","token":"","occurred_at":""}"#,
        r#"{"id":"1","type":"click","token":"","occurred_at":"","visitor":"anna"}"#,
        r#"{"id":1,"type":"click","token":"","occurred_at":""}"#,
        r#"{"id":"1","type":"click","occurred_at":""}"#,
    ] {
        assert!(json::parse::<Event>(body.as_bytes()).is_err(), "{body}");
    }
}
