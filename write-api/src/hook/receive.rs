use axum::extract::State;
use platform::rate_limit::RateLimitHeaders;

use super::delivery::Delivery;
use super::outcome::{HookAnswer, Outcome};
use super::shopify;
use crate::documentation::HookProblems;
use crate::failure::Failure;
use crate::network_quota::{Hooks, WithinQuota};
use crate::state::WriteState;

/// Take in what a connected shop delivers.
///
/// Shopify's `orders/create` records an activity; `orders/cancelled` and `refunds/create` (of any part) withdraw it,
/// also where they overtake the order. Other topics, test orders and orders that are cancelled, voided or refunded
/// already are acknowledged and ignored. Delivered again, a delivery changes nothing.
#[utoipa::path(
    post,
    path = "/hooks/{integration_id}",
    tag = "Webhooks",
    params(
        ("integration_id" = Uuid, Path),
        ("X-Shopify-Hmac-SHA256" = String, Header, description = "Base64 of HMAC-SHA-256 over the raw body, with the shop's secret."),
        ("X-Shopify-Shop-Domain" = String, Header, description = "The connected shop."),
        ("X-Shopify-Topic" = String, Header, description = "What happened.", example = "orders/create"),
        ("X-Shopify-Webhook-Id" = String, Header, description = "The same for every attempt of one delivery."),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "An order or a refund as Shopify writes it, at most 2 MiB."),
    responses(
        (
            status = OK,
            description = "Acknowledged.",
            body = HookAnswer,
            headers(
                ("Proofline-Position" = String, description = "The body's `position`."),
                ("RateLimit" = String, description = "What is left of the limits of network and integration."),
                ("RateLimit-Policy" = String, description = "These limits.")
            )
        ),
        HookProblems
    )
)]
pub(crate) async fn receive_delivery(
    State(app): State<WriteState>,
    network: WithinQuota<Hooks>,
    delivery: Delivery,
) -> Result<(RateLimitHeaders, RateLimitHeaders, Outcome), Failure> {
    let taken = shopify::take(&app.commands.activities, &delivery).await;
    let outcome = delivery.observed(taken)?;
    Ok((network.headers, delivery.quota, outcome))
}
