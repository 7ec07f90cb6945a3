//! The envelope of personal data and secrets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::SubjectId;

/// Personal data (or a secret) of one subject, in an envelope that storage can find, seal and lose the key of.
///
/// The event store **seals** the first form under the subject's own key before anything is hashed or stored,
/// **opens** it where a decision needs it, and yields the third form once the key is gone. Projectors see the
/// second. The three forms, which are stored and never change:
///
/// ```json
/// {"$pii": {"subject": "<uuid>", "value": <T>}}
/// {"$pii": {"subject": "<uuid>", "sealed": "<text>"}}
/// {"$pii": {"subject": "<uuid>"}}
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Pii<T> {
    /// In the clear: only in memory, never in storage.
    Known { subject: SubjectId, value: T },
    /// As it stands in storage, unopened.
    Sealed { subject: SubjectId, sealed: String },
    /// The subject's key was destroyed; nobody can know the value any more.
    Erased { subject: SubjectId },
}

impl<T> Pii<T> {
    /// Puts a value in the clear into its envelope.
    pub const fn new(subject: SubjectId, value: T) -> Self {
        Self::Known { subject, value }
    }

    pub const fn subject(&self) -> SubjectId {
        match self {
            Self::Known { subject, .. }
            | Self::Sealed { subject, .. }
            | Self::Erased { subject } => *subject,
        }
    }

    /// The value, where it is in the clear.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Sealed { .. } | Self::Erased { .. } => None,
        }
    }

    /// The ciphertext as the store wrote it, where it was not opened: what a read model keeps.
    pub fn sealed(&self) -> Option<&str> {
        match self {
            Self::Sealed { sealed, .. } => Some(sealed),
            Self::Known { .. } | Self::Erased { .. } => None,
        }
    }

    pub const fn is_erased(&self) -> bool {
        match self {
            Self::Erased { .. } => true,
            Self::Known { .. } | Self::Sealed { .. } => false,
        }
    }
}

/// Subject and state; neither value nor ciphertext.
impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self {
            Self::Known { .. } => "known",
            Self::Sealed { .. } => "sealed",
            Self::Erased { .. } => "erased",
        };
        write!(f, "Pii({}, {state})", self.subject())
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<C> {
    #[serde(rename = "$pii")]
    content: C,
}

#[derive(Serialize)]
struct ContentToStore<'a, T> {
    subject: SubjectId,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'a str>,
}

impl<T: Serialize> Serialize for Pii<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content = ContentToStore {
            subject: self.subject(),
            value: self.known(),
            sealed: self.sealed(),
        };
        Envelope { content }.serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct StoredContent<T> {
    subject: SubjectId,
    #[serde(default, deserialize_with = "present")]
    value: Option<T>,
    #[serde(default, deserialize_with = "present")]
    sealed: Option<String>,
}

/// A field that is there must hold a value: `"value": null` is an error, not an erasure. The error does not say what
/// was found, since serde would quote it and the quotation end up in a log.
fn present<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<V>, D::Error> {
    match V::deserialize(deserializer) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(de::Error::custom(
            "the content of a $pii envelope is not of its shape",
        )),
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pii<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredContent {
            subject,
            value,
            sealed,
        } = Envelope::deserialize(deserializer)?.content;
        match (value, sealed) {
            (Some(value), None) => Ok(Self::Known { subject, value }),
            (None, Some(sealed)) => Ok(Self::Sealed { subject, sealed }),
            (None, None) => Ok(Self::Erased { subject }),
            (Some(_), Some(_)) => Err(de::Error::custom("a $pii envelope holds both forms")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const SUBJECT: &str = "00000000-0000-0000-0000-000000000007";

    fn subject() -> SubjectId {
        SubjectId::from(Uuid::from_u128(7))
    }

    fn forms() -> [(Pii<String>, serde_json::Value); 3] {
        let subject = subject();
        [
            (
                Pii::new(subject, "Anna".to_owned()),
                json!({"$pii": {"subject": SUBJECT, "value": "Anna"}}),
            ),
            (
                Pii::Sealed {
                    subject,
                    sealed: "c2VhbGVk".to_owned(),
                },
                json!({"$pii": {"subject": SUBJECT, "sealed": "c2VhbGVk"}}),
            ),
            (
                Pii::Erased { subject },
                json!({"$pii": {"subject": SUBJECT}}),
            ),
        ]
    }

    #[test]
    fn each_form_is_stored_exactly_so_and_read_back() {
        for (pii, stored) in forms() {
            assert_eq!(serde_json::to_value(&pii).unwrap(), stored);
            assert_eq!(serde_json::from_value::<Pii<String>>(stored).unwrap(), pii);
        }
    }

    #[test]
    fn debug_shows_neither_value_nor_ciphertext() {
        let shown: Vec<String> = forms().iter().map(|(pii, _)| format!("{pii:?}")).collect();
        assert_eq!(
            shown,
            [
                format!("Pii({SUBJECT}, known)"),
                format!("Pii({SUBJECT}, sealed)"),
                format!("Pii({SUBJECT}, erased)"),
            ]
        );
    }

    #[test]
    fn a_null_or_ambiguous_envelope_is_not_taken_for_an_erasure() {
        for bad in [
            json!({"$pii": {"subject": SUBJECT, "value": null}}),
            json!({"$pii": {"subject": SUBJECT, "sealed": null}}),
            json!({"$pii": {"subject": SUBJECT, "value": "a", "sealed": "b"}}),
            json!({"$pii": {"value": "a"}}),
            json!({"subject": SUBJECT}),
            json!("Anna"),
        ] {
            assert!(
                serde_json::from_value::<Pii<String>>(bad.clone()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_error_does_not_quote_what_it_found() {
        let malformed = json!({"$pii": {"subject": SUBJECT, "value": "Anna"}});
        let error = serde_json::from_value::<Pii<crate::Buyer>>(malformed).unwrap_err();
        assert!(!error.to_string().contains("Anna"), "{error}");
    }

    #[test]
    fn a_field_added_to_the_envelope_later_is_tolerated() {
        let later = json!({"$pii": {"subject": SUBJECT, "purpose": "order"}});
        let read: Pii<String> = serde_json::from_value(later).unwrap();
        assert!(read.is_erased());
        assert_eq!(read.subject(), subject());
        assert_eq!(read.known(), None);
    }
}
