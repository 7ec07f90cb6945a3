//! The text of a notification, with places for what happened.

use crate::error::{DomainError, ErrorKind};
use crate::text::{TextError, parse_line, string_value};

/// A line of 1 to 280 characters with the placeholders `{first_name}`, `{city}` and `{product}`, each any number of
/// times. A brace stands for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageTemplate(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("{{{name}}} is not known; use {{first_name}}, {{city}} or {{product}}.")]
    UnknownPlaceholder { name: String },
    #[error("Each {{ needs its }} and the name of a placeholder between them.")]
    UnbalancedBrace,
}

impl DomainError for MessageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Text(error) => error.code(),
            Self::UnknownPlaceholder { .. } => "unknown_placeholder",
            Self::UnbalancedBrace => "unbalanced_brace",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

enum Piece<'a> {
    Text(&'a str),
    FirstName,
    City,
    Product,
}

impl MessageTemplate {
    pub const CHARS_MAX: usize = 280;

    /// Trims and checks.
    pub fn parse(raw: &str) -> Result<Self, MessageError> {
        let text = parse_line(raw, Self::CHARS_MAX)?;
        pieces(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The message as a visitor reads it: plain text, to be escaped by whoever puts it into a page.
    ///
    /// What is not known is not invented. A missing name is "Someone". A missing city drops the phrase it ends,
    /// where that is " from {city}" or " in {city}", and is "somewhere" elsewhere. A blank product is "something".
    /// These words are capitalised where they begin a sentence. Braces inside a value are left as they are.
    pub fn render(&self, first_name: Option<&str>, city: Option<&str>, product: &str) -> String {
        let first_name = first_name.and_then(not_blank);
        let city = city.and_then(not_blank);
        let pieces = pieces(&self.0).expect("a template only comes out of parse, which checked it");

        let mut message = String::new();
        let mut pieces = pieces.into_iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(text) => match (pieces.peek(), city, without_preposition(text)) {
                    (Some(Piece::City), None, Some(before)) => {
                        message.push_str(before);
                        pieces.next(); // the city that goes with its preposition
                    }
                    (_, _, _) => message.push_str(text),
                },
                Piece::FirstName => push_or(&mut message, first_name, "someone"),
                Piece::City => push_or(&mut message, city, "somewhere"),
                Piece::Product => push_or(&mut message, not_blank(product), "something"),
            }
        }
        message
    }
}

string_value!(MessageTemplate, MessageError);

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, MessageError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, from_brace)) = rest.find(['{', '}']).map(|at| rest.split_at(at)) {
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let inside = from_brace
            .strip_prefix('{')
            .ok_or(MessageError::UnbalancedBrace)?;
        let (name, after) = inside
            .split_once('}')
            .filter(|(name, _)| !name.contains('{'))
            .ok_or(MessageError::UnbalancedBrace)?;
        pieces.push(match name {
            "first_name" => Piece::FirstName,
            "city" => Piece::City,
            "product" => Piece::Product,
            _ => {
                let name = name.to_owned();
                return Err(MessageError::UnknownPlaceholder { name });
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn without_preposition(text: &str) -> Option<&str> {
    text.strip_suffix(" from ")
        .or_else(|| text.strip_suffix(" in "))
}

fn not_blank(value: &str) -> Option<&str> {
    Some(value.trim()).filter(|value| !value.is_empty())
}

fn push_or(message: &mut String, value: Option<&str>, stand_in: &str) {
    match value {
        Some(value) => message.push_str(value),
        None if begins_sentence(message) => {
            let (first, rest) = stand_in.split_at(1);
            message.push_str(&first.to_ascii_uppercase());
            message.push_str(rest);
        }
        None => message.push_str(stand_in),
    }
}

/// Whether nothing readable, or the end of a sentence, stands before.
fn begins_sentence(message: &str) -> bool {
    message
        .chars()
        .rev()
        .find(|c| c.is_alphanumeric() || matches!(c, '.' | '!' | '?' | ':' | ','))
        .is_none_or(|c| matches!(c, '.' | '!' | '?' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> MessageTemplate {
        MessageTemplate::parse(text).unwrap()
    }

    #[test]
    fn everything_known_is_filled_in() {
        let message = template("{first_name} from {city} bought {product}");
        assert_eq!(
            message.render(Some("Anna"), Some("Berlin"), "the Trail Runner"),
            "Anna from Berlin bought the Trail Runner"
        );
    }

    #[test]
    fn a_missing_name_is_someone() {
        for (text, shown) in [
            ("{first_name} bought {product}", "Someone bought Shoes"),
            (
                "🔥 {first_name} bought {product}",
                "🔥 Someone bought Shoes",
            ),
            ("Sold! {first_name} took it", "Sold! Someone took it"),
            ("{product}: by {first_name}", "Shoes: by someone"),
            (
                "Just now, {first_name} bought it",
                "Just now, someone bought it",
            ),
        ] {
            assert_eq!(template(text).render(None, None, "Shoes"), shown);
            assert_eq!(template(text).render(Some(" "), None, "Shoes"), shown);
        }
    }

    #[test]
    fn a_missing_city_goes_with_its_preposition_or_is_somewhere() {
        for (text, shown) in [
            ("{first_name} from {city} bought it", "Anna bought it"),
            ("{first_name} in {city} bought it", "Anna bought it"),
            ("Sold to {first_name} from {city}!", "Sold to Anna!"),
            (
                "{city}: {first_name} bought it",
                "Somewhere: Anna bought it",
            ),
            (
                "{first_name} ({city}) bought it",
                "Anna (somewhere) bought it",
            ),
            ("From {city}: {first_name}", "From somewhere: Anna"),
        ] {
            assert_eq!(template(text).render(Some("Anna"), None, "Shoes"), shown);
        }
    }

    #[test]
    fn a_value_is_never_taken_for_a_template() {
        let message = template("{first_name} {city} bought {product}");
        assert_eq!(
            message.render(Some("{city}"), Some("{product}"), "{x"),
            "{city} {product} bought {x"
        );
        assert_eq!(
            message.render(Some("Bob from"), None, " "),
            "Bob from somewhere bought something"
        );
    }

    #[test]
    fn a_template_without_placeholders_is_a_message() {
        assert_eq!(
            template(" Free returns ").render(None, None, ""),
            "Free returns"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        for name in ["last_name", "", " city", "City"] {
            let error = MessageTemplate::parse(&format!("Hi {{{name}}}")).unwrap_err();
            assert_eq!(
                error,
                MessageError::UnknownPlaceholder {
                    name: name.to_owned()
                }
            );
        }
        let error = MessageTemplate::parse("{x}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "{x} is not known; use {first_name}, {city} or {product}."
        );
    }

    #[test]
    fn unbalanced_braces_are_refused() {
        for bad in [
            "{",
            "}",
            "{city",
            "city}",
            "{{city}}",
            "{city}}",
            "{ci{city}ty}",
        ] {
            assert_eq!(
                MessageTemplate::parse(bad),
                Err(MessageError::UnbalancedBrace),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_template_is_one_line_of_bounded_length() {
        assert_eq!(
            MessageTemplate::parse(""),
            Err(MessageError::Text(TextError::Empty))
        );
        assert_eq!(
            MessageTemplate::parse(&"x".repeat(281)).unwrap_err().code(),
            "too_long"
        );
        assert_eq!(
            MessageTemplate::parse("a\nb").unwrap_err().code(),
            "control_character"
        );
    }
}
