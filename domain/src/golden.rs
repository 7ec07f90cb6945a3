//! Golden files: what each event looks like in storage, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cqrs_es::DomainEvent;
use cqrs_es::persist::SerializedEvent;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Value, json};

use crate::event::{DecodeError, Event};
use crate::words::Fact;

/// One file: `golden/<aggregate>/<event>[.<what is special>].v<version>.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    event_type: String,
    event_version: String,
    payload: Value,
}

/// Checks an aggregate's golden files against the events they stand for, given with the files' names:
///
/// - every file is expected and every expectation has its file; every variant has a file of its present version, and
///   where a field may be missing, a file called `minimal`;
/// - each file decodes, through the upcasters, to its event; and if it has the present version, the event is written
///   exactly as the file has it;
/// - fields that are added later are tolerated.
#[track_caller]
pub(crate) fn check<E>(aggregate_type: &str, types: &[&str], expected: &[(&str, E)])
where
    E: DomainEvent,
    Event: From<E>,
{
    let files = read(aggregate_type);
    let names: BTreeSet<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        expected.iter().map(|(name, _)| *name).collect(),
        "files, and expected events"
    );
    assert_eq!(variants::<E>(), types, "variants of the event, and TYPES");
    for event_type in types {
        let covered = expected.iter().any(|(name, event)| {
            event.event_type() == *event_type && files[*name].event_version == event.event_version()
        });
        assert!(covered, "{event_type} has no golden file");
    }

    for (name, event) in expected {
        let golden = &files[*name];
        let (short_name, version) = name.split_once(".v").unwrap();
        let event_name = short_name.split('.').next().unwrap();
        assert_eq!(golden.event_type, format!("{aggregate_type}.{event_name}"));
        assert_eq!(golden.event_version, version);

        let decoded = decode(aggregate_type, golden, &golden.payload).unwrap();
        assert_eq!(decoded, Event::from(event.clone()), "{name}");
        assert_eq!(decoded.event_type(), golden.event_type);
        if golden.event_version == event.event_version() {
            let written = serde_json::to_value(event).unwrap();
            assert_eq!(written, json!({ &golden.event_type: golden.payload }));
        }

        let mut extended = golden.payload.clone();
        extended["added_later"] = json!({"a": [1]});
        let decoded = decode(aggregate_type, golden, &extended).unwrap();
        assert_eq!(decoded, Event::from(event.clone()), "{name}");

        let minimal = format!("{event_name}.minimal.v{version}");
        for field in golden.payload.as_object().unwrap().keys() {
            let mut shortened = golden.payload.clone();
            shortened.as_object_mut().unwrap().remove(field);
            if decode(aggregate_type, golden, &shortened).is_ok() {
                assert!(names.contains(minimal.as_str()), "no {minimal}: {field}");
            }
        }
    }
}

fn read(aggregate_type: &str) -> BTreeMap<String, Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(aggregate_type);
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "json");
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn decode(aggregate_type: &str, golden: &Golden, payload: &Value) -> Result<Event, DecodeError> {
    Event::decode(SerializedEvent::new(
        "id".to_owned(),
        1,
        aggregate_type.to_owned(),
        golden.event_type.clone(),
        golden.event_version.clone(),
        payload.clone(),
        json!({}),
    ))
}

/// The names of an enum's variants, as its derived `Deserialize` tells them: a list that can't be incomplete.
fn variants<E: DeserializeOwned>() -> Vec<&'static str> {
    struct Probe<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = de::value::Error;

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _name: &'static str,
            variants: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.extend(variants);
            Err(de::Error::custom("asked only for the names"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not an enum"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct identifier ignored_any
        }
    }

    let mut names = Vec::new();
    let nothing = E::deserialize(Probe(&mut names)).err();
    assert!(nothing.is_some());
    names
}

mod tests {
    use super::*;

    fn golden(event_type: &str, event_version: &str) -> Golden {
        Golden {
            event_type: event_type.to_owned(),
            event_version: event_version.to_owned(),
            payload: json!({"name": "Shoes", "at": "2026-03-01T12:00:00Z"}),
        }
    }

