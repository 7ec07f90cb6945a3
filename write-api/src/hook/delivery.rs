//! A delivery that a connected shop has signed. Only extraction makes one.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::HeaderMap;
use commands::{Call, ClientKey};
use domain::integration::{ConnectedShop, Platform};
use domain::{AccountId, IntegrationId, SiteId};
use platform::clock;
use platform::json::ApiPath;
use platform::problem::{FieldError, Problem, ProblemKind};
use platform::rate_limit::RateLimitHeaders;
use platform::request::{RawBody, RequestContext};

use super::outcome::Outcome;
use super::shopify::{self, Topic, signature};
use crate::failure::Failure;
use crate::state::WriteState;

const HEADER_CHARS_MAX: usize = 255;

pub(crate) struct Delivery {
    pub(crate) integration: IntegrationId,
    pub(crate) site: SiteId,
    /// `None` is one that we don't know.
    pub(crate) topic: Option<Topic>,
    /// The raw bytes, as they were signed.
    pub(crate) body: Bytes,
    /// Where the integration stands with its limit.
    pub(crate) quota: RateLimitHeaders,
    account: AccountId,
    topic_text: String,
    webhook_id: String,
    request: RequestContext,
}

impl FromRequest<WriteState> for Delivery {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &WriteState) -> Result<Self, Problem> {
        let topic = (request.headers().get(shopify::TOPIC))
            .and_then(|topic| Topic::parse(topic.to_str().ok()?));
        let delivery = Self::verified(request, app).await;
        if let Err(problem) = &delivery {
            count(topic, problem.kind().slug());
        }
        delivery
    }
}

impl Delivery {
    async fn verified(request: Request, app: &WriteState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let ApiPath(integration): ApiPath<IntegrationId> =
            ApiPath::from_request_parts(&mut parts, app).await?;
        let (context, headers) = (RequestContext::of(&parts), parts.headers.clone());
        let RawBody(body) = RawBody::from_request(Request::from_parts(parts, body), app).await?;
        let connected = app.commands.integrations.connected(integration).await;
        let (account, shop) = signed_by(connected.map_err(Failure::from)?, &headers, &body)?;
        let quota = app.limits.hook_integration.check(integration)?;
        let topic_text = required(&headers, shopify::TOPIC)?;
        Ok(Self {
            integration,
            site: shop.site_id,
            topic: Topic::parse(&topic_text),
            body,
            quota,
            account,
            topic_text,
            webhook_id: required(&headers, shopify::WEBHOOK_ID)?,
            request: context,
        })
    }

    /// The call of the command that follows from it: repeated with every attempt, done once.
    pub(crate) fn call(&self) -> Call {
        let request = [self.topic_text.as_bytes(), self.body.as_ref()];
        Call {
            account: self.account,
            actor: format!("integration:{}", self.integration),
            at: clock::now(),
            correlation_id: self.request.correlation_id,
            request_id: self.request.request_id.to_string(),
            source: Platform::Shopify.as_str(),
            key: Some(ClientKey::new(
                self.integration.as_uuid(),
                &self.webhook_id,
                &request,
            )),
            if_match: None,
            causation_id: None,
            reason: None,
        }
    }

    /// Counts and logs what became of it.
    pub(crate) fn observed(&self, taken: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
        let outcome = match &taken {
            Ok(outcome) => outcome.status(),
            Err(failure) => failure.kind().slug(),
        };
        count(self.topic, outcome);
        let reason = (taken.as_ref().ok())
            .and_then(Outcome::reason)
            .map(|reason| reason.as_str());
        tracing::info!(
            integration.id = %self.integration,
            webhook.topic = self.topic_text,
            webhook.id = self.webhook_id,
            outcome,
            reason,
            "webhook"
        );
        taken
    }
}

