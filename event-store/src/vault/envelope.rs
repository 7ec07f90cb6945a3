//! The envelope of personal data inside a payload, and how it is sealed.
//!
//! Stored format, for ever. Plain: `{"$pii": {"subject": UUID, "value": V}}`. Sealed: `{"$pii": {"subject": UUID,
//! "sealed": "1.B"}}`, where B is base64url without padding of a 12-byte nonce followed by AES-256-GCM ciphertext and
//! tag over the compact JSON of V, under the subject's own key. Associated data: `proofline.pii.1`, the event id's 16
//! bytes, and the JSON pointer of the envelope in the payload; so a sealed value can't be moved to another event or field.
//! Erased: `{"$pii": {"subject": UUID}}`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{SubjectKey, VaultError, cipher};

const TAG: &str = "$pii";
const SUBJECT: &str = "subject";
const VALUE: &str = "value";
const SEALED: &str = "sealed";
const FORMAT: &str = "1.";
const DOMAIN: &[u8] = b"proofline.pii.1";

/// The subjects of every envelope in a payload, in order of appearance, with repeats.
pub(super) fn subjects(payload: &Value) -> Result<Vec<Uuid>, VaultError> {
    let mut found = Vec::new();
    collect(payload, &mut found)?;
    Ok(found)
}