    #[test]
    fn an_unknown_type_is_an_error_and_never_skipped() {
        for (aggregate_type, event_type) in [
            ("account", "account.exploded"),
            ("account", "site.renamed"),
            ("invoice", "account.opened"),
        ] {
            let golden = golden(event_type, "1");
            let error = decode(aggregate_type, &golden, &golden.payload).unwrap_err();
            assert!(matches!(error, DecodeError::UnknownType { .. }), "{error}");
        }
    }

    #[test]
    fn a_version_from_the_future_is_an_error() {
        let golden = golden("account.opened", "2");
        let error = decode("account", &golden, &golden.payload).unwrap_err();
        assert!(
            matches!(error, DecodeError::UnknownVersion { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_payload_of_another_shape_is_an_error_with_its_source() {
        let golden = golden("account.opened", "1");
        for payload in [
            json!({}),
            json!(null),
            json!([]),
            json!({"name": "", "at": "2026-03-01T12:00:00Z"}),
            json!({"name": "Shoes", "at": "noon"}),
        ] {
            let error = decode("account", &golden, &payload).unwrap_err();
            assert!(matches!(error, DecodeError::Payload { .. }), "{error}");
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn an_aggregate_and_its_event_types_share_a_prefix_and_no_type_is_named_twice() {
        let mut seen = BTreeSet::new();
        for (aggregate_type, event_types) in crate::EVENT_TYPES {
            for event_type in *event_types {
                assert!(event_type.starts_with(&format!("{aggregate_type}.")));
                assert!(seen.insert(event_type), "{event_type}");
            }
        }
    }

    #[test]
    fn every_folder_of_golden_files_belongs_to_an_aggregate() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let folders: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let aggregates = crate::EVENT_TYPES.iter();
        assert_eq!(
            folders,
            aggregates.map(|(name, _)| (*name).to_owned()).collect()
        );
    }

    /// `PROOFLINE_WRITE_GOLDEN=1` writes the table anew; look at the difference.
    #[test]
    fn every_golden_event_says_in_plain_words_what_the_table_has() {
        let mut said = String::new();
        for (aggregate_type, types) in crate::EVENT_TYPES {
            let files = read(aggregate_type);
            let mut state = crate::State::absent(aggregate_type).unwrap();
            for event_type in *types {
                let of_type = |(_, golden): &(_, &Golden)| golden.event_type == *event_type;
                for (name, golden) in files.iter().filter(of_type) {
                    let event = decode(aggregate_type, golden, &golden.payload).unwrap();
                    let sentence = event.sentence();
                    writeln!(said, "{aggregate_type}/{name}\n    {sentence}").unwrap();
                    state.apply(event).unwrap();
                }
            }
            writeln!(said, "{aggregate_type}, after all that").unwrap();
            for Fact { name, value } in state.facts() {
                writeln!(said, "    {name}: {value}").unwrap();
            }
        }
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("sentences.txt");
        if std::env::var_os("PROOFLINE_WRITE_GOLDEN").is_some() {
            fs::write(&table, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(table).unwrap());
    }

    #[test]
    fn no_word_about_an_event_or_its_aggregate_tells_a_person_or_a_secret() {
        let mut hidden_texts = 0;
        for (aggregate_type, _) in crate::EVENT_TYPES {
            for (name, golden) in read(aggregate_type) {
                let event = decode(aggregate_type, &golden, &golden.payload).unwrap();
                let mut state = crate::State::absent(aggregate_type).unwrap();
                state.apply(event.clone()).unwrap();
                let said = format!("{} {:?}", event.sentence(), state.facts());
                let mut hidden = Vec::new();
                texts(&golden.payload, false, &mut hidden);
                hidden_texts += hidden.len();
                for text in hidden {
                    assert!(!said.contains(&text), "{name}: {said}");
                }
            }
        }
        assert!(hidden_texts > 0);
    }

    /// Every text within an envelope, and every hash.
    fn texts(value: &Value, is_hidden: bool, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let hides = is_hidden || name == "$pii" || name == "hash";
                    texts(member, hides, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| texts(item, is_hidden, found)),
            Value::String(text) if is_hidden => found.push(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
