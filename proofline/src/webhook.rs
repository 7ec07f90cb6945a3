//! Tells somebody outside of every note that is signed, as Standard Webhooks has it. What they keep proves the log as an anchor
//! does, but for the hashes of single events.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use event_store::seal::{Delivery, Next, Outbox, SealError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use platform::config::Secret;
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;
use zeroize::Zeroizing;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How often to look for something to tell.
const EVERY: Duration = Duration::from_secs(1);
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// However much longer the receiver asks to be left alone.
const LATER_WITHIN: Duration = Duration::from_secs(600);
const MEASURED_EVERY: Duration = Duration::from_secs(5);
/// What ids are made in. Stored by receivers; never change.
const IDS: Uuid = Uuid::from_u128(0x7072_6f6f_666c_8000_8000_6e6f_7465_7331);

/// Whom to tell, and by which secrets they know us. The URL may hold one, too; what is refused is shown by nobody.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WebhookArgs {
    /// Tell this URL of every signed head, signing key and tombstone.
    #[arg(long, env = "PROOFLINE_ANCHOR_WEBHOOK", hide_env_values = true)]
    pub anchor_webhook: Option<Secret>,
    /// Sign what is told with this: `whsec_` and 24 to 64 bytes in base64. Of several, parted by blanks, each signs, so that the
    /// receiver can change from one to the next.
    #[arg(long, env = "PROOFLINE_ANCHOR_WEBHOOK_SECRET", hide_env_values = true)]
    pub anchor_webhook_secret: Option<Secret>,
}

/// What sender and receiver know.
struct Keys(Vec<Zeroizing<Vec<u8>>>);

