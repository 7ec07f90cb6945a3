//! Reading what a shop sends: the id must be right, all else is taken where it can be. An order is not refused for an
//! odd member, or the shop would deliver it again and again.

use std::fmt;

use serde::de::{DeserializeOwned, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// Shopify's ids are above what a JavaScript number can hold, and come as numbers or as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShopifyId(u64);

/// A decimal amount: text, or a number from apps that don't care.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Text(String),
    Number(Number),
}

/// A member that counts as absent where it is not of the type that we know.
pub(super) fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// A list without those items that are not of the type that we know.
pub(super) fn known_items<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items: Option<Vec<Value>> = known(deserializer)?;
    let items = items.unwrap_or_default().into_iter();
    Ok(items
        .filter_map(|item| serde_json::from_value(item).ok())
        .collect())
}

impl fmt::Display for ShopifyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.trim()),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for ShopifyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = ShopifyId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: a whole number, or its digits as text")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<ShopifyId, E> {
        Ok(ShopifyId(id))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ShopifyId, E> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(id) if digits => Ok(ShopifyId(id)),
            Ok(_) | Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_as_number_and_as_text() {
        for json in [
            "9007199254740993",
            r#""9007199254740993""#,
            r#""09007199254740993""#,
        ] {
            let id: ShopifyId = serde_json::from_str(json).unwrap();
            assert_eq!(id.to_string(), "9007199254740993");
        }
        let largest: ShopifyId = serde_json::from_str("18446744073709551615").unwrap();
        assert_eq!(largest.to_string(), u64::MAX.to_string());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for json in [
            "-1",
            "1.5",
            "1e3",
            "null",
            "[]",
            r#""""#,
            r#""+1""#,
            r#""1 ""#,
            r#""gid://1""#,
        ] {
            assert!(serde_json::from_str::<ShopifyId>(json).is_err(), "{json}");
        }
    }
}
