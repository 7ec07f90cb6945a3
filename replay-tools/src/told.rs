//! Errors about events, as they may be shown.

/// The error with its sources, without what serde quotes of the payload: that may be personal.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told.push_str(": ");
        told.push_str(&without_quotation(&cause.to_string()));
        source = cause.source();
    }
    told
}

/// Serde quotes a text that it found between double quotes, and a number or the name of a variant between backticks, as it
/// does the names that it expected. The name of a missing field is ours.
fn without_quotation(text: &str) -> String {
    let text = without(text, '"');
    if text.starts_with("missing field") {
        return text;
    }
    let (found, expected) = text.split_at(text.rfind(", expected").unwrap_or(text.len()));
    without(found, '`') + expected
}

/// Cuts out what stands between the first and the last of the marks.
fn without(text: &str, mark: char) -> String {
    match (text.find(mark), text.rfind(mark)) {
        (Some(first), Some(last)) if first < last => {
            format!("{}…{}", &text[..=first], &text[last..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_not_quoted_and_what_was_expected_is() {
        for (said, shown) in [
            (
                r#"invalid type: string "Anna "A" Ä", expected u8"#,
                r#"invalid type: string "…", expected u8"#,
            ),
            (
                "unknown variant `Anna, expected`, expected one of `read`, `write`",
                "unknown variant `…`, expected one of `read`, `write`",
            ),
            (
                "invalid type: integer `5550100`, expected a string",
                "invalid type: integer `…`, expected a string",
            ),
            ("unknown field `anna@example.com`", "unknown field `…`"),
            ("missing field `name`", "missing field `name`"),
            ("This must not be empty.", "This must not be empty."),
        ] {
            assert_eq!(without_quotation(said), shown);
        }
    }
}
