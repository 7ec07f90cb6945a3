//! Ours: the store in process, the command path in process, and both APIs over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use commands::{Call, Commands, NewNotification, NewSite};
use domain::notification::{NotificationCommand, NotificationEvent};
use domain::{
    AccountId, Hostname, Impression, MessageTemplate, NotificationName, SiteId, SiteName,
};
use event_store::{Append, NewEvent, Origin, Store, StreamId, encode};
use platform::signed::Signer;
use proofline::account::{self, Opened};
use proofline::app::{App, Part};
use proofline::config::{Connections, Tuning};
use proofline::secrets::Secrets;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::http::Connection;
use crate::load::Caller;
use crate::seals::PersonalCaller;

const BATCH: usize = 50;
/// Sites that the batches of telemetry belong to.
const SITES: usize = 8;
const NAME: &str = "Recent orders";
const MESSAGE: &str = "{first_name} from {city} bought the {product}";

/// A write API of its own, and a store beside it.
pub(crate) struct Platform {
    store: Store,
    commands: Commands,
    opened: Arc<Opened>,
    site: SiteId,
    address: String,
    signer: Signer,
    batches: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Platform {
    /// On engines that are migrated.
    pub(crate) async fn open(connections: &Connections) -> Result<Self> {
        let secrets = Secrets::open(connections).await?;
        let app = App::open(Part::WriteApi, connections, &tuning()).await?;
        let commands = app
            .commands()
            .context("the write API has commands")?
            .clone();
        let opened = account::open(&commands, &secrets.api_keys, "Bench").await?;
        let site = NewSite {
            name: SiteName::parse("A shop")?,
            domain: Hostname::parse("shop.example.com")?,
            data_region: None,
        };
        let site = commands
            .sites
            .register(&call(opened.account), site)
            .await?
            .aggregate_id
            .into();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let stop = CancellationToken::new();
        tokio::spawn(app.serve_only(listener, stop.clone()));
        let keys_url = connections.keys_url()?;
        let store = tests::open_store(&connections.database_url, &keys_url, &connections.key_file);
        Ok(Self {
            store: store.await?,
            commands,
            opened: Arc::new(opened),
            site,
            address,
            signer: secrets.impressions,
            batches: Arc::default(),
            _stop: stop.drop_guard(),
        })
    }

    /// One event into a new stream each, through the lane.
    pub(crate) fn appends(&self, callers: usize) -> Result<Vec<AppendCaller>> {
        let caller = AppendCaller {
            store: self.store.clone(),
            event: drafted(self.site)?,
        };
        Ok(vec![caller; callers])
    }

    /// The same, where some events hold personal data.
    pub(crate) fn personal_appends(&self, callers: usize) -> Result<Vec<PersonalCaller>> {
        let caller = PersonalCaller::new(self.store.clone(), drafted(self.site)?);
        Ok(vec![caller; callers])
    }

    /// The whole command: look up, decide, append.
    pub(crate) fn commands(&self, callers: usize) -> Result<Vec<CommandCaller>> {
        let caller = CommandCaller {
            commands: self.commands.clone(),
            opened: self.opened.clone(),
            site: self.site,
            notification: NewNotification {
                name: NotificationName::parse(NAME)?,
                message: MessageTemplate::parse(MESSAGE)?,
            },
        };
        Ok(vec![caller; callers])
    }

    /// The same command over HTTP, authenticated and under an idempotency key; a connection per caller.
    pub(crate) async fn http_commands(&self, callers: usize) -> Result<Vec<HttpCommandCaller>> {
        let body = json!({ "name": NAME, "message": MESSAGE }).to_string();
        let mut all = Vec::with_capacity(callers);
        for _ in 0..callers {
            all.push(HttpCommandCaller {
                connection: Connection::open(&self.address).await?,
                path: format!("/v1/sites/{}/notifications", self.site),
                authorization: format!("Bearer {}", self.opened.key),
                body: body.clone(),
            });
        }
        Ok(all)
    }

    /// Batches of telemetry over HTTP, durable when answered.
    pub(crate) async fn collects(&self, callers: usize) -> Result<Vec<CollectCaller>> {
        let mut all = Vec::with_capacity(callers);
        for _ in 0..callers {
            all.push(CollectCaller {
                connection: Connection::open(&self.address).await?,
                account: self.opened.account.into(),
                signer: self.signer.clone(),
                batches: self.batches.clone(),
            });
        }
        Ok(all)
    }
}

/// Limits that nothing here reaches.
pub(crate) fn tuning() -> Tuning {
    Tuning {
        trusted_proxies: 0,
        collect_events_per_second: 100_000_000,
        collect_requests_per_second: 1_000_000,
        audit_retention_days: 2_557,
        tls_certificates: None,
        tls_private_key: None,
        other_regions: Vec::new(),
        backup_every_hours: None,
        backup_retention: replay_tools::backup::Retention::default(),
        webhook: proofline::webhook::WebhookArgs::default(),
    }
}

/// What the measured command is: of ours, and of whoever runs our aggregate.
pub(crate) fn draft(site: SiteId) -> Result<NotificationCommand> {
    Ok(NotificationCommand::Draft {
        site_id: site,
        name: NotificationName::parse(NAME)?,
        message: MessageTemplate::parse(MESSAGE)?,
        at: platform::clock::now(),
    })
}

/// What it comes to.
pub(crate) fn drafted(site: SiteId) -> Result<NewEvent> {
    let event = NotificationEvent::Drafted {
        site_id: site,
        name: NotificationName::parse(NAME)?,
        message: MessageTemplate::parse(MESSAGE)?,
        at: platform::clock::now(),
    };
    encode(&[event])?.pop().context("one event")
}

/// What stands beside every event that came in over HTTP.
pub(crate) fn metadata() -> Value {
    json!({ "request_id": Uuid::from_u128(0xbe7c), "source": "http" })
}

pub(crate) fn append(event: NewEvent, stream: Uuid, expected: i64) -> Append {
    let command_id = Uuid::now_v7();
    Append {
        tenant: Uuid::from_u128(1),
        stream: StreamId {
            aggregate_type: "notification".to_owned(),
            aggregate_id: stream.to_string(),
        },
        owner: stream,
        expected,
        origin: Origin {
            command_id,
            correlation_id: command_id,
            causation_id: None,
            actor: "bench".to_owned(),
            metadata: metadata(),
        },
        request_hash: None,
        excluded: Vec::new(),
        events: vec![NewEvent {
            id: Uuid::now_v7(),
            ..event
        }],
    }
}

pub(crate) fn call(account: AccountId) -> Call {
    let id = Uuid::now_v7();
    Call {
        account,
        actor: "bench".to_owned(),
        at: platform::clock::now(),
        correlation_id: id,
        request_id: id.to_string(),
        source: "bench",
        key: None,
        if_match: None,
        causation_id: None,
        reason: None,
    }
}

#[derive(Clone)]
pub(crate) struct AppendCaller {
    store: Store,
    event: NewEvent,
}

impl Caller for AppendCaller {
    async fn call(&mut self) -> Result<u64> {
        self.store
            .append(append(self.event.clone(), Uuid::now_v7(), 0))
            .await?;
        Ok(1)
    }
}

#[derive(Clone)]
pub(crate) struct CommandCaller {
    commands: Commands,
    opened: Arc<Opened>,
    site: SiteId,
    notification: NewNotification,
}

impl Caller for CommandCaller {
    async fn call(&mut self) -> Result<u64> {
        self.commands
            .notifications
            .draft(
                &call(self.opened.account),
                self.site,
                self.notification.clone(),
            )
            .await?;
        Ok(1)
    }
}

pub(crate) struct HttpCommandCaller {
    connection: Connection,
    path: String,
    authorization: String,
    body: String,
}

impl Caller for HttpCommandCaller {
    async fn call(&mut self) -> Result<u64> {
        let key = Uuid::now_v7().to_string();
        let headers = [
            ("authorization", &*self.authorization),
            ("idempotency-key", &*key),
        ];
        let status = self
            .connection
            .post(&self.path, &headers, self.body.clone())
            .await?;
        ensure!(status == 201, "a command was answered with {status}");
        Ok(1)
    }
}

pub(crate) struct CollectCaller {
    connection: Connection,
    account: Uuid,
    signer: Signer,
    batches: Arc<AtomicUsize>,
}

impl Caller for CollectCaller {
    async fn call(&mut self) -> Result<u64> {
        let now = platform::clock::now();
        let site = self.batches.fetch_add(1, Ordering::Relaxed) % SITES;
        let impression = Impression {
            account_id: self.account.into(),
            site_id: Uuid::from_u128(site as u128).into(),
            notification_id: Uuid::from_u128(7).into(),
            served_at: now,
        };
        let token = self.signer.sign(&impression.to_bytes());
        let events: Vec<Value> = (0..BATCH)
            .map(|_| {
                json!({ "id": Uuid::now_v7(), "type": "impression", "token": token, "occurred_at": now, "page": "/" })
            })
            .collect();
        let body = json!({ "events": events }).to_string();
        let status = self.connection.post("/collect", &[], body).await?;
        ensure!(status == 200, "a batch was answered with {status}");
        Ok(BATCH as u64)
    }
}