/// The shop, if it has signed the body. An integration that is not there takes the same work and gets the same answer,
/// so that nobody finds out which ones are.
fn signed_by(
    connected: Option<(AccountId, ConnectedShop)>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(AccountId, ConnectedShop), Problem> {
    let secret = (connected.as_ref())
        .and_then(|(_, shop)| shop.webhook_secret.known())
        .map(|secret| secret.expose());
    let signed = signature::verify(secret, body, headers.get(signature::HEADER));
    let named = (headers.get(shopify::SHOP_DOMAIN)).and_then(|name| name.to_str().ok());
    connected
        .filter(|_| signed)
        .filter(|(_, shop)| {
            named.is_some_and(|name| name.eq_ignore_ascii_case(shop.shop_domain.as_str()))
        })
        .ok_or_else(|| ProblemKind::InvalidSignature.into())
}

fn required(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    let refused = |code, detail| {
        let error = FieldError::parameter(name, code, detail);
        Problem::new(ProblemKind::InvalidParameter).error(error)
    };
    let Some(value) = headers.get(name) else {
        return Err(refused("missing", "send this header"));
    };
    let text = value.to_str().unwrap_or_default();
    let sane = (1..=HEADER_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sane {
        Ok(text.to_owned())
    } else {
        Err(refused(
            "malformed",
            "use 1 to 255 visible ASCII characters",
        ))
    }
}

/// A topic is free text until it is one that we know, and a label must not be free text.
fn count(topic: Option<Topic>, outcome: &'static str) {
    let topic = topic.map_or("other", Topic::as_str);
    let platform = Platform::Shopify.as_str();
    metrics::counter!("proofline_webhooks_total", "platform" => platform, "topic" => topic, "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use domain::{Hostname, Pii, SubjectId, WebhookSecret};
    use uuid::Uuid;

    use super::*;

    const BODY: &[u8] =
        br#"{"id":820982911946154508,"email":"jon@example.com","total_price":"199.00"}"#;
    const SIGNATURE: &str = "19sb4TQ53/TxxyK6YcMtX+aMrJyVgshiuMO90SUSl08=";

    fn connected(secret: Pii<WebhookSecret>) -> Option<(AccountId, ConnectedShop)> {
        let shop = ConnectedShop {
            site_id: Uuid::from_u128(2).into(),
            platform: Platform::Shopify,
            shop_domain: Hostname::parse("trail.myshopify.com").unwrap(),
            webhook_secret: secret,
        };
        Some((Uuid::from_u128(1).into(), shop))
    }

    fn subject() -> SubjectId {
        Uuid::from_u128(3).into()
    }

    fn hush() -> Pii<WebhookSecret> {
        Pii::new(subject(), WebhookSecret::parse("hush").unwrap())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn the_connected_shops_own_signature_is_believed() {
        for name in ["trail.myshopify.com", "Trail.MyShopify.com"] {
            let headers = headers(&[(signature::HEADER, SIGNATURE), (shopify::SHOP_DOMAIN, name)]);
            let (account, shop) = signed_by(connected(hush()), &headers, BODY).unwrap();
            assert_eq!(account, Uuid::from_u128(1).into());
            assert_eq!(shop.site_id, Uuid::from_u128(2).into());
        }
    }

    #[test]
    fn everything_else_gets_one_and_the_same_problem() {
        let right = [
            (signature::HEADER, SIGNATURE),
            (shopify::SHOP_DOMAIN, "trail.myshopify.com"),
        ];
        let other_shop = [right[0], (shopify::SHOP_DOMAIN, "other.myshopify.com")];
        let wrong = [(signature::HEADER, "AAAA"), right[1]];
        let erased = Pii::Erased { subject: subject() };
        for (connected, pairs, body) in [
            (None, &right[..], BODY),
            (connected(hush()), &right[..1], BODY),
            (connected(hush()), &right[1..], BODY),
            (connected(hush()), &other_shop, BODY),
            (connected(hush()), &wrong, BODY),
            (connected(hush()), &right, &BODY[1..]),
            (connected(erased), &right, BODY),
        ] {
            let problem = signed_by(connected, &headers(pairs), body).unwrap_err();
            let expected = Problem::new(ProblemKind::InvalidSignature);
            assert_eq!(format!("{problem:?}"), format!("{expected:?}"));
        }
    }

    #[test]
    fn a_missing_or_unprintable_header_is_named() {
        for (value, code) in [
            (None, Some("missing")),
            (Some(""), Some("malformed")),
            (Some("a b"), Some("malformed")),
            (Some(&*"x".repeat(256)), Some("malformed")),
            (Some("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"), None),
        ] {
            let pairs: Vec<_> = value
                .map(|value| (shopify::WEBHOOK_ID, value))
                .into_iter()
                .collect();
            let refused = required(&headers(&pairs), shopify::WEBHOOK_ID).err();
            let found = refused.as_ref().map(|problem| &*problem.errors()[0].code);
            assert_eq!(found, code, "{value:?}");
        }
    }
}
