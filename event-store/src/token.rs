//! Position tokens: what a command answers with and a read may wait for.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Which of the two logs. Stored; never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogName {
    Events,
    Telemetry,
}

impl LogName {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Telemetry => "telemetry",
        }
    }

    fn tag(self) -> u8 {
        match self {
            Self::Events => b'e',
            Self::Telemetry => b't',
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            b'e' => Some(Self::Events),
            b't' => Some(Self::Telemetry),
            _ => None,
        }
    }
}

/// A position in one incarnation of one log. Opaque outside: base64url of the log's tag, the incarnation and the
/// position, 25 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub log: LogName,
    pub incarnation: Uuid,
    pub position: i64,
}

/// The text is not a token that this store has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position token")]
pub struct TokenError;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; 25];
        bytes[0] = self.log.tag();
        bytes[1..17].copy_from_slice(self.incarnation.as_bytes());
        bytes[17..].copy_from_slice(&self.position.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes: [u8; 25] = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(TokenError)?;
        let (tag, rest) = bytes.split_first().ok_or(TokenError)?;
        let (incarnation, position) = rest.split_at(16);
        let token = Self {
            log: LogName::from_tag(*tag).ok_or(TokenError)?,
            incarnation: Uuid::from_slice(incarnation).map_err(|_| TokenError)?,
            position: i64::from_be_bytes(position.try_into().map_err(|_| TokenError)?),
        };
        if token.position < 0 {
            Err(TokenError)
        } else {
            Ok(token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        for log in [LogName::Events, LogName::Telemetry] {
            let token = Token {
                log,
                incarnation: Uuid::from_u128(7),
                position: i64::MAX,
            };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let negative = Token {
            log: LogName::Events,
            incarnation: Uuid::nil(),
            position: -1,
        };
        for text in [
            "",
            "42",
            "e",
            "ZQ",
            "!!!!",
            &"A".repeat(34),
            &negative.to_string(),
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
    }
}