impl Keys {
    /// `None` where the text is none.
    fn parse(text: &str) -> Option<Self> {
        let key = |text: &str| {
            let key = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
            (24..=64).contains(&key.len()).then_some(key.into())
        };
        let keys: Vec<_> = text.split_whitespace().map(key).collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(Self(keys))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("it takes keys of any length");
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Why a note was not delivered. It will be sent again.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("could not look for what is to be told, or note that it was")]
    Outbox(#[from] SealError),
    #[error("a note does not serialise")]
    Serialise(#[source] serde_json::Error),
    #[error("could not reach the receiver")]
    Send(#[source] reqwest::Error),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    /// Nothing is wrong with what it was sent.
    #[error("the receiver answered {status}, and takes nothing now")]
    Later {
        status: StatusCode,
        /// For how long it asks to be left alone.
        after: Option<Duration>,
    },
}

impl WebhookError {
    /// For how long the receiver asks to be left alone.
    fn asked_for(&self) -> Duration {
        match self {
            Self::Later { after, .. } => after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// What there was to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A note, which the receiver took.
    Note,
    /// Nothing: it has all of them.
    Everything,
    /// What another process is telling, or nothing for now: the receiver is left alone after a failure.
    NotNow,
}

/// Tells one receiver. Any number of processes may: they take turns.
pub struct Webhook {
    client: Client,
    url: Url,
    keys: Keys,
    outbox: Outbox,
}

impl Webhook {
    /// `None` where nobody is to be told. `pool` connects as [`event_store::Role::Sealer`].
    pub async fn open(args: &WebhookArgs, pool: PgPool) -> Result<Option<Self>> {
        let (url, keys) = match (&args.anchor_webhook, &args.anchor_webhook_secret) {
            (None, None) => return Ok(None),
            (Some(url), Some(keys)) => (Url::parse(url.expose()), Keys::parse(keys.expose())),
            _ => bail!("PROOFLINE_ANCHOR_WEBHOOK and PROOFLINE_ANCHOR_WEBHOOK_SECRET go together"),
        };
        let url = url
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.context("PROOFLINE_ANCHOR_WEBHOOK takes a URL of http or https")?;
        let keys = keys.context(
            "PROOFLINE_ANCHOR_WEBHOOK_SECRET takes whsec_ and 24 to 64 bytes in base64, or several of that",
        )?;
        let client = Client::builder()
            .timeout(ANSWERED_WITHIN)
            .redirect(redirect::Policy::none())
            .build()
            .context("could not set up a client for the webhook")?;
        let to = Sha256::digest(url.as_str());
        let to: String = to.iter().map(|byte| format!("{byte:02x}")).collect();
        let outbox = Outbox::open(pool, &to).await;
        Ok(Some(Self {
            client,
            url,
            keys,
            outbox: outbox.context("could not look what the webhook was told")?,
        }))
    }

    /// Tells of every note as it is signed.
    pub(crate) async fn run(&self) -> Infallible {
        let telling = async {
            let mut failures = 0;
            loop {
                match self.tell().await {
                    Ok(told) => {
                        failures = 0;
                        if told != Told::Note {
                            tokio::time::sleep(EVERY).await;
                        }
                    }
                    Err(error) => {
                        failed(&error);
                        // Where the database can't be told to leave the receiver alone, at least this process does.
                        tokio::time::sleep(pause(failures)).await;
                        failures = failures.saturating_add(1);
                    }
                }
            }
        };
        let measuring = async {
            loop {
                let waiting = self.outbox.waiting_s().await.unwrap_or_else(|error| {
                    failed(&error.into());
                    f64::NAN
                });
                metrics::gauge!("proofline_anchor_webhook_waiting_seconds").set(waiting);
                tokio::time::sleep(MEASURED_EVERY).await;
            }
        };
        let (never, _): (_, Infallible) = tokio::join!(telling, measuring);
        never
    }

    /// Tells of the first note that was not taken yet.
    pub async fn tell(&self) -> Result<Told, WebhookError> {
        let delivery = match self.outbox.next().await? {
            Next::NotNow => return Ok(Told::NotNow),
            Next::Empty => return Ok(Told::Everything),
            Next::Delivery(delivery) => delivery,
        };
        match self.send(&delivery).await {
            Ok(()) => delivery.done().await?,
            Err(error) => {
                let failures = delivery.failures;
                let again_after = pause(failures).max(error.asked_for());
                match delivery.failed(again_after).await {
                    Ok(()) => tracing::info!(
                        failures = failures + 1,
                        again_after_s = again_after.as_secs(),
                        "the webhook is left alone"
                    ),
                    Err(unnoted) => tracing::error!(
                        error = &unnoted as &dyn std::error::Error,
                        "could not note for how long the webhook is left alone"
                    ),
                }
                return Err(error);
            }
        }
        Ok(Told::Note)
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), WebhookError> {
        let (path, note) = (&delivery.path, &delivery.note);
        let body = serde_json::to_vec(&json!({
            "type": format!("anchor.{}", delivery.kind),
            "timestamp": delivery.noted_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": { "path": path, "note": note },
        }));
        let body = body.map_err(WebhookError::Serialise)?;
        // The same for the same note, whoever sends it and how often.
        let id = Uuid::new_v5(&IDS, format!("{path}\n{note}").as_bytes());
        let id = format!("msg_{}", id.simple());
        let timestamp = platform::clock::now().timestamp();
        let sent = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-signature", self.keys.sign(&id, timestamp, &body))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .body(body)
            .send();
        let sent = sent.await;
        let answer = sent.map_err(|error| WebhookError::Send(error.without_url()))?;
        let status = answer.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            429 | 502..=504 => Err(WebhookError::Later {
                status,
                after: retry_after(answer.headers()),
            }),
            _ => Err(WebhookError::Refused(status)),
        }
    }
}

/// After so many failures in a row and one more: twice as long after each, up to a minute.
fn pause(failures: u32) -> Duration {
    (EVERY * (2 << failures.min(5))).min(AGAIN_WITHIN)
}

/// For how long the answer asks to be left alone, in seconds or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let later = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok()?;
            (at.to_utc() - platform::clock::now()).to_std().ok()?
        }
    };
    Some(later.min(LATER_WITHIN))
}

fn failed(error: &WebhookError) {
    metrics::counter!("proofline_anchor_webhook_failures_total").increment(1);
    let shown = error as &dyn std::error::Error;
    match error {
        WebhookError::Later { .. } => {
            tracing::warn!(error = shown, "the anchor's webhook will be told later");
        }
        _ => tracing::error!(
            error = shown,
            "could not tell the anchor's webhook and will again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The vector of Standard Webhooks' own libraries.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let sign = |keys: &str| {
            let keys = Keys::parse(keys).unwrap();
            let body = br#"{"test": 2432232314}"#;
            keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(KEY), signature);
        let next = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = format!("{signature} {}", sign(next));
        assert_eq!(sign(&format!("{KEY} {next}")), both);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            " ",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &format!("{KEY} whsec_c2hvcnQ="),
        ] {
            assert!(Keys::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often() {
        let pauses: Vec<u64> = (0..8).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_receiver_says_for_how_long_it_is_to_be_left_alone_but_not_for_ever() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(retry_after(&HeaderMap::new()), None);
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("86400"), Some(LATER_WITHIN));
        assert_eq!(asked("Wed, 21 Oct 2065 07:28:00 GMT"), Some(LATER_WITHIN));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(asked("soon"), None);
    }
}
