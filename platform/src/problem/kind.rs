//! The closed set of problem types. Each one has a section in `docs/problems.md`.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $slug:literal, $status:ident, $title:literal;)*) => {
        /// What can go wrong, as a client sees it. Slugs and statuses are contracts: never rename, never renumber.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The last segment of `type`: `/problems/<slug>`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)* }
            }

            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// The same words for every occurrence, as RFC 9457 asks.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    MalformedJson => "malformed-json", BAD_REQUEST, "The body is not valid JSON";
    /// The body is JSON, but not what the route takes; `errors` says where.
    InvalidBody => "invalid-body", UNPROCESSABLE_ENTITY, "The body has invalid values";
    /// The body broke off, or its content encoding is broken.
    UnreadableBody => "unreadable-body", BAD_REQUEST, "The body could not be read";
    /// A query parameter or header is not what the route takes; `errors` says which.
    InvalidParameter => "invalid-parameter", BAD_REQUEST, "A parameter is invalid";
    BodyTooLarge => "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType => "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The content type or encoding is not supported";
    Unauthenticated => "unauthenticated", UNAUTHORIZED, "Authentication is missing or not valid";
    Forbidden => "forbidden", FORBIDDEN, "The credentials do not permit this";
    NotFound => "not-found", NOT_FOUND, "Not found";
    MethodNotAllowed => "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The state of the resource does not allow it; `code` names the rule.
    Conflict => "conflict", CONFLICT, "The state of the resource does not allow this";
    /// What is asked for is another's; whose is not said. `code` names the rule.
    Taken => "taken", CONFLICT, "What is asked for belongs to another";
    IdempotencyKeyReused => "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    IdempotencyKeyInvalid => "idempotency-key-invalid", BAD_REQUEST, "The idempotency key is invalid";
    PreconditionFailed => "precondition-failed", PRECONDITION_FAILED, "The resource has another version";
    InvalidCursor => "invalid-cursor", BAD_REQUEST, "The cursor is invalid";
    InvalidPosition => "invalid-position", BAD_REQUEST, "The position is invalid";
    PositionNotReached => "position-not-reached", SERVICE_UNAVAILABLE, "The position has not been reached yet";
    Unavailable => "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable";
    RateLimited => "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    InvalidSignature => "invalid-signature", UNAUTHORIZED, "The signature does not match";
    InvalidToken => "invalid-token", UNPROCESSABLE_ENTITY, "The token is not one of ours";
    TokenExpired => "token-expired", UNPROCESSABLE_ENTITY, "The token has expired";
    RequestTimeout => "request-timeout", SERVICE_UNAVAILABLE, "The request took too long";
    Internal => "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
}

impl ProblemKind {
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// Seconds to wait where the problem itself does not say.
    pub(super) const fn default_retry_after_s(self) -> Option<u32> {
        match self {
            Self::PositionNotReached
            | Self::Unavailable
            | Self::RateLimited
            | Self::RequestTimeout => Some(1),
            Self::MalformedJson
            | Self::InvalidBody
            | Self::UnreadableBody
            | Self::InvalidParameter
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::Conflict
            | Self::Taken
            | Self::IdempotencyKeyReused
            | Self::IdempotencyKeyInvalid
            | Self::PreconditionFailed
            | Self::InvalidCursor
            | Self::InvalidPosition
            | Self::InvalidSignature
            | Self::InvalidToken
            | Self::TokenExpired
            | Self::Internal => None,
        }
    }

    /// What RFC 9110 wants with every 401.
    pub(super) const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated => Some("Bearer"),
            Self::InvalidSignature => Some("HMAC-SHA256"),
            _ => None,
        }
    }
}
