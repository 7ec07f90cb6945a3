//! Turns serde's error text into what a client can use: code, field, pointer, short detail.
//!
//! serde has no structured errors; the prefixes read here are those of `serde::de::Error`'s provided
//! methods, unchanged since serde 1.0, and the tests would notice.

use serde_path_to_error::{Path, Segment};

/// The client's own text is echoed, but only so much of it.
const DETAIL_CHARS_MAX: usize = 200;

pub(super) struct Fault {
    pub(super) code: &'static str,
    /// The field that serde names in its text, where it does.
    pub(super) field: Option<String>,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn read(text: &str) -> Self {
        let detail = without_location(text);
        let (code, names_field) = PREFIXES
            .iter()
            .find(|(prefix, ..)| detail.starts_with(prefix))
            .map_or(("invalid_value", false), |(_, code, field)| (code, *field));
        let field = names_field.then(|| backticked(detail)).flatten();
        Self {
            code,
            field: field.map(shortened),
            detail: shortened(&in_json_terms(detail)),
        }
    }
}

const PREFIXES: [(&str, &str, bool); 7] = [
    ("unknown field", "unknown_field", true),
    ("missing field", "missing_field", true),
    ("duplicate field", "duplicate_field", true),
    ("unknown variant", "unknown_variant", false),
    ("invalid type", "invalid_type", false),
    ("invalid length", "invalid_length", false),
    ("invalid value", "invalid_value", false),
];

/// The JSON pointer of an error.
pub(super) fn pointer(path: &Path, fault: &Fault) -> String {
    let mut names: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(shortened(key)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    if let Some(field) = &fault.field {
        // The path stops at the object, but for an unknown field, which was read before it was refused.
        let in_path = fault.code == "unknown_field" && names.last() == Some(field);
        if !in_path {
            names.push(field.clone());
        }
    }
    names
        .iter()
        .map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        .collect()
}

fn without_location(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |at| &text[..at])
}

fn backticked(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('`')?;
    // A name may hold a backtick itself; what serde appends never starts with one.
    let end = rest.find("`, ").or_else(|| rest.rfind('`'))?;
    Some(&rest[..end])
}

/// "struct CreateThing" is our word for it; the client sent an object.
fn in_json_terms(detail: &str) -> String {
    let Some((before, name)) = detail.split_once("expected struct ") else {
        return detail.to_owned();
    };
    let rest = name.split_once(' ').map_or("", |(_, rest)| rest);
    format!("{before}expected an object {rest}")
        .trim_end()
        .to_owned()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
