//! The demo's side of HTTP: a merchant, a shop, visitors and a dashboard.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use sha2::Sha256;

use super::plan::{Signature, Webhook};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    pub(super) fn new(base: &str, key: &str) -> Self {
        Self {
            client: Client::new(),
            base: base.to_owned(),
            key: key.to_owned(),
        }
    }

    /// As the merchant, who is answered with the JSON of a success.
    pub(super) async fn merchant(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(
            status.is_success(),
            "{path} was answered with {status}: {text}"
        );
        serde_json::from_str(&text).with_context(|| format!("{path} answered with {text}"))
    }

    /// As the merchant's dashboard, at or after a position.
    pub(super) async fn read(&self, path: &str, position: Option<&str>) -> Result<Response> {
        let mut request = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(position) = position {
            request = request.header("proofline-min-position", position);
        }
        Ok(request.send().await?)
    }

    /// As anybody.
    pub(super) async fn public(&self, path: &str) -> Result<Value> {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// As the shop.
    pub(super) async fn deliver(
        &self,
        shop: &Shop,
        webhook: &Webhook,
    ) -> Result<(StatusCode, Value)> {
        let body = serde_json::to_vec(&webhook.body)?;
        let signed = match webhook.signature {
            Signature::Right => shop.sign(&body),
            Signature::Wrong => shop.sign(b"something else"),
        };
        let response = self
            .client
            .post(format!("{}{}", self.base, shop.webhook_path))
            .header("content-type", "application/json")
            .header("x-shopify-topic", webhook.topic)
            .header("x-shopify-shop-domain", &shop.domain)
            .header("x-shopify-webhook-id", &webhook.webhook_id)
            .header("x-shopify-hmac-sha256", signed)
            .body(body)
            .send()
            .await?;
        let status = response.status();
        Ok((status, response.json().await?))
    }

    /// As visitors' browsers.
    pub(super) async fn collect(&self, body: &Value) -> Result<Value> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&serde_json::to_vec(body)?)?;
        let response = self
            .client
            .post(format!("{}/collect", self.base))
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(gzip.finish()?)
            .send()
            .await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(
            status.is_success(),
            "/collect was answered with {status}: {text}"
        );
        Ok(serde_json::from_str(&text)?)
    }
}

/// The shop, as Shopify would have it.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) domain: String,
    pub(super) secret: String,
    pub(super) webhook_path: String,
}

impl Shop {
    fn sign(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(body);
        STANDARD.encode(mac.finalize().into_bytes())
    }
}
