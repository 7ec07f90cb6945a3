//! Bounded text: names, labels, titles and ids from outside. Lengths are in Unicode scalar values.

use crate::error::{DomainError, ErrorKind};

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("This must not be empty.")]
    Empty,
    #[error("This must have at most {max} characters.")]
    TooLong { max: usize },
    #[error("This must not contain control characters.")]
    ControlCharacter,
    #[error("This must not contain spaces.")]
    Space,
    #[error(
        "This must not be an e-mail address: it is kept in plain text, also when the person is erased."
    )]
    Address,
}

impl DomainError for TextError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too_long",
            Self::ControlCharacter => "control_character",
            Self::Space => "space",
            Self::Address => "address",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Trims, and checks that something visible remains, in one line and in `max` characters.
pub(crate) fn parse_line(raw: &str, max: usize) -> Result<&str, TextError> {
    let text = raw.trim();
    if text.chars().any(is_control) {
        return Err(TextError::ControlCharacter);
    }
    check_length(text, max)
}

fn check_length(text: &str, max: usize) -> Result<&str, TextError> {
    if text.chars().all(is_invisible) {
        return Err(TextError::Empty);
    }
    if text.chars().count() > max {
        return Err(TextError::TooLong { max });
    }
    Ok(text)
}

/// Whether it may be, or hold, an e-mail address, also as a URL writes one.
pub fn holds_address(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains(['@', '\u{FF20}', '\u{FE6B}'])
        || ["%40", "%ef%bc%a0", "%ef%b9%ab"]
            .iter()
            .any(|encoded| text.contains(encoded))
}

/// Control characters, line breaks, and the marks that reorder the text around them: a name on a shop's page must
/// not be able to turn its neighbours around.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Allowed inside a text (emoji are joined by some of them), but not alone.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FE0F}' | '\u{FEFF}'
        )
}

/// What of a text from outside can be kept: control characters become spaces, and what is too long ends in "…".
pub(crate) fn clip(raw: &str, max: usize) -> Option<String> {
    let spaced: String = raw
        .chars()
        .map(|c| if is_control(c) { ' ' } else { c })
        .collect();
    let text = spaced.trim();
    if text.chars().all(is_invisible) {
        return None;
    }
    if text.chars().count() <= max {
        return Some(text.to_owned());
    }
    let head: String = text.chars().take(max - 1).collect();
    Some(format!("{}…", head.trim_end()))
}

/// What every value over a string has, given its `parse` and error.
macro_rules! string_value {
    ($name:ident, $error:ty) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        crate::text::string_serde!($name, $error);
    };
}

/// Writing and reading through `parse`, for a value over a string.
macro_rules! string_serde {
    ($name:ident, $error:ty) => {
        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A `Debug` that names the type and not the value, for what belongs to a person or is secret.
macro_rules! hidden_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

/// A line of text of 1 to `$max` characters, trimmed, without control characters.
macro_rules! line {
    ($(#[$docs:meta])* $name:ident, $max:literal) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub const CHARS_MAX: usize = $max;

            /// Trims and checks.
            pub fn parse(raw: &str) -> Result<Self, crate::text::TextError> {
                crate::text::parse_line(raw, $max).map(|text| Self(text.to_owned()))
            }
        }

        crate::text::string_value!($name, crate::text::TextError);
    };
}

/// For lines that come from a shop, where nobody is there to correct them.
macro_rules! clipped {
    ($($name:ident),*) => {$(
        impl $name {
            /// What of a shop's text can be kept: control characters become spaces, what is too long ends
            /// in "…"; `None` if nothing visible remains. An order is not refused for a long title.
            pub fn clipped(raw: &str) -> Option<Self> {
                crate::text::clip(raw, Self::CHARS_MAX).map(Self)
            }
        }
    )*};
}

pub(crate) use {clipped, hidden_debug, line, string_serde, string_value};

line! {
    #[derive(Debug)]
    AccountName, 100
}

line! {
    #[derive(Debug)]
    SiteName, 100
}

line! {
    #[derive(Debug)]
    NotificationName, 100
}

line! {
    /// What a merchant calls an API key.
    #[derive(Debug)]
    Label, 100
}

line! {
    #[derive(Debug)]
    ProductTitle, 200
}

clipped!(ProductTitle);

/// What a person is asked to agree to, word for word: 1 to 10,000 characters, in as many lines as it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsentText(String);

impl ConsentText {
    pub const CHARS_MAX: usize = 10_000;

    /// Trims and checks. A line may end as forms send it, and is kept without the carriage return.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        let text = raw.replace("\r\n", "\n");
        let text = text.trim();
        if text.chars().any(|c| c != '\n' && is_control(c)) {
            return Err(TextError::ControlCharacter);
        }
        check_length(text, Self::CHARS_MAX).map(|text| Self(text.to_owned()))
    }
}

string_value!(ConsentText, TextError);

line! {
    /// How a person agreed. In events only inside a [`Pii`](crate::Pii).
    ConsentEvidence, 500
}
hidden_debug!(ConsentEvidence);

/// What somebody else's files call a case: 1 to 100 letters, digits and `._:#/-`. It is stored for ever in plain text, so
/// it must not hold a name: whoever enters it sees to that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseReference(String);

/// The text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "This must be 1 to 100 letters, digits or any of . _ : # / - and begin with a letter or digit."
)]
pub struct InvalidReference;

