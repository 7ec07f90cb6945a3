//! What is shown of personal data and secrets: that they are there.

use serde_json::{Map, Value, json};
use uuid::Uuid;

const ENVELOPE: &str = "$pii";
/// Of an API key's secret.
const HASH: &str = "hash";
const WITHHELD: &str = "withheld";

/// Says of an envelope of personal data, or of a secret, whose it is and how it stands, and nothing of what is in it.
pub(crate) fn mask(value: &Value) -> Value {
    but_for(value, &[])
}

/// The same, but for what is these people's own: that is shown, and where it was erased, null.
pub(crate) fn but_for(value: &Value, subjects: &[Uuid]) -> Value {
    match value {
        Value::Object(members) => match members.get(ENVELOPE) {
            Some(content) if is_of(content, subjects) => {
                content.get("value").cloned().unwrap_or(Value::Null)
            }
            Some(content) => envelope(content),
            None => {
                let shown = members
                    .iter()
                    .map(|(name, value)| (name.clone(), member_but_for(name, value, subjects)));
                Value::Object(shown.collect())
            }
        },
        Value::Array(items) => items.iter().map(|item| but_for(item, subjects)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_of(content: &Value, subjects: &[Uuid]) -> bool {
    let subject = content.get("subject").and_then(Value::as_str);
    let subject = subject.and_then(|text| Uuid::parse_str(text).ok());
    subject.is_some_and(|subject| subjects.contains(&subject))
}

pub(super) fn mask_member(name: &str, value: &Value) -> Value {
    member_but_for(name, value, &[])
}

fn member_but_for(name: &str, value: &Value, subjects: &[Uuid]) -> Value {
    if name == HASH && !value.is_null() {
        Value::from(WITHHELD)
    } else {
        but_for(value, subjects)
    }
}

pub(super) fn is_envelope(members: &Map<String, Value>) -> bool {
    members.contains_key(ENVELOPE)
}

fn envelope(content: &Value) -> Value {
    let state = if content.get("sealed").is_some() {
        "sealed"
    } else if content.get("value").is_some() {
        WITHHELD
    } else {
        "erased"
    };
    json!({ ENVELOPE: { "subject": content.get("subject"), "is": state } })
}

#[cfg(test)]
mod tests {
    use cqrs_es::persist::SerializedEvent;
    use domain::{Event, State};

    use super::*;

    #[test]
    fn an_envelope_says_whose_it_is_and_how_it_stands() {
        for (content, is) in [
            (json!({ "subject": "s", "sealed": "1.AAAA" }), "sealed"),
            (json!({ "subject": "s" }), "erased"),
            (
                json!({ "subject": "s", "value": { "first_name": "Anna" } }),
                "withheld",
            ),
        ] {
            let shown = mask(&json!([{ "buyer": { "$pii": content } }]));
            let expected = json!([{ "buyer": { "$pii": { "subject": "s", "is": is } } }]);
            assert_eq!(shown, expected);
        }
    }

    /// Whatever the golden files lead to: nothing sealed, no person and no hash gets out.
    #[test]
    fn no_state_shows_what_is_hidden() {
        for (aggregate, _) in domain::EVENT_TYPES {
            let folder = format!(
                "{}/../domain/golden/{aggregate}",
                env!("CARGO_MANIFEST_DIR")
            );
            for file in std::fs::read_dir(folder).unwrap() {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                let golden: Value = serde_json::from_str(&text).unwrap();
                let of = |name: &str| golden[name].as_str().unwrap().to_owned();
                let event = Event::decode(SerializedEvent {
                    aggregate_id: "id".to_owned(),
                    sequence: 1,
                    aggregate_type: (*aggregate).to_owned(),
                    event_type: of("event_type"),
                    event_version: of("event_version"),
                    payload: golden["payload"].clone(),
                    metadata: Value::Null,
                });
                let mut state = State::absent(aggregate).unwrap();
                state.apply(event.unwrap()).unwrap();
                let shown = mask(&serde_json::to_value(&state).unwrap()).to_string();
                for hidden in ["c2VhbGVk", "shpss_", "Anna", "0f0f0f"] {
                    assert!(!shown.contains(hidden), "{shown}");
                }
            }
        }
    }
}
