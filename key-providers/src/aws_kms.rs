//! AWS KMS.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId as _;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyState, Tag};
use chrono::{DateTime, Utc};
use event_store::vault::{Gone, KeyService, ProviderError, SubjectKey};
use futures::future::BoxFuture;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::OpenError;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A call with all its attempts.
const CALL_WITHIN: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
/// The least that KMS takes.
const DELETED_AFTER_DAYS: i32 = 7;
/// KMS makes a key known everywhere within seconds.
const KNOWN_WITHIN_LOOKS: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// The name of the tag, and of what Encrypt and Decrypt bind to. Stored; never rename.
const TAG: &str = "proofline";
const CONTEXT: &str = "subject";

/// One symmetric key of a customer for each of ours. Key material never leaves KMS.
pub struct AwsKms {
    client: Client,
    prefix: String,
}

impl AwsKms {
    /// With region and credentials as AWS's own tools find them: variables, profile, web identity, the machine's role.
    pub async fn from_env(endpoint: Option<&str>, prefix: &str) -> Result<Self, OpenError> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        config.region().ok_or(OpenError::NoRegion)?;
        Ok(Self::new(&config, endpoint, prefix))
    }

    pub fn new(config: &SdkConfig, endpoint: Option<&str>, prefix: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(ANSWER_WITHIN)
            .operation_timeout(CALL_WITHIN)
            .build();
        let mut config = aws_sdk_kms::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        config.set_endpoint_url(endpoint.map(str::to_owned));
        Self {
            client: Client::from_conf(config.build()),
            prefix: prefix.to_owned(),
        }
    }

    async fn create_now(&self, purpose: &str) -> Result<String, ProviderError> {
        let tag = Tag::builder().tag_key(TAG).tag_value(&self.prefix).build();
        let created = self
            .client
            .create_key()
            .description(format!("{} {purpose}", self.prefix))
            .tags(tag.map_err(unexpected)?)
            .send()
            .await
            .map_err(|error| failed(purpose, error))?;
        let key = created
            .key_metadata
            .ok_or_else(|| unexpected("KMS does not say which key it made"))?;
        for _ in 0..KNOWN_WITHIN_LOOKS {
            if self.holds_now(&key.key_id).await? {
                return Ok(key.key_id);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(ProviderError::UnknownKey(key.key_id))
    }

    async fn wrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        key: &SubjectKey,
    ) -> Result<Vec<u8>, ProviderError> {
        let encrypted = self
            .client
            .encrypt()
            .key_id(key_id)
            .encryption_context(CONTEXT, subject)
            .plaintext(Blob::new(key.expose()))
            .send()
            .await
            .map_err(|error| failed(key_id, error))?;
        let wrapped = encrypted.ciphertext_blob.map(Blob::into_inner);
        wrapped.ok_or_else(|| unexpected("KMS answers without what it wrapped"))
    }

    async fn unwrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        wrapped: &[u8],
    ) -> Result<SubjectKey, ProviderError> {
        let decrypted = self
            .client
            .decrypt()
            .key_id(key_id)
            .encryption_context(CONTEXT, subject)
            .ciphertext_blob(Blob::new(wrapped))
            .send()
            .await
            .map_err(|error| failed(key_id, error))?;
        let opened = decrypted.plaintext.map(Blob::into_inner);
        let opened = Zeroizing::new(opened.unwrap_or_default());
        SubjectKey::from_slice(&opened).ok_or(ProviderError::Refused)
    }

    /// What KMS says of a key: its state, and when it is deleted.
    async fn look(
        &self,
        key_id: &str,
    ) -> Result<Option<(KeyState, Option<DateTime<Utc>>)>, ProviderError> {
        let described = self.client.describe_key().key_id(key_id).send().await;
        match described.map_err(|error| failed(key_id, error)) {
            Ok(described) => {
                let key = described
                    .key_metadata
                    .ok_or_else(|| unexpected("KMS describes no key"))?;
                let state = key
                    .key_state
                    .ok_or_else(|| unexpected("KMS does not say how a key is"))?;
                Ok(Some((state, key.deletion_date.as_ref().and_then(time))))
            }
            Err(ProviderError::UnknownKey(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn holds_now(&self, key_id: &str) -> Result<bool, ProviderError> {
        match self.look(key_id).await? {
            Some((KeyState::Enabled, _)) => Ok(true),
            None | Some((KeyState::Disabled | KeyState::PendingDeletion, _)) => Ok(false),
            Some((state, _)) => Err(ProviderError::Unreachable(
                format!("KMS says that key {key_id} is {state}").into(),
            )),
        }
    }

    /// Disabled first: a key whose deletion may not be scheduled opens nothing either.
    async fn destroy_now(&self, key_id: &str) -> Result<Gone, ProviderError> {
        match self.look(key_id).await? {
            None => {
                return Ok(Gone {
                    receipt: format!("AWS KMS has no key {key_id} any more"),
                    final_at: None,
                });
            }
            Some((KeyState::PendingDeletion, Some(deleted_at))) => {
                return Ok(Gone {
                    receipt: format!("AWS KMS had scheduled the deletion of key {key_id} before"),
                    final_at: Some(deleted_at),
                });
            }
            Some(_) => {}
        }
        self.client
            .disable_key()
            .key_id(key_id)
            .send()
            .await
            .map_err(|error| failed(key_id, error))?;
        let scheduled = self
            .client
            .schedule_key_deletion()
            .key_id(key_id)
            .pending_window_in_days(DELETED_AFTER_DAYS)
            .send()
            .await
            .map_err(|error| failed(key_id, error))?;
        let deleted_at = scheduled.deletion_date.as_ref().and_then(time);
        let deleted_at =
            deleted_at.ok_or_else(|| unexpected("KMS does not say when it deletes a key"))?;
        let request = scheduled.request_id().unwrap_or_default();
        Ok(Gone {
            receipt: format!("AWS KMS scheduled the deletion of key {key_id} by request {request}"),
            final_at: Some(deleted_at),
        })
    }
}

impl KeyService for AwsKms {
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
        Box::pin(self.holds_now(key_id))
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Gone, ProviderError>> {
        Box::pin(self.destroy_now(key_id))
    }
}

fn time(time: &aws_sdk_kms::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

fn unexpected(what: impl Into<Box<dyn Error + Send + Sync>>) -> ProviderError {
    ProviderError::Unexpected(what.into())
}

fn failed<E>(key_id: &str, error: SdkError<E>) -> ProviderError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let Some(refusal) = error.as_service_error() else {
        // Not sent, not answered in time, or not understood.
        return ProviderError::Unreachable(error.into());
    };
    match refusal.code() {
        Some("NotFoundException" | "DisabledException" | "KMSInvalidStateException") => {
            ProviderError::UnknownKey(key_id.to_owned())
        }
        Some("InvalidCiphertextException" | "IncorrectKeyException") => ProviderError::Refused,
        Some(
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "UnrecognizedClientException",
        ) => ProviderError::Denied(error.into_source().unwrap_or_else(Into::into)),
        Some("ValidationException" | "UnsupportedOperationException" | "TagException") => {
            ProviderError::Unexpected(error.into())
        }
        _ => ProviderError::Unreachable(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::config::http::HttpResponse;
    use aws_sdk_kms::error::ErrorMetadata;
    use aws_sdk_kms::operation::decrypt::DecryptError;

    use super::*;

    fn refused(code: &str) -> ProviderError {
        let refusal = DecryptError::generic(ErrorMetadata::builder().code(code).build());
        let status = 400.try_into().unwrap();
        let response = HttpResponse::new(status, "".into());
        failed("k", SdkError::service_error(refusal, response))
    }

    #[test]
    fn what_kms_refuses_is_told_apart_by_what_can_be_done_about_it() {
        for code in [
            "NotFoundException",
            "DisabledException",
            "KMSInvalidStateException",
        ] {
            let error = refused(code);
            assert!(matches!(error, ProviderError::UnknownKey(_)), "{code}");
        }
        for code in ["InvalidCiphertextException", "IncorrectKeyException"] {
            assert!(matches!(refused(code), ProviderError::Refused), "{code}");
        }
        for code in ["AccessDeniedException", "ExpiredTokenException"] {
            let error = refused(code);
            assert!(matches!(error, ProviderError::Denied(_)), "{code}");
            assert!(error.is_transient());
        }
        for code in [
            "ThrottlingException",
            "KMSInternalException",
            "DependencyTimeoutException",
        ] {
            let error = refused(code);
            assert!(matches!(error, ProviderError::Unreachable(_)), "{code}");
            assert!(error.is_transient());
        }
        let error = refused("ValidationException");
        assert!(matches!(error, ProviderError::Unexpected(_)) && !error.is_transient());
    }
}
