//! `Idempotency-Key` (IETF draft): bare or as an RFC 8941 quoted string.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

use crate::problem::{Problem, ProblemKind};

const KEY_CHARS_MAX: usize = 255;

/// The key under which a command may be sent again, or `None` where the client sent no header.
///
/// `abc` and `"abc"` are the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IdempotencyKey {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(invalid("repeated", "send the header once"));
        }
        let value = value.to_str().map_err(|_| not_visible_ascii())?.trim();
        let key = match value.strip_prefix('"') {
            Some(rest) => unquoted(rest)
                .ok_or_else(|| invalid("malformed", "the quoted string is not closed"))?,
            None => value.to_owned(),
        };
        if key.is_empty() {
            return Err(invalid("empty", "the key is empty"));
        }
        if key.len() > KEY_CHARS_MAX {
            return Err(invalid("too_long", "the key is longer than 255 characters"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(not_visible_ascii());
        }
        Ok(Self(Some(key)))
    }
}

/// The rest of an RFC 8941 string after its opening quote; only `\"` and `\\` are escapes.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(key),
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

fn not_visible_ascii() -> Problem {
    invalid("invalid_character", "use visible ASCII characters only")
}

fn invalid(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(ProblemKind::IdempotencyKeyInvalid)
        .code(code)
        .detail(detail)
}
