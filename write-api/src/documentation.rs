//! What the OpenAPI document says of every operation alike: problems, and the headers of requests and answers.

use domain::CaseReference;
use platform::openapi::{SECURITY_SCHEME, add_header};
use platform::problem_responses;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Type};
use utoipa::{IntoParams, OpenApi};

use crate::command_request::REASON;

#[derive(OpenApi)]
#[openapi(tags(
    (name = "Sites", description = "A merchant's shop, on whose pages notifications are shown."),
    (name = "Notifications", description = "What is shown, from draft to archive."),
    (name = "Integrations", description = "Shops that report by webhook what happens in them."),
    (name = "Activities", description = "What really happened in a shop."),
    (name = "People", description = "What people agreed to, and what they ask for: access, erasure."),
    (name = "Webhooks", description = "Where shops deliver to. Authenticated by signature."),
    (name = "Telemetry", description = "What visitors saw and did. Believed by token."),
))]
pub(crate) struct Document;

/// What makes a command safe to send again.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents a header that `IdempotencyKey` reads")]
pub(crate) struct IdempotencyHeader {
    /// Up to 255 visible ASCII characters, best a UUID; bare or quoted. A command that is sent again under its key is
    /// done once and answered with the first result and `Idempotent-Replayed: true`. Keys belong to the account.
    #[param(rename = "Idempotency-Key", required = false, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What makes a command conditional.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents a header that `IfMatch` reads")]
pub(crate) struct IfMatchHeader {
    /// The `ETag` of the version that the caller saw; another current version is a 412.
    #[param(rename = "If-Match", required = false, example = "\"v1\"")]
    if_match: Option<String>,
}

problem_responses! {
    /// Of a command that makes what belongs to the account.
    CreateProblems: MalformedJson UnreadableBody IdempotencyKeyInvalid InvalidParameter Unauthenticated Forbidden Conflict BodyTooLarge
        UnsupportedMediaType InvalidBody IdempotencyKeyReused Internal Unavailable RequestTimeout;
    /// Of a command that makes what belongs to a site.
    CreateInSiteProblems: MalformedJson UnreadableBody IdempotencyKeyInvalid InvalidParameter Unauthenticated Forbidden NotFound
        Conflict BodyTooLarge UnsupportedMediaType InvalidBody IdempotencyKeyReused Internal Unavailable
        RequestTimeout;
    /// Of a command that changes what is there.
    ChangeProblems: MalformedJson UnreadableBody IdempotencyKeyInvalid InvalidParameter Unauthenticated Forbidden
        NotFound Conflict PreconditionFailed BodyTooLarge UnsupportedMediaType InvalidBody IdempotencyKeyReused
        Internal Unavailable RequestTimeout;
    HookProblems: MalformedJson UnreadableBody InvalidParameter InvalidSignature NotFound BodyTooLarge
        UnsupportedMediaType InvalidBody IdempotencyKeyReused RateLimited Internal Unavailable RequestTimeout;
    CollectProblems: MalformedJson UnreadableBody BodyTooLarge UnsupportedMediaType InvalidBody InvalidToken
        TokenExpired RateLimited Internal Unavailable RequestTimeout;
}

/// Every command takes a reason, and answers with the same headers.
pub(crate) fn add_headers_of_commands(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.post, &mut item.patch];
        operations
            .into_iter()
            .flatten()
            .filter(|operation| is_command(operation))
            .for_each(|operation| {
                add_reason(operation);
                add_headers(operation);
            });
    }
}

fn is_command(operation: &Operation) -> bool {
    let required = serde_json::to_string(&operation.security).unwrap_or_default();
    required.contains(SECURITY_SCHEME)
}

fn add_reason(operation: &mut Operation) {
    let text = "Why, as a reference into your own files, such as `ticket:4711`: kept for ever with what the command does, and \
        shown in the audit. Never a name or an address.";
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(CaseReference::CHARS_MAX))
        .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._:#/-]*$"));
    let reason = ParameterBuilder::new()
        .name(REASON)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(schema));
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(reason.build().into());
}

fn add_headers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if !status.starts_with('2') {
            continue;
        }
        let mut add = |name: &str, description| {
            add_header(response, name, Type::String, description);
        };
        add("ETag", "The version, as `\"v1\"`: for `If-Match`.");
        add("Proofline-Position", "The body's `position`.");
        add(
            "Idempotent-Replayed",
            "`true` where the answer is that of an earlier request under the same `Idempotency-Key`.",
        );
        if status == "201" {
            add("Location", "The path of what was made.");
        }
    }
}

#[cfg(test)]
mod tests;
