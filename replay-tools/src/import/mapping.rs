//! From a row of the source to an event of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use commands::Secrets;
use domain::{AccountId, Email};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::refusal::Refusal;
use super::source::SourceEvent;

/// What `--map` says; docs/operations.md describes the file. Without it, everything is taken as it is named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    /// By the source's aggregate type.
    #[serde(default)]
    aggregates: BTreeMap<String, AggregateMapping>,
    #[serde(default)]
    metadata: MetadataMapping,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AggregateMapping {
    #[serde(rename = "as")]
    aggregate_type: Option<String>,
    /// By the source's event type.
    #[serde(default)]
    events: BTreeMap<String, EventMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventMapping {
    #[serde(rename = "as")]
    event_type: Option<String>,
    version: Option<String>,
    /// JSON pointer to the object in the payload that holds the event's fields.
    content: Option<String>,
    /// JSON pointers into the content, to what is left behind.
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    personal: Vec<PersonalField>,
}

/// A field that holds personal data, and is sealed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonalField {
    /// JSON pointer into the content.
    at: String,
    /// JSON pointer into the content, to the e-mail address of the person. Without it, or where none stands there, the
    /// stream is the subject.
    email: Option<String>,
}

/// Metadata is not sealed, so each of its keys is decided about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataMapping {
    #[serde(default)]
    keep: BTreeSet<String>,
    #[serde(default)]
    drop: BTreeSet<String>,
}

/// An event under our names.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) event_type: String,
    pub(super) event_version: String,
    pub(super) payload: Value,
}

/// Whose personal data it is.
pub(super) struct Subjects {
    pub(super) secrets: Secrets,
    pub(super) tenant: Uuid,
}

impl Mapping {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not a mapping", path.display()))
    }

    pub(super) fn aggregate_type<'a>(&'a self, source: &'a str) -> &'a str {
        self.aggregates
            .get(source)
            .and_then(|aggregate| aggregate.aggregate_type.as_deref())
            .unwrap_or(source)
    }

    pub(super) fn event_type<'a>(&'a self, aggregate_type: &str, source: &'a str) -> &'a str {
        self.event(aggregate_type, source)
            .and_then(|event| event.event_type.as_deref())
            .unwrap_or(source)
    }

    fn event(&self, aggregate_type: &str, event_type: &str) -> Option<&EventMapping> {
        self.aggregates.get(aggregate_type)?.events.get(event_type)
    }

    pub(super) fn map(
        &self,
        aggregate_type: &str,
        event: &SourceEvent,
        subjects: &Subjects,
    ) -> Result<Mapped, Refusal> {
        let payload: Value =
            serde_json::from_str(&event.payload).map_err(|_| Refusal::NotAnObject)?;
        let none = EventMapping::default();
        let mapping = self
            .event(aggregate_type, &event.event_type)
            .unwrap_or(&none);
        let mut content = content(mapping, &event.event_type, payload)?;
        for pointer in &mapping.drop {
            remove(&mut content, pointer);
        }
        for field in &mapping.personal {
            enclose(&mut content, field, &event.aggregate_id, subjects);
        }
        Ok(Mapped {
            event_type: self
                .event_type(aggregate_type, &event.event_type)
                .to_owned(),
            event_version: mapping
                .version
                .clone()
                .unwrap_or_else(|| event.event_version.clone()),
            payload: content,
        })
    }

    /// What is kept of an event's metadata.
    pub(super) fn metadata(&self, event: &SourceEvent) -> Result<Map<String, Value>, Refusal> {
        let metadata = match serde_json::from_str(&event.metadata) {
            Ok(Value::Object(metadata)) => metadata,
            Ok(Value::Null) => Map::new(),
            _ => return Err(Refusal::MetadataNotAnObject),
        };
        let mut kept = Map::new();
        for (key, value) in metadata {
            if self.metadata.keep.contains(&key) {
                kept.insert(key, value);
            } else if !self.metadata.drop.contains(&key) {
                return Err(Refusal::MetadataUndecided { key });
            }
        }
        Ok(kept)
    }
}

/// The object that holds the fields. serde tags an enum from outside, so a payload whose only key is the event's type
/// holds them under it.
fn content(mapping: &EventMapping, event_type: &str, payload: Value) -> Result<Value, Refusal> {
    let content = match (&mapping.content, payload) {
        (Some(pointer), mut payload) => payload
            .pointer_mut(pointer)
            .map(Value::take)
            .ok_or(Refusal::NoContent)?,
        (None, Value::Object(mut tagged))
            if tagged.len() == 1 && tagged.get(event_type).is_some_and(Value::is_object) =>
        {
            tagged.remove(event_type).unwrap_or_default()
        }
        (None, payload) => payload,
    };
    if content.is_object() {
        Ok(content)
    } else {
        Err(Refusal::NotAnObject)
    }
}

fn remove(content: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    if let Some(Value::Object(parent)) = content.pointer_mut(parent) {
        parent.remove(&key);
    }
}

/// Puts the field into an envelope, which the store seals. The subject is the one that the platform itself would take,
/// so that a person is one subject whether an event was imported or not.
fn enclose(content: &mut Value, field: &PersonalField, aggregate_id: &str, subjects: &Subjects) {
    let email = field
        .email
        .as_ref()
        .and_then(|pointer| content.pointer(pointer)?.as_str())
        .and_then(|email| Email::parse(email).ok());
    let subject = match email {
        Some(email) => subjects
            .secrets
            .subject_of_email(AccountId::from(subjects.tenant), &email),
        // Ids of streams are UUIDs; another one is refused before it comes here.
        None => subjects
            .secrets
            .subject_of_id(Uuid::parse_str(aggregate_id).unwrap_or_default()),
    };
    if let Some(value) = content.pointer_mut(&field.at)
        && !value.is_null()
    {
        *value = json!({ "$pii": { "subject": subject, "value": value.take() } });
    }
}
