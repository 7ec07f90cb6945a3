//! The JSON of a problem.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `application/problem+json` (RFC 9457). The types are described at their own URI, `/problems/{slug}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// URI reference of the problem type; resolves to its description.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-body")]
    pub type_: String,
    /// The same words for every occurrence of this type.
    pub title: String,
    /// The HTTP status, repeated.
    #[schema(example = 422)]
    pub status: u16,
    /// What is special about this occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Also in the `X-Request-Id` header; quote it when asking for help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The rule that was broken, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Every wrong field or parameter, all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong field (`pointer`) or one wrong parameter or header (`parameter`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    pub detail: String,
    /// JSON pointer into the request body, as a URI fragment (RFC 6901, section 6); `#` is the whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "#/name")]
    pub pointer: Option<String>,
    /// Name of the query parameter or header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The rule that was broken, for programs.
    #[schema(example = "too_long")]
    pub code: String,
}

impl FieldError {
    /// An error at a JSON pointer into the body, such as `/items/0/name`; empty for the body as a whole.
    #[must_use]
    pub fn pointer(
        pointer: impl AsRef<str>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            detail: detail.into(),
            pointer: Some(fragment(pointer.as_ref())),
            parameter: None,
            code: code.into(),
        }
    }

    /// An error in a query parameter or header.
    #[must_use]
    pub fn parameter(
        parameter: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            detail: detail.into(),
            pointer: None,
            parameter: Some(parameter.into()),
            code: code.into(),
        }
    }
}

/// `#` and the pointer, with everything escaped that a URI fragment can't hold (RFC 3986, section 3.5).
fn fragment(pointer: &str) -> String {
    let mut fragment = String::with_capacity(pointer.len() + 1);
    fragment.push('#');
    for byte in pointer.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        if plain {
            fragment.push(char::from(byte));
        } else {
            fragment.extend(format!("%{byte:02X}").chars());
        }
    }
    fragment
}

#[cfg(test)]
mod tests {
    use super::FieldError;

    #[test]
    fn a_pointer_is_a_uri_fragment() {
        for (pointer, fragment) in [
            ("", "#"),
            ("/items/0/name", "#/items/0/name"),
            ("/a~1b/c~0d", "#/a~1b/c~0d"),
            ("/two words/%/caf\u{e9}", "#/two%20words/%25/caf%C3%A9"),
        ] {
            let error = FieldError::pointer(pointer, "code", "detail");
            assert_eq!(error.pointer.as_deref(), Some(fragment));
        }
    }
}
