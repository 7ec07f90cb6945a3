//! Errors as ClickHouse tells them: a number, a text, and an HTTP status that follows from the number.

use axum::http::StatusCode;

/// A failed statement or a request that can't become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: u32,
    /// Without the leading `Code: N. DB::Exception: `.
    message: String,
}

/// ClickHouse's numbers for what this server itself refuses.
pub(crate) mod code {
    pub(crate) const CANNOT_READ_ALL_DATA: u32 = 33;
    pub(crate) const BAD_ARGUMENTS: u32 = 36;
    pub(crate) const CHECKSUM_DOESNT_MATCH: u32 = 40;
    pub(crate) const NOT_IMPLEMENTED: u32 = 48;
    pub(crate) const LOGICAL_ERROR: u32 = 49;
    pub(crate) const SYNTAX_ERROR: u32 = 62;
    pub(crate) const UNKNOWN_COMPRESSION_METHOD: u32 = 89;
    pub(crate) const UNKNOWN_SETTING: u32 = 115;
    pub(crate) const CANNOT_DECOMPRESS: u32 = 271;
    pub(crate) const QUERY_IS_TOO_LARGE: u32 = 307;
    pub(crate) const SUPPORT_IS_DISABLED: u32 = 344;
    pub(crate) const NETWORK_ERROR: u32 = 210;
    pub(crate) const AUTHENTICATION_FAILED: u32 = 516;
    pub(crate) const CANNOT_WRITE_TO_FILE: u32 = 75;
}

impl Exception {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(code::LOGICAL_ERROR, message)
    }

    /// Reads `Code: 60. DB::Exception: Unknown table …`, which the engine may have put behind `Error: `.
    pub(crate) fn from_engine(text: &str) -> Self {
        let parsed = text.find("Code: ").and_then(|at| {
            let rest = &text[at + "Code: ".len()..];
            let (number, rest) = rest.split_once('.')?;
            let message = rest.trim_start();
            let message = message.strip_prefix("DB::Exception: ").unwrap_or(message);
            Some(Self::new(number.parse().ok()?, message.trim_end()))
        });
        parsed.unwrap_or_else(|| Self::internal(text.trim()))
    }

    /// The text that a client gets, as ClickHouse's server writes it.
    pub(crate) fn text(&self, version: &str) -> String {
        format!(
            "Code: {}. DB::Exception: {} (version {version} (libchdb))\n",
            self.code, self.message
        )
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// True where the engine refused to stream a statement; it says so before it runs any of it.
    pub(crate) fn is_not_streamable(&self) -> bool {
        self.code == code::BAD_ARGUMENTS
            && self.message.starts_with("Streaming query is not supported")
    }

    /// The status that ClickHouse's HTTP handler answers with.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            // What the client wrote can't be read: parsing, types, arguments, settings, compression.
            6 | 26 | 27 | 32 | 33 | 36 | 38 | 40 | 41 | 43 | 53 | 62 | 63 | 72 | 89 | 115 | 117
            | 130 | 131 | 271 | 307 | 344 | 441 | 452 | 456 | 457 | 467 | 472 => {
                StatusCode::BAD_REQUEST
            }
            // What the client names does not exist.
            46 | 47 | 50 | 56 | 60 | 73 | 81 | 82 => StatusCode::NOT_FOUND,
            192..=195 | 516 => StatusCode::FORBIDDEN,
            48 => StatusCode::NOT_IMPLEMENTED,
            209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
