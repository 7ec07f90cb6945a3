//! What an activity may know of a person. In events only inside a [`Pii`](crate::Pii), and never shown by `Debug`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{DomainError, ErrorKind};
use crate::text::{ExternalId, TextError, clipped, hidden_debug, line, string_value};

line! { FirstName, 100 }
line! { LastName, 100 }
line! { City, 100 }
clipped!(FirstName, LastName, City);
hidden_debug!(FirstName, LastName, City, Email, VisitorId);

/// Who did it. Each part is there only where the shop gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<FirstName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<LastName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<City>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<CountryCode>,
}

/// What a shop's pages know a visitor by, such as the value of a cookie of their own: 1 to 200 visible characters, as they are. Never
/// stored: what is kept is derived from it by a key.
#[derive(Clone, PartialEq, Eq)]
pub struct VisitorId(ExternalId);

impl VisitorId {
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        ExternalId::parse(raw).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// An e-mail address as it was written, at most 254 characters. Whether it exists is known only by writing to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("This is not an e-mail address.")]
pub struct InvalidEmail;

impl DomainError for InvalidEmail {
    fn code(&self) -> &'static str {
        "invalid_email"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Email {
    pub const CHARS_MAX: usize = 254;

    /// Trims and checks: one `@` with something on both sides, no spaces or control characters.
    pub fn parse(raw: &str) -> Result<Self, InvalidEmail> {
        let text = raw.trim();
        let (local, domain) = text.split_once('@').ok_or(InvalidEmail)?;
        let well_formed = !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            && text.chars().count() <= Self::CHARS_MAX;
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEmail)
        }
    }

    /// In lower case: what two spellings of one address have in common.
    pub fn normalised(&self) -> String {
        self.0.to_lowercase()
    }
}

string_value!(Email, InvalidEmail);

/// A country as ISO 3166-1 alpha-2 writes it: `DE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A country is written as two capital letters, such as DE.")]
pub struct InvalidCountryCode;

impl DomainError for InvalidCountryCode {
    fn code(&self) -> &'static str {
        "invalid_country"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl CountryCode {
    pub fn parse(raw: &str) -> Result<Self, InvalidCountryCode> {
        match raw.as_bytes() {
            &[a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Self([a, b])),
            _ => Err(InvalidCountryCode),
        }
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("parse lets only ASCII letters in")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for CountryCode {
    type Err = InvalidCountryCode;

    fn from_str(text: &str) -> Result<Self, InvalidCountryCode> {
        Self::parse(text)
    }
}

impl Serialize for CountryCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CountryCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_trimmed_and_compared_in_lower_case() {
        let email = Email::parse(" Anna.Ä@Example.com ").unwrap();
        assert_eq!(email.as_str(), "Anna.Ä@Example.com");
        assert_eq!(email.normalised(), "anna.ä@example.com");
    }

    #[test]
    fn what_is_no_email_is_refused() {
        let long = format!("{}@example.com", "a".repeat(243));
        for bad in ["", "anna", "@b", "a@", "a@b@c", "a b@c", "a@b\nc", &long] {
            assert_eq!(Email::parse(bad), Err(InvalidEmail), "{bad:?}");
        }
    }

    #[test]
    fn a_country_is_two_capital_letters() {
        assert_eq!(CountryCode::parse("DE").unwrap().to_string(), "DE");
        for bad in ["", "D", "de", "DEU", "D1", "Ä"] {
            assert_eq!(CountryCode::parse(bad), Err(InvalidCountryCode), "{bad}");
        }
    }

    #[test]
    fn debug_shows_which_parts_are_known_and_none_of_them() {
        let buyer = Buyer {
            first_name: FirstName::clipped("Anna"),
            last_name: LastName::clipped("Schmidt"),
            email: Email::parse("anna@example.com").ok(),
            ..Buyer::default()
        };
        let shown = format!("{buyer:?}");
        assert!(shown.contains("Some(FirstName(…))"), "{shown}");
        for personal in ["Anna", "Schmidt", "example"] {
            assert!(!shown.contains(personal), "{shown}");
        }
    }
}