fn collect(value: &Value, found: &mut Vec<Uuid>) -> Result<(), VaultError> {
    match value {
        Value::Object(map) => match map.get(TAG) {
            // Whatever stood beside the envelope would be stored as it is.
            Some(_) if map.len() > 1 => return Err(VaultError::Malformed),
            Some(envelope) => found.push(subject_of(envelope)?),
            None => map.values().try_for_each(|child| collect(child, found))?,
        },
        Value::Array(items) => items.iter().try_for_each(|child| collect(child, found))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Replaces every envelope by what `change` makes of it, which also gets the envelope's JSON pointer.
pub(super) fn rewrite(
    value: &mut Value,
    change: &mut impl FnMut(&str, Uuid, &mut Map<String, Value>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    rewrite_at(value, &mut String::new(), change)
}

fn rewrite_at(
    value: &mut Value,
    pointer: &mut String,
    change: &mut impl FnMut(&str, Uuid, &mut Map<String, Value>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            if let Some(envelope) = map.get_mut(TAG) {
                let subject = subject_of(envelope)?;
                let envelope = envelope.as_object_mut().ok_or(VaultError::Malformed)?;
                return change(pointer, subject, envelope);
            }
            for (key, child) in map {
                pointer.push('/');
                for character in key.chars() {
                    match character {
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        other => pointer.push(other),
                    }
                }
                rewrite_at(child, pointer, change)?;
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter_mut().enumerate() {
                pointer.push_str(&format!("/{index}"));
                rewrite_at(child, pointer, change)?;
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Seals a plain envelope in place; one that is sealed or erased already is refused, since nobody may store what this
/// vault did not seal.
pub(super) fn seal(
    envelope: &mut Map<String, Value>,
    key: &SubjectKey,
    event: Uuid,
    pointer: &str,
) -> Result<(), VaultError> {
    seal_with_nonce(envelope, key, event, pointer, rand::random())
}

fn seal_with_nonce(
    envelope: &mut Map<String, Value>,
    key: &SubjectKey,
    event: Uuid,
    pointer: &str,
    nonce_bytes: [u8; 12],
) -> Result<(), VaultError> {
    let value = envelope.remove(VALUE).ok_or(VaultError::Malformed)?;
    let plain =
        zeroize::Zeroizing::new(serde_json::to_vec(&value).map_err(|_| VaultError::Malformed)?);
    let bytes = cipher::seal_with_nonce(
        key.expose(),
        &associated_data(event, pointer),
        &plain,
        nonce_bytes,
    );
    envelope.insert(
        SEALED.to_owned(),
        format!("{FORMAT}{}", URL_SAFE_NO_PAD.encode(bytes)).into(),
    );
    Ok(())
}

/// Opens a sealed envelope in place. Without a key it becomes an erased one. A plain one in storage is refused.
pub(super) fn open(
    envelope: &mut Map<String, Value>,
    key: Option<&SubjectKey>,
    event: Uuid,
    pointer: &str,
) -> Result<(), VaultError> {
    if envelope.contains_key(VALUE) {
        return Err(VaultError::Unsealed { event });
    }
    let Some(sealed) = envelope.remove(SEALED) else {
        return Ok(());
    };
    let Some(key) = key else { return Ok(()) };
    let bytes = sealed
        .as_str()
        .and_then(|text| text.strip_prefix(FORMAT))
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| bytes.len() > 12)
        .ok_or(VaultError::Malformed)?;
    let plain = cipher::open(key.expose(), &associated_data(event, pointer), &bytes)
        .ok_or(VaultError::Altered { event })?;
    let value = serde_json::from_slice(&plain).map_err(|_| VaultError::Altered { event })?;
    envelope.insert(VALUE.to_owned(), value);
    Ok(())
}

fn subject_of(envelope: &Value) -> Result<Uuid, VaultError> {
    envelope
        .get(SUBJECT)
        .and_then(Value::as_str)
        .and_then(|text| Uuid::parse_str(text).ok())
        .ok_or(VaultError::Malformed)
}

fn associated_data(event: Uuid, pointer: &str) -> Vec<u8> {
    [DOMAIN, event.as_bytes(), pointer.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: Uuid = Uuid::from_u128(0x0192_f0c1_2345_7abc_8def_0123_4567_89ab);
    const SUBJECT_ID: &str = "7f0c0000-0000-4000-8000-000000000001";

    fn key() -> SubjectKey {
        SubjectKey::from_slice(&[7; 32]).unwrap()
    }

    fn payload() -> Value {
        json!({ "site": "s", "people": [{ "a/b": { "$pii": { "subject": SUBJECT_ID, "value": { "name": "Anna" } } } }] })
    }

    fn sealed() -> Value {
        let mut value = payload();
        rewrite(&mut value, &mut |pointer, _, envelope| {
            seal_with_nonce(envelope, &key(), EVENT, pointer, [9; 12])
        })
        .unwrap();
        value
    }

    fn opened(
        mut value: Value,
        key: Option<&SubjectKey>,
        event: Uuid,
    ) -> Result<Value, VaultError> {
        rewrite(&mut value, &mut |pointer, _, envelope| {
            open(envelope, key, event, pointer)
        })?;
        Ok(value)
    }

    /// Stored for ever: these bytes may never change. Computed with another implementation of AES-GCM.
    #[test]
    fn the_sealed_form_is_frozen() {
        let text = sealed()["people"][0]["a/b"]["$pii"]["sealed"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            text,
            "1.CQkJCQkJCQkJCQkJXKfq9dOV41uCI6VWh8je7DWwGwTa821E3BKP0Mtd8Q"
        );
    }

    #[test]
    fn what_was_sealed_opens_again() {
        assert_eq!(opened(sealed(), Some(&key()), EVENT).unwrap(), payload());
    }

    #[test]
    fn without_the_key_nothing_but_the_subject_is_left() {
        let erased = opened(sealed(), None, EVENT).unwrap();
        assert_eq!(
            erased["people"][0]["a/b"],
            json!({ "$pii": { "subject": SUBJECT_ID } })
        );
        assert_eq!(opened(erased.clone(), Some(&key()), EVENT).unwrap(), erased);
    }

    #[test]
    fn a_sealed_value_does_not_open_elsewhere() {
        assert!(matches!(
            opened(sealed(), Some(&key()), Uuid::nil()),
            Err(VaultError::Altered { .. })
        ));
        let moved = json!({ "other": sealed()["people"][0]["a/b"] });
        assert!(matches!(
            opened(moved, Some(&key()), EVENT),
            Err(VaultError::Altered { .. })
        ));
        let other_key = SubjectKey::from_slice(&[8; 32]).unwrap();
        assert!(matches!(
            opened(sealed(), Some(&other_key), EVENT),
            Err(VaultError::Altered { .. })
        ));
    }

    #[test]
    fn plain_text_in_storage_and_garbled_envelopes_are_refused() {
        assert!(matches!(
            opened(payload(), Some(&key()), EVENT),
            Err(VaultError::Unsealed { .. })
        ));
        for garbled in [
            json!({ "$pii": 1 }),
            json!({ "$pii": {} }),
            json!({ "$pii": { "subject": "x" } }),
            json!({ "$pii": { "subject": SUBJECT_ID, "value": 1 }, "beside": 2 }),
        ] {
            assert!(
                matches!(subjects(&garbled), Err(VaultError::Malformed)),
                "{garbled}"
            );
        }
        for text in ["", "1.", "2.AAAA", "1.AAAA"] {
            let value = json!({ "$pii": { "subject": SUBJECT_ID, "sealed": text } });
            assert!(
                matches!(
                    opened(value, Some(&key()), EVENT),
                    Err(VaultError::Malformed)
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn nobody_stores_what_this_vault_did_not_seal() {
        let mut envelope = json!({ "subject": SUBJECT_ID, "sealed": "1.AAAA" })
            .as_object()
            .unwrap()
            .clone();
        assert!(matches!(
            seal(&mut envelope, &key(), EVENT, ""),
            Err(VaultError::Malformed)
        ));
    }

    #[test]
    fn subjects_are_found_at_any_depth() {
        assert_eq!(
            subjects(&payload()).unwrap(),
            [Uuid::parse_str(SUBJECT_ID).unwrap()]
        );
        assert!(
            subjects(&json!({ "a": [1, "x", null] }))
                .unwrap()
                .is_empty()
        );
    }
}