impl DomainError for InvalidReference {
    fn code(&self) -> &'static str {
        "invalid_reference"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl CaseReference {
    pub const CHARS_MAX: usize = 100;

    pub fn parse(raw: &str) -> Result<Self, InvalidReference> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:#/-".contains(c);
        let well_formed = raw.starts_with(|c: char| c.is_ascii_alphanumeric())
            && raw.len() <= Self::CHARS_MAX
            && raw.chars().all(allowed);
        if well_formed {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidReference)
        }
    }
}

string_value!(CaseReference, InvalidReference);

/// What the outside calls something, as text: Shopify's order ids do not fit a JavaScript number.
///
/// 1 to 200 visible characters. Not trimmed, since trimming would make two identities one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    pub const CHARS_MAX: usize = 200;

    pub fn parse(raw: &str) -> Result<Self, TextError> {
        if raw.contains(char::is_whitespace) {
            return Err(TextError::Space);
        }
        if raw.chars().any(|c| is_invisible(c) || is_control(c)) {
            return Err(TextError::ControlCharacter);
        }
        parse_line(raw, Self::CHARS_MAX).map(|text| Self(text.to_owned()))
    }

    /// The same for what somebody thinks up: it is stored as it is, so it must not be what a person is known by.
    pub fn reported(raw: &str) -> Result<Self, TextError> {
        if holds_address(raw) {
            return Err(TextError::Address);
        }
        Self::parse(raw)
    }
}

string_value!(ExternalId, TextError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_counted_in_characters() {
        assert_eq!(SiteName::parse("  Läden \t").unwrap().as_str(), "Läden");
        assert!(SiteName::parse(&"ä".repeat(100)).is_ok());
        assert_eq!(
            SiteName::parse(&"ä".repeat(101)),
            Err(TextError::TooLong { max: 100 })
        );
    }

    #[test]
    fn a_name_without_anything_visible_is_empty() {
        for blank in ["", "   ", "\u{200B}", " \u{FEFF}\u{2060} "] {
            assert_eq!(SiteName::parse(blank), Err(TextError::Empty), "{blank:?}");
        }
    }

    #[test]
    fn a_name_can_neither_break_the_line_nor_turn_text_around() {
        for bad in ["a\nb", "a\0b", "a\u{2028}b", "a\u{202E}b", "a\u{2066}b"] {
            assert_eq!(
                SiteName::parse(bad),
                Err(TextError::ControlCharacter),
                "{bad:?}"
            );
        }
        assert!(SiteName::parse("👩\u{200D}🚀 shop").is_ok(), "joined emoji");
    }

    #[test]
    fn a_stored_text_goes_through_the_same_check() {
        assert!(serde_json::from_str::<SiteName>(r#""a\u0000b""#).is_err());
        let name: SiteName = serde_json::from_str(r#"" Shop ""#).unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""Shop""#);
    }

    #[test]
    fn a_long_title_from_a_shop_is_clipped_rather_than_refused() {
        let title = ProductTitle::clipped(&"x".repeat(300)).unwrap();
        assert_eq!(title.as_str().chars().count(), 200);
        assert!(title.as_str().ends_with('…'));
        assert_eq!(ProductTitle::parse(title.as_str()), Ok(title));
        assert_eq!(ProductTitle::clipped("a\nb ").unwrap().as_str(), "a b");
        assert_eq!(ProductTitle::clipped(" \n"), None);
    }

    #[test]
    fn an_external_id_is_kept_as_it_is_or_refused() {
        let id = "gid://shopify/Order/9007199254740993";
        assert_eq!(ExternalId::parse(id).unwrap().as_str(), id);
        assert_eq!(ExternalId::parse(""), Err(TextError::Empty));
        assert_eq!(ExternalId::parse(" 1"), Err(TextError::Space));
        assert_eq!(
            ExternalId::parse("1\u{200B}"),
            Err(TextError::ControlCharacter)
        );
        assert_eq!(
            ExternalId::parse(&"1".repeat(201)),
            Err(TextError::TooLong { max: 200 })
        );
    }

    #[test]
    fn an_address_is_no_external_id_unless_it_was_stored_as_one() {
        let address = "anna@example.com";
        for known_by in [address, "anna%40example.com", "anna＠example.com"] {
            assert_eq!(ExternalId::reported(known_by), Err(TextError::Address));
        }
        assert!(ExternalId::reported("order-1").is_ok());
        assert!(ExternalId::parse(address).is_ok());
    }

    #[test]
    fn a_wording_keeps_its_lines_and_nothing_else_that_is_invisible() {
        let text = ConsentText::parse(" I agree.\r\n\nI may withdraw at any time.\n").unwrap();
        assert_eq!(text.as_str(), "I agree.\n\nI may withdraw at any time.");
        for bad in ["a\rb", "a\0b", "a\u{202E}b"] {
            assert_eq!(ConsentText::parse(bad), Err(TextError::ControlCharacter));
        }
        assert_eq!(ConsentText::parse(" \n "), Err(TextError::Empty));
        assert_eq!(
            ConsentText::parse(&"a".repeat(10_001)),
            Err(TextError::TooLong { max: 10_000 })
        );
    }

    #[test]
    fn a_case_has_no_room_for_prose() {
        for good in ["1", "court/4711", "GDPR-2026:7", "a.b_c#1"] {
            assert_eq!(CaseReference::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "-1", "Anna Schmidt", "a@b", "ä", &"1".repeat(101)] {
            assert_eq!(CaseReference::parse(bad), Err(InvalidReference), "{bad}");
        }
    }
}
