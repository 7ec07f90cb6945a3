//! Events and aggregates in plain words, for whoever looks back: [`Event::sentence`](crate::Event::sentence) and
//! [`State::facts`](crate::State::facts). Each aggregate's words stand beside it.
//!
//! **Rule:** nobody is named and no secret is told, whether the envelope is open or not: a person is "a buyer".

/// Something that is so about an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// For instance `domain`. An aggregate has each name once.
    pub name: String,
    pub value: String,
}

impl Fact {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Between quotation marks, so that a text can't be taken for the words around it.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// `1 item`, `2 items`.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_does_not_end_within_a_text() {
        assert_eq!(quoted(r#"A" was "B"#), r#""A\" was \"B""#);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [0, 1, 2].map(|number| counted(number, "hour")),
            ["0 hours", "1 hour", "2 hours"]
        );
    }
}
