//! The transit engine of HashiCorp Vault, or of what speaks its language.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use event_store::vault::{Gone, KeyService, ProviderError, SubjectKey};
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::OpenError;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How often a call that was not answered is tried; the pause doubles.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// What Vault knows this process by. `Debug` prints nothing of it.
pub enum Token {
    Given(Zeroizing<String>),
    /// Read for every call, so that what an agent renews counts at once.
    File(PathBuf),
}

/// One key of the transit engine for each of ours. They are derived keys: the subject is the context, so what was wrapped opens for
/// its own subject only. Key material never leaves Vault.
pub struct Transit {
    http: Client,
    /// The engine's own.
    base: Url,
    token: Token,
    prefix: String,
}

/// What Vault answers where it does as it was asked.
#[derive(Deserialize)]
struct Answer {
    request_id: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

/// What Vault answers where it does not.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    #[serde(default)]
    errors: Vec<String>,
}

/// Without content, too, where it does.
type Answered = Result<Option<Answer>, Refusal>;

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault answers {}", self.status)?;
        for error in &self.errors {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

impl Error for Refusal {}

impl Refusal {
    /// The key is not there. Where there is no engine either, Vault says so in words.
    fn is_of_no_key(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.errors.is_empty()
    }

    fn into_error(self) -> ProviderError {
        match self.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => ProviderError::Denied(self.into()),
            // Of standby nodes, of limits, and of an engine that is sealed.
            status if is_passing(status) => ProviderError::Unreachable(self.into()),
            _ => ProviderError::Unexpected(self.into()),
        }
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status.is_redirection()
        || matches!(
            status,
            StatusCode::PRECONDITION_FAILED | StatusCode::TOO_MANY_REQUESTS
        )
}

impl Transit {
    /// `address` is Vault's, `mount` the engine's path there.
    pub fn new(
        address: &str,
        namespace: Option<&str>,
        mount: &str,
        token: Token,
        prefix: &str,
    ) -> Result<Self, OpenError> {
        let mut base = Url::parse(address).map_err(|_| OpenError::VaultAddress)?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(OpenError::VaultAddress);
        }
        base.path_segments_mut()
            .map_err(|()| OpenError::VaultAddress)?
            .pop_if_empty()
            .push("v1")
            .extend(mount.trim_matches('/').split('/'));
        let mut headers = HeaderMap::new();
        // Vault refuses requests without it where it is told to guard against forged ones.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = namespace {
            let namespace =
                HeaderValue::from_str(namespace).map_err(|_| OpenError::VaultNamespace)?;
            headers.insert("x-vault-namespace", namespace);
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // The token is for this address only.
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .build()
            .map_err(OpenError::Client)?;
        Ok(Self {
            http,
            base,
            token,
            prefix: prefix.to_owned(),
        })
    }

    async fn token(&self) -> Result<HeaderValue, ProviderError> {
        let text = match &self.token {
            Token::Given(token) => token.clone(),
            Token::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                Zeroizing::new(read.map_err(|error| {
                    let told = format!("could not read the token in {}: {error}", path.display());
                    ProviderError::Denied(told.into())
                })?)
            }
        };
        let mut token = HeaderValue::from_str(text.trim())
            .map_err(|_| ProviderError::Denied("a Vault token is one line of text".into()))?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// One call. It is tried again where nobody answered: each of ours can be done twice.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answered, ProviderError> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.send(&method, path, body).await? {
                Ok((status, body)) if !is_passing(status) => return understood(status, &body),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        let last = self.send(&method, path, body).await?;
        let (status, body) = last.map_err(|error| ProviderError::Unreachable(error.into()))?;
        understood(status, &body)
    }

    async fn send(
        &self,
        method: &Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<reqwest::Result<(StatusCode, Bytes)>, ProviderError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        let mut request = self
            .http
            .request(method.clone(), url)
            .header("x-vault-token", self.token().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = async {
            let response = request.send().await?;
            let status = response.status();
            Ok((status, response.bytes().await?))
        };
        Ok(sent.await)
    }

    /// Does something with a key that is there. Vault answers of one that is not in several ways, as policies have it.
    async fn call_with(
        &self,
        key_id: &str,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answered, ProviderError> {
        let answered = self.call(method, path, body).await?;
        if matches!(&answered, Err(refusal) if refusal.status.is_client_error())
            && self.read(key_id).await?.is_none()
        {
            return Err(ProviderError::UnknownKey(key_id.to_owned()));
        }
        Ok(answered)
    }

    /// What Vault answers about a key; `None` where it has none of that name.
    async fn read(&self, key_id: &str) -> Result<Option<Answer>, ProviderError> {
        match self.call(Method::GET, &["keys", key_id], None).await? {
            Ok(Some(answer)) => Ok(Some(answer)),
            Ok(None) => Err(unexpected("Vault says nothing of a key")),
            Err(refusal) if refusal.is_of_no_key() => Ok(None),
            Err(refusal) => Err(refusal.into_error()),
        }
    }

    async fn create_now(&self, purpose: &str) -> Result<String, ProviderError> {
        let key_id = format!("{}-{purpose}-{}", self.prefix, Uuid::now_v7());
        let body = json!({ "type": "aes256-gcm96", "derived": true });
        self.call(Method::POST, &["keys", &key_id], Some(&body))
            .await?
            .map_err(Refusal::into_error)?;
        Ok(key_id)
    }

    async fn wrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        key: &SubjectKey,
    ) -> Result<Vec<u8>, ProviderError> {
        let plaintext = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = json!({ "plaintext": *plaintext, "context": STANDARD.encode(subject) });
        let answer = self
            .call_with(key_id, Method::POST, &["encrypt", key_id], Some(&body))
            .await?
            .map_err(Refusal::into_error)?;
        let ciphertext = answer.and_then(|answer| answer.data.ciphertext);
        let ciphertext =
            ciphertext.ok_or_else(|| unexpected("Vault answers without what it wrapped"))?;
        Ok(ciphertext.into_bytes())
    }

    async fn unwrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        wrapped: &[u8],
    ) -> Result<SubjectKey, ProviderError> {
        let ciphertext = std::str::from_utf8(wrapped).map_err(|_| ProviderError::Refused)?;
        let body = json!({ "ciphertext": ciphertext, "context": STANDARD.encode(subject) });
        let answered = self
            .call_with(key_id, Method::POST, &["decrypt", key_id], Some(&body))
            .await?;
        let answer = answered.map_err(|refusal| match refusal.status {
            StatusCode::BAD_REQUEST => ProviderError::Refused,
            _ => refusal.into_error(),
        })?;
        let plaintext = answer.and_then(|answer| answer.data.plaintext);
        let plaintext = Zeroizing::new(plaintext.ok_or(ProviderError::Refused)?);
        let opened = STANDARD.decode(&*plaintext).map(Zeroizing::new);
        let opened = opened.map_err(|_| ProviderError::Refused)?;
        SubjectKey::from_slice(&opened).ok_or(ProviderError::Refused)
    }

    /// Vault deletes at once, but only what it was told that it may.
    async fn destroy_now(&self, key_id: &str) -> Result<Gone, ProviderError> {
        let gone = |receipt| Gone {
            receipt,
            final_at: None,
        };
        let before = || gone(format!("Vault has no key {key_id} any more"));
        let Some(read) = self.read(key_id).await? else {
            return Ok(before());
        };
        let allowed = json!({ "deletion_allowed": true });
        let steps = [
            (
                Method::POST,
                &["keys", key_id, "config"][..],
                Some(&allowed),
            ),
            (Method::DELETE, &["keys", key_id][..], None),
        ];
        for (method, path, body) in steps {
            match self.call_with(key_id, method, path, body).await {
                Ok(done) => drop(done.map_err(Refusal::into_error)?),
                Err(ProviderError::UnknownKey(_)) => return Ok(before()),
                Err(error) => return Err(error),
            }
        }
        if self.read(key_id).await?.is_some() {
            return Err(unexpected("Vault still has a key that it deleted"));
        }
        Ok(gone(format!(
            "Vault deleted key {key_id}, which it had shown in request {}",
            read.request_id
        )))
    }
}

impl KeyService for Transit {
    fn create<'a>(&'a self, purpose: &'a str) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(self.create_now(purpose))
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        Box::pin(self.wrap_now(key_id, subject, key))
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        Box::pin(self.unwrap_now(key_id, subject, wrapped))
    }

    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        Box::pin(async move { Ok(self.read(key_id).await?.is_some()) })
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Gone, ProviderError>> {
        Box::pin(self.destroy_now(key_id))
    }
}

fn understood(status: StatusCode, body: &[u8]) -> Result<Answered, ProviderError> {
    if status == StatusCode::NO_CONTENT {
        return Ok(Ok(None));
    }
    if status.is_success() {
        let answer = serde_json::from_slice(body).map_err(unexpected)?;
        return Ok(Ok(Some(answer)));
    }
    // What stands before Vault may answer something else.
    let errors = serde_json::from_slice(body)
        .map_or_else(|error| vec![error.to_string()], |told: Refusal| told.errors);
    Ok(Err(Refusal { status, errors }))
}

fn unexpected(what: impl Into<Box<dyn Error + Send + Sync>>) -> ProviderError {
    ProviderError::Unexpected(what.into())
}
