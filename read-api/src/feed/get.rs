use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use domain::EmbedKey;
use platform::clock;
use platform::json::ApiPath;
use platform::problem::{Problem, ProblemKind};
use platform::rate_limit::ClientAddr;
use platform::request::IfNoneMatch;
use projections::proof_feed::MODELS;

use super::served::ServedFeed;
use crate::answer::Answer;
use crate::documentation::{FeedProblems, IfNoneMatchHeader};
use crate::failure::Failure;
use crate::min_position::MinPosition;
use crate::state::ReadState;

/// Read what a shop's pages show: the published notifications, filled in with what happened last. Of people, first names
/// and cities only.
#[utoipa::path(
    get,
    path = "/embed/v1/{embed_key}/feed",
    tag = "Embed",
    params(
        ("embed_key" = String, Path, example = "pk_0123456789abcdef0123456789abcdef"),
        MinPosition,
        IfNoneMatchHeader
    ),
    responses(
        (
            status = OK,
            description = "The feed; empty where nothing is published, or nothing happened.",
            body = ServedFeed,
            headers(
                ("RateLimit-Policy" = String, description = "How much a network, and a site, may ask."),
                ("RateLimit" = String, description = "How much of it is left."),
                ("Access-Control-Allow-Origin" = String, description = "`*`: any page may read it.")
            )
        ),
        (status = NOT_MODIFIED, description = "Still the feed of `If-None-Match`."),
        FeedProblems
    )
)]
pub(crate) async fn get_feed(
    State(app): State<ReadState>,
    client: ClientAddr,
    ApiPath(embed_key): ApiPath<EmbedKey>,
    min: MinPosition,
    if_none_match: IfNoneMatch,
) -> Result<Response, Failure> {
    let network = app.limits.feed_network.check(client.network())?;
    let site = app.limits.feed_site.check(&embed_key)?;
    min.reached(&app, MODELS).await?;
    let (now, max_age_s) = (clock::now(), app.config.feed_max_age_s);
    let read = app.reads.feed(&embed_key, now).await?;
    let read = read.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    let feed = ServedFeed::of(read.value, &app.impressions, now, max_age_s);
    let answer = Answer::hashed(read.position, &feed)?.cache_control(public(max_age_s));
    Ok((network, site, answer.unless_known(&if_none_match)).into_response())
}

fn public(max_age_s: u32) -> HeaderValue {
    // Digits and our own words.
    HeaderValue::try_from(format!("public, max-age={max_age_s}"))
        .unwrap_or(HeaderValue::from_static("no-store"))
}
