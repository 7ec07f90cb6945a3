//! The command path. Its states stand as a table in docs/command-path.md, each with its test.

use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use domain::DomainError;
use event_store::{Append, AppendError, Appended, Loaded, Store, StreamId, Token};
use uuid::Uuid;

use crate::cache::AggregateCache;
use crate::call::{Call, ClientKey};
use crate::error::CommandError;

/// How often a command is decided before its caller is told that others keep changing the aggregate.
const DECISIONS_MAX: usize = 16;

/// What a command answers with, when it is done and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub aggregate_id: Uuid,
    pub version: i64,
    /// Where to wait for in a read that must see the command.
    pub position: Token,
    /// The command was done before, under the same key.
    pub replayed: bool,
    /// This call appended events. Not so for a replay, or where the wanted state was there already.
    pub changed: bool,
}

/// Loads, decides, appends. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Executor {
    store: Store,
    cache: AggregateCache,
}

/// An aggregate, and whether it was read in this attempt.
struct Current<A> {
    loaded: Arc<Loaded<A>>,
    fresh: bool,
}

impl Executor {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            cache: AggregateCache::new(),
        }
    }

    /// Runs a command on one aggregate. `owner` is the site where there is one, else the account.
    pub async fn execute<A>(
        &self,
        call: &Call,
        owner: Uuid,
        id: Uuid,
        command: A::Command,
    ) -> Result<Committed, CommandError>
    where
        A: Aggregate<Services = ()> + Clone + 'static,
        A::Command: Clone + Send + Sync,
        A::Event: 'static,
        A::Error: DomainError,
    {
        let tenant = Uuid::from(call.account);
        let text = id.to_string();
        if let Some(committed) = self.find_done(tenant, call.key.as_ref()).await? {
            return Ok(committed);
        }
        let mut must_be_fresh = false;
        for _ in 0..DECISIONS_MAX {
            let current = self.current::<A>(tenant, &text, must_be_fresh).await?;
            must_be_fresh = true;
            let loaded = &current.loaded;
            if let Some(expected) = call.if_match
                && expected != loaded.version
            {
                if self.confirmed::<A>(&current, &text).await? {
                    return Err(CommandError::VersionMismatch {
                        actual: loaded.version,
                    });
                }
                continue;
            }
            let (decided, events) = match decide(&loaded.aggregate, command.clone()).await {
                Ok(decision) => decision,
                Err(refusal) => {
                    if self.confirmed::<A>(&current, &text).await? {
                        return Err(CommandError::Refused(Box::new(refusal)));
                    }
                    continue;
                }
            };
            if events.is_empty() && call.key.is_none() {
                if self.confirmed::<A>(&current, &text).await? {
                    return Ok(self.committed(id, loaded.version, loaded.last_position));
                }
                continue;
            }
            let has_events = !events.is_empty();
            let append = Append {
                tenant,
                stream: StreamId {
                    aggregate_type: A::TYPE.to_owned(),
                    aggregate_id: text.clone(),
                },
                owner,
                expected: loaded.version,
                origin: call.origin(),
                request_hash: call.key.map(|key| key.request_hash()),
                events: event_store::encode(&events)?,
            };
            match self.store.append(append).await {
                Ok(appended) => {
                    let committed = self.done(tenant, decided, &appended)?;
                    return Ok(Committed {
                        replayed: appended.replayed,
                        changed: has_events && !appended.replayed,
                        ..committed
                    });
                }
                Err(AppendError::Conflict { .. }) => {
                    self.cache.forget::<A>(tenant, &text);
                    metrics::counter!("proofline_command_conflicts_total", "aggregate" => A::TYPE)
                        .increment(1);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommandError::Contended)
    }

    /// The aggregate as it may stand, for a look-up of facts that never change once they are there. Read from the
    /// store where the cache does not have it or has only its absence.
    pub async fn load<A>(&self, tenant: Uuid, id: Uuid) -> Result<Arc<Loaded<A>>, CommandError>
    where
        A: Aggregate + Clone + 'static,
    {
        Ok(self
            .current::<A>(tenant, &id.to_string(), false)
            .await?
            .loaded)
    }

    /// The aggregate as it stood a moment ago, for a command that is made conditional on its version.
    pub(crate) async fn load_fresh<A>(
        &self,
        tenant: Uuid,
        id: Uuid,
    ) -> Result<Arc<Loaded<A>>, CommandError>
    where
        A: Aggregate + Clone + 'static,
    {
        Ok(self
            .current::<A>(tenant, &id.to_string(), true)
            .await?
            .loaded)
    }

    /// The aggregate as it stands now, read from the store.
    pub(crate) async fn load_current<A>(
        &self,
        tenant: Uuid,
        id: Uuid,
    ) -> Result<Arc<Loaded<A>>, CommandError>
    where
        A: Aggregate + Clone + 'static,
    {
        Ok(self
            .current::<A>(tenant, &id.to_string(), true)
            .await?
            .loaded)
    }

    /// Whose a stream is; `None` where it has no event.
    pub(crate) async fn tenant_of(&self, stream: &StreamId) -> Result<Option<Uuid>, CommandError> {
        Ok(self
            .store
            .streams()
            .head(stream)
            .await?
            .map(|head| head.tenant))
    }

    /// The stored result of a command that was done before under its key, whatever it would decide now.
    async fn find_done(
        &self,
        tenant: Uuid,
        key: Option<&ClientKey>,
    ) -> Result<Option<Committed>, CommandError> {
        let Some(key) = key else { return Ok(None) };
        let Some(done) = self.store.find_command(tenant, key.command_id()).await? else {
            return Ok(None);
        };
        if done.request_hash != key.request_hash() {
            return Err(CommandError::KeyReused);
        }
        let id = parse_id(&done.aggregate_id)?;
        Ok(Some(Committed {
            replayed: true,
            ..self.committed(id, done.version, done.last_position)
        }))
    }

    async fn current<A>(
        &self,
        tenant: Uuid,
        id: &str,
        must_be_fresh: bool,
    ) -> Result<Current<A>, CommandError>
    where
        A: Aggregate + 'static,
    {
        if !must_be_fresh && let Some(loaded) = self.cache.get::<A>(tenant, id) {
            return Ok(Current {
                loaded,
                fresh: false,
            });
        }
        let loaded = Arc::new(self.store.streams().load::<A>(tenant, id).await?);
        // What is not there yet is not cached: it takes no space, and its coming would not be noticed.
        if loaded.version > 0 {
            self.cache.put(tenant, id, loaded.clone());
        }
        Ok(Current {
            loaded,
            fresh: true,
        })
    }

    /// Whether a decision against the command was made on the stream's head. A cached aggregate may be behind.
    async fn confirmed<A: Aggregate>(
        &self,
        current: &Current<A>,
        id: &str,
    ) -> Result<bool, CommandError> {
        if current.fresh {
            return Ok(true);
        }
        let stream = StreamId {
            aggregate_type: A::TYPE.to_owned(),
            aggregate_id: id.to_owned(),
        };
        let head = self.store.streams().head(&stream).await?;
        Ok(head.is_some_and(|head| head.version == current.loaded.version))
    }

    /// Keeps the decided aggregate, unless the stored result of an earlier one was returned.
    fn done<A>(
        &self,
        tenant: Uuid,
        decided: A,
        appended: &Appended,
    ) -> Result<Committed, CommandError>
    where
        A: Aggregate + 'static,
    {
        if appended.replayed || appended.version == 0 {
            self.cache.forget::<A>(tenant, &appended.aggregate_id);
        } else {
            let loaded = Loaded {
                aggregate: decided,
                version: appended.version,
                last_position: appended.position,
            };
            self.cache
                .put(tenant, &appended.aggregate_id, Arc::new(loaded));
        }
        let id = parse_id(&appended.aggregate_id)?;
        Ok(self.committed(id, appended.version, appended.position))
    }

    fn committed(&self, aggregate_id: Uuid, version: i64, position: i64) -> Committed {
        Committed {
            aggregate_id,
            version,
            position: self.store.token(position),
            replayed: false,
            changed: false,
        }
    }
}

/// Decides on a copy: the sink applies what is decided.
async fn decide<A>(aggregate: &A, command: A::Command) -> Result<(A, Vec<A::Event>), A::Error>
where
    A: Aggregate<Services = ()> + Clone,
{
    let mut decided = aggregate.clone();
    let sink = EventSink::default();
    decided.handle(command, &(), &sink).await?;
    Ok((decided, sink.collect().await))
}

fn parse_id(text: &str) -> Result<Uuid, CommandError> {
    Uuid::parse_str(text).map_err(|error| CommandError::Internal(Box::new(error)))
}
