//! What the OpenAPI document says of every operation alike: problems, and the headers of requests and answers.

use platform::openapi::add_header;
use platform::problem_responses;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Type};
use utoipa::{IntoParams, OpenApi};

use crate::min_position::{self, MinPosition};
use crate::stream::{self, LastEventId};

#[derive(OpenApi)]
#[openapi(tags(
    (name = "Analytics", description = "What visitors saw and did, over time and right now."),
    (name = "Audit", description = "Who did what, when and why, and who opened personal data. For keys with the scope `compliance`."),
    (name = "Embed", description = "What a shop's pages show. Public: a site is named by its embed key."),
    (name = "Events", description = "What happens in an account, as it happens."),
))]
pub(crate) struct Document;

/// What makes a read conditional.
pub(crate) struct IfNoneMatchHeader;

impl IntoParams for IfNoneMatchHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "The `ETag` of the answer that the caller has; where it still holds, the answer is a 304.";
        vec![parameter("If-None-Match", ParameterIn::Header, text)]
    }
}

impl IntoParams for MinPosition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "The `position` of a command's answer. The read waits until it sees the command, or is a 503.";
        let same = "The same as `Proofline-Min-Position`, where no header can be set.";
        vec![
            parameter(min_position::HEADER, ParameterIn::Header, text),
            parameter(min_position::PARAMETER, ParameterIn::Query, same),
        ]
    }
}

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "The `id` of the last event seen, which the stream goes on after. Browsers send it by themselves.";
        let same = "The same as `Last-Event-ID`, for a first connection. The header counts where both are there.";
        vec![
            parameter(stream::HEADER, ParameterIn::Header, text),
            parameter(stream::PARAMETER, ParameterIn::Query, same),
        ]
    }
}

fn parameter(name: &str, place: ParameterIn, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

problem_responses! {
    /// Of a list that belongs to the account.
    ListProblems: InvalidParameter InvalidCursor InvalidPosition Unauthenticated Forbidden Internal PositionNotReached
        Unavailable RequestTimeout;
    /// Of a list that belongs to a site.
    ListInSiteProblems: InvalidParameter InvalidCursor InvalidPosition Unauthenticated Forbidden NotFound Internal
        PositionNotReached Unavailable RequestTimeout;
    /// Of what is asked for in a body.
    AskProblems: MalformedJson InvalidBody UnreadableBody BodyTooLarge UnsupportedMediaType InvalidPosition Unauthenticated
        Forbidden Internal PositionNotReached Unavailable RequestTimeout;
    /// Of what is there once.
    ReadProblems: InvalidParameter InvalidPosition Unauthenticated Forbidden NotFound Internal PositionNotReached
        Unavailable RequestTimeout;
    FeedProblems: InvalidParameter InvalidPosition NotFound RateLimited Internal PositionNotReached Unavailable
        RequestTimeout;
    StreamProblems: InvalidParameter InvalidPosition Unauthenticated Forbidden RateLimited Internal Unavailable
        RequestTimeout;
}

/// Every read says where it stands and, where it can be asked for again, what it is known by.
pub(crate) fn add_answer_headers(document: &mut utoipa::openapi::OpenApi) {
    let items = document.paths.paths.values_mut();
    items
        .filter_map(|item| item.get.as_mut().or(item.post.as_mut()))
        .for_each(add_headers);
}

fn add_headers(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let is_cached = responses.contains_key("304");
    for (status, response) in responses {
        let (RefOr::T(response), "200" | "304") = (response, status.as_str()) else {
            continue;
        };
        let mut add = |name: &str, description| {
            add_header(response, name, Type::String, description);
        };
        add(
            "Proofline-Position",
            "Up to where in the log this read is complete.",
        );
        add(
            "Cache-Control",
            "Who may keep the answer, and for how long.",
        );
        if is_cached {
            add(
                "ETag",
                "Changes with the answer: for `If-None-Match`; that of a single resource also for `If-Match`.",
            );
        }
    }
}
