//! Who calls, when, and under which key.

use chrono::{DateTime, Utc};
use domain::{AccountId, CaseReference};
use event_store::Origin;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What every command carries besides its content.
#[derive(Clone, Debug)]
pub struct Call {
    pub account: AccountId,
    /// For instance `api_key:<uuid>` or `integration:<uuid>`. Never a name.
    pub actor: String,
    /// The moment that the command's events will say.
    pub at: DateTime<Utc>,
    pub correlation_id: Uuid,
    pub request_id: String,
    /// Where the command came in, for instance `http`.
    pub source: &'static str,
    /// Makes the command exactly-once.
    pub key: Option<ClientKey>,
    /// The version that the caller saw; another one refuses the command.
    pub if_match: Option<i64>,
    /// The event that made a process issue the command. `None` for what begins outside.
    pub causation_id: Option<Uuid>,
    /// Why, as a reference into somebody's files, for whoever looks back.
    pub reason: Option<CaseReference>,
}

/// The event that a process acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    pub account: AccountId,
    pub event_id: Uuid,
    pub correlation_id: Uuid,
}

/// A key that the caller repeats when it repeats a command.
#[derive(Clone, Copy, Debug)]
pub struct ClientKey {
    command_id: Uuid,
    request_hash: [u8; 32],
}

impl ClientKey {
    /// `scope` is where the key is unique: the account for a merchant's key, the integration for a shop's. `request` is
    /// all that makes the request what it is; parts are length-prefixed before they are hashed.
    pub fn new(scope: &Uuid, key: &str, request: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in request {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self {
            command_id: Uuid::new_v5(scope, key.as_bytes()),
            request_hash: hash.finalize().into(),
        }
    }

    pub(crate) fn command_id(&self) -> Uuid {
        self.command_id
    }

    /// Not to be stored: whoever sees it could try out what the request was.
    pub(crate) fn request_hash(&self) -> [u8; 32] {
        self.request_hash
    }
}

impl Call {
    /// A step that a process takes because of an event. Taken again, it is the same command.
    pub fn of_process(process: &'static str, cause: &Cause, step: &str, at: DateTime<Utc>) -> Self {
        let key = format!("{process}/{step}");
        Self {
            account: cause.account,
            actor: format!("process:{process}"),
            at,
            correlation_id: cause.correlation_id,
            request_id: cause.correlation_id.to_string(),
            source: "process",
            key: Some(ClientKey::new(&cause.event_id, &key, &[])),
            if_match: None,
            causation_id: Some(cause.event_id),
            reason: None,
        }
    }

    /// The id of what the command makes: the same whenever it is repeated under its key.
    pub fn new_id(&self) -> Uuid {
        match &self.key {
            Some(key) => Uuid::new_v5(&key.command_id, b"aggregate"),
            None => Uuid::now_v7(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        // A caller may choose its request id; what is stored for ever must not hold just any text.
        let request_id = Uuid::parse_str(&self.request_id).unwrap_or(self.correlation_id);
        let mut metadata = vec![
            ("request_id", request_id.to_string()),
            ("source", self.source.to_owned()),
        ];
        let reason = self.reason.as_ref();
        metadata.extend(reason.map(|reason| ("reason", reason.to_string())));
        metadata.extend(traceparent().map(|traceparent| ("traceparent", traceparent)));
        Origin {
            command_id: self.key.map_or_else(Uuid::now_v7, |key| key.command_id),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor.clone(),
            metadata: Value::Object(Map::from_iter(
                metadata
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), Value::from(value))),
            )),
        }
    }
}

/// The trace that the command is part of, as W3C Trace Context writes it, so that whoever reads the event can point to
/// it. `None` where it is not recorded.
fn traceparent() -> Option<String> {
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_sampled().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_stands_with_the_event_where_one_was_given() {
        let mut call = Call {
            account: AccountId::from(Uuid::from_u128(1)),
            actor: "test".to_owned(),
            at: DateTime::UNIX_EPOCH,
            correlation_id: Uuid::from_u128(2),
            request_id: "r".to_owned(),
            source: "test",
            key: None,
            if_match: None,
            causation_id: None,
            reason: None,
        };
        assert_eq!(call.origin().metadata.get("reason"), None);
        call.reason = Some(CaseReference::parse("ticket:4711").unwrap());
        assert_eq!(call.origin().metadata["reason"], "ticket:4711");
    }

    #[test]
    fn a_key_has_one_command_and_each_request_its_hash() {
        let scope = Uuid::from_u128(1);
        let first = ClientKey::new(&scope, "k", &[b"POST", b"/v1/sites", b"{}"]);
        let same = ClientKey::new(&scope, "k", &[b"POST", b"/v1/sites", b"{}"]);
        let shifted = ClientKey::new(&scope, "k", &[b"POST", b"/v1/sites{", b"}"]);
        assert_eq!(
            (first.command_id, first.request_hash),
            (same.command_id, same.request_hash)
        );
        assert_eq!(first.command_id, shifted.command_id);
        assert_ne!(first.request_hash, shifted.request_hash);
        // Stored for ever: a repeat in a later release is known by them.
        assert_eq!(
            first.command_id.to_string(),
            "72c97989-2784-5f8f-a28b-2ed6c85cc6f3"
        );
        assert_ne!(
            first.command_id,
            ClientKey::new(&Uuid::from_u128(2), "k", &[]).command_id
        );
    }
}
