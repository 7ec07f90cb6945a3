//! The command path. Its states stand as a table in docs/command-path.md, each with its test.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use domain::DomainError;
use event_store::{
    Append, AppendError, Appended, Excluded, Loaded, SnapshotSchema, Store, StreamId, Tag, Tagged,
    Token,
};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::cache::AggregateCache;
use crate::call::{Call, ClientKey};
use crate::error::CommandError;
use crate::secrets::Secrets;
use crate::snapshots::Kept;

/// How often a command is decided before its caller is told that others keep changing the aggregate. Within a process
/// commands take turns; against another process each decision is won by chance, and chance has runs on a busy machine.
const DECISIONS_MAX: usize = 64;
const TURNS: usize = 64;

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
    secrets: Secrets,
    cache: AggregateCache,
    turns: Arc<Turns>,
}

/// What a command is about.
struct Target {
    tenant: Uuid,
    owner: Uuid,
    id: Uuid,
    stream: StreamId,
    claim: Claim,
}

/// What a command takes for its aggregate alone, across streams.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// On every event of the command.
    pub tags: Vec<Tag>,
    /// What must not have happened. Where it has, the command is refused with [`CommandError::Taken`].
    pub excluded: Vec<Excluded>,
}

/// How one attempt ended.
enum Attempt {
    Done(Committed),
    /// Decided on what is not so any more.
    Again,
    Denied(CommandError),
}

/// Locks that commands on contended streams take turns by; a few streams share one.
struct Turns([tokio::sync::Mutex<()>; TURNS]);

impl Turns {
    async fn take(&self, stream: &StreamId) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        let [.., last] = hasher.finish().to_be_bytes();
        self.0[usize::from(last) % TURNS].lock().await
    }
}

/// An aggregate, and whether it was read in this attempt; else it is from the cache, or only thought to be absent.
struct Current<A> {
    loaded: Arc<Loaded<A>>,
    fresh: bool,
}

impl Executor {
    pub fn new(store: Store, secrets: Secrets) -> Self {
        Self {
            store,
            secrets,
            cache: AggregateCache::new(),
            turns: Arc::new(Turns(std::array::from_fn(|_| {
                tokio::sync::Mutex::default()
            }))),
        }
    }

    /// Where the log's data may lie.
    pub(crate) fn region(&self) -> Option<&str> {
        self.store.region()
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
        A: Kept<Services = ()> + Clone + 'static,
        A::Command: Clone + Send + Sync,
        A::Event: 'static,
        A::Error: DomainError,
    {
        let target = Target::new::<A>(call, owner, id, Claim::default());
        let run = self.run::<A>(call, &target, command);
        run.instrument(target.span()).await
    }

    /// Runs a command that, as a rule, makes the aggregate that it names. Where the cache does not know better, nothing is
    /// read first: the lane itself looks at the command's key and at the stream. Whatever comes of it but success is
    /// decided once more, with reading.
    pub(crate) async fn execute_new<A>(
        &self,
        call: &Call,
        owner: Uuid,
        id: Uuid,
        command: A::Command,
        claim: Claim,
    ) -> Result<Committed, CommandError>
    where
        A: Kept<Services = ()> + Clone + 'static,
        A::Command: Clone + Send + Sync,
        A::Event: 'static,
        A::Error: DomainError,
    {
        let target = Target::new::<A>(call, owner, id, claim);
        let run = async {
            let cached = self
                .cache
                .get::<A>(target.tenant, &target.stream.aggregate_id);
            if cached.is_none() {
                let absent = Current {
                    loaded: Arc::new(Loaded::<A>::absent()),
                    fresh: false,
                };
                match self
                    .attempt_on(call, &target, command.clone(), absent)
                    .await
                {
                    Ok(Attempt::Done(committed)) => return Ok(committed),
                    Ok(Attempt::Again | Attempt::Denied(_)) => {}
                    // Not to be sent, because a value is refused: the command may have been done when it was not.
                    Err(CommandError::Internal(_) | CommandError::SubjectErased) => {}
                    // By what the lane can tell, which does not know of rows from before hashes were blinded.
                    Err(CommandError::KeyReused) => {}
                    Err(error) => return Err(error),
                }
            }
            self.run::<A>(call, &target, command).await
        };
        run.instrument(target.span()).await
    }

    async fn run<A>(
        &self,
        call: &Call,
        target: &Target,
        command: A::Command,
    ) -> Result<Committed, CommandError>
    where
        A: Kept<Services = ()> + Clone + 'static,
        A::Command: Clone + Send + Sync,
        A::Event: 'static,
        A::Error: DomainError,
    {
        let tenant = target.tenant;
        if let Some(committed) = self.find_done(tenant, call.key.as_ref()).await? {
            return Ok(committed);
        }
        let mut turn = None;
        for attempt in 0..DECISIONS_MAX {
            // Whoever was too late once takes turns with the others of this process, so that all get through.
            if attempt == 1 {
                turn = Some(self.turns.take(&target.stream).await);
            }
            let fresh = turn.is_some();
            let current = self
                .current::<A>(tenant, &target.stream.aggregate_id, fresh)
                .await?;
            match self
                .attempt_on(call, target, command.clone(), current)
                .await?
            {
                Attempt::Done(committed) => return Ok(committed),
                Attempt::Again => {}
                Attempt::Denied(error) => return self.deny(call, tenant, error).await,
            }
        }
        self.deny(call, tenant, CommandError::Contended).await
    }

    /// Decides once, and appends what is decided.
    async fn attempt_on<A>(
        &self,
        call: &Call,
        target: &Target,
        command: A::Command,
        current: Current<A>,
    ) -> Result<Attempt, CommandError>
    where
        A: Kept<Services = ()> + Clone + 'static,
        A::Error: DomainError,
    {
        let loaded = &current.loaded;
        let actual = loaded.version;
        if call.if_match.is_some_and(|expected| expected != actual) {
            let denied = CommandError::VersionMismatch { actual };
            return self
                .confirm(&current, target, Attempt::Denied(denied))
                .await;
        }
        let (decided, events) = match decide(&loaded.aggregate, command).await {
            Ok(decision) => decision,
            Err(refusal) => {
                let denied = CommandError::Refused(Box::new(refusal));
                return self
                    .confirm(&current, target, Attempt::Denied(denied))
                    .await;
            }
        };
        if events.is_empty() && call.key.is_none() {
            let done = self.committed(target.id, actual, loaded.last_position);
            return self.confirm(&current, target, Attempt::Done(done)).await;
        }
        let mut encoded = event_store::encode(&events)?;
        for event in &mut encoded {
            event.tags.clone_from(&target.claim.tags);
        }
        let append = Append {
            tenant: target.tenant,
            stream: target.stream.clone(),
            owner: target.owner,
            expected: actual,
            origin: call.origin(),
            request_hash: call.key.map(|key| self.secrets.blind(key.request_hash())),
            // Where the wanted state is there already, the claim was made by what made it so.
            excluded: if encoded.is_empty() {
                Vec::new()
            } else {
                target.claim.excluded.clone()
            },
            events: encoded,
        };
        match self.store.append(append).await {
            Ok(appended) => {
                let committed = self.done(target.tenant, decided, &appended)?;
                Ok(Attempt::Done(Committed {
                    replayed: appended.replayed,
                    changed: !events.is_empty() && !appended.replayed,
                    ..committed
                }))
            }
            Err(AppendError::Conflict { .. }) => {
                self.cache
                    .forget::<A>(target.tenant, &target.stream.aggregate_id);
                metrics::counter!("proofline_command_conflicts_total", "aggregate" => A::TYPE)
                    .increment(1);
                Ok(Attempt::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Before a command under a key is denied: the same command may have been done meanwhile, by a request that this one
    /// repeats, and be the very reason of the denial.
    pub(crate) async fn deny(
        &self,
        call: &Call,
        tenant: Uuid,
        error: CommandError,
    ) -> Result<Committed, CommandError> {
        self.find_done(tenant, call.key.as_ref())
            .await?
            .ok_or(error)
    }

    /// The aggregate as it may stand, for a look-up of facts that never change once they are there. Read from the
    /// store where the cache does not have it or has only its absence.
    pub async fn load<A>(&self, tenant: Uuid, id: Uuid) -> Result<Arc<Loaded<A>>, CommandError>
    where
        A: Kept + Clone + 'static,
    {
        Ok(self
            .current::<A>(tenant, &id.to_string(), false)
            .await?
            .loaded)
    }

    /// The tenant's last event that has the tag and one of the types.
    pub(crate) async fn tagged(
        &self,
        tenant: Uuid,
        tag: &Tag,
        types: &[&str],
    ) -> Result<Option<Tagged>, CommandError> {
        Ok(self.store.tagged(tenant, tag, types).await?)
    }

    /// The aggregate as it stands now, read from the store.
    pub(crate) async fn load_current<A>(
        &self,
        tenant: Uuid,
        id: Uuid,
    ) -> Result<Arc<Loaded<A>>, CommandError>
    where
        A: Kept + Clone + 'static,
    {
        Ok(self
            .current::<A>(tenant, &id.to_string(), true)
            .await?
            .loaded)
    }

    /// Whose an aggregate is, and the aggregate at the head of its stream; `None` where it has no event.
    pub(crate) async fn load_of_any_tenant<A>(
        &self,
        id: Uuid,
    ) -> Result<Option<(Uuid, Arc<Loaded<A>>)>, CommandError>
    where
        A: Kept + Clone + 'static,
    {
        let stream = StreamId::of::<A>(&id.to_string());
        let Some(head) = self.store.streams().head(&stream).await? else {
            return Ok(None);
        };
        let mut loaded = self.load::<A>(head.tenant, id).await?;
        if loaded.version != head.version {
            loaded = self.load_current::<A>(head.tenant, id).await?;
        }
        Ok(Some((head.tenant, loaded)))
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
        let hash = key.request_hash();
        // Rows from before hashes were blinded have it as it is.
        if done.request_hash != self.secrets.blind(hash) && done.request_hash != hash {
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
        A: Kept + 'static,
    {
        if !must_be_fresh && let Some(loaded) = self.cache.get::<A>(tenant, id) {
            return Ok(Current {
                loaded,
                fresh: false,
            });
        }
        let streams = self.store.streams();
        let loaded = Arc::new(match A::SNAPSHOTS.map(SnapshotSchema::of::<A>) {
            Some(schema) => streams.load_kept::<A>(tenant, id, schema).await?,
            None => streams.load::<A>(tenant, id).await?,
        });
        // What is not there yet is not cached: it takes no space, and its coming would not be noticed.
        if loaded.version > 0 {
            self.cache.put(tenant, id, loaded.clone());
        }
        Ok(Current {
            loaded,
            fresh: true,
        })
    }

    /// Lets a decision that appends nothing stand where it was made on the stream's head. A cached aggregate may be
    /// behind.
    async fn confirm<A>(
        &self,
        current: &Current<A>,
        target: &Target,
        decision: Attempt,
    ) -> Result<Attempt, CommandError> {
        if current.fresh {
            return Ok(decision);
        }
        // Nothing of it is known yet.
        if current.loaded.version == 0 {
            return Ok(Attempt::Again);
        }
        let head = self.store.streams().head(&target.stream).await?;
        if head.is_some_and(|head| head.version == current.loaded.version) {
            Ok(decision)
        } else {
            Ok(Attempt::Again)
        }
    }

    /// Keeps the decided aggregate, unless the stored result of an earlier one was returned.
    fn done<A>(
        &self,
        tenant: Uuid,
        decided: A,
        appended: &Appended,
    ) -> Result<Committed, CommandError>
    where
        A: Kept + 'static,
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

impl Target {
    fn new<A: Aggregate>(call: &Call, owner: Uuid, id: Uuid, claim: Claim) -> Self {
        Self {
            tenant: call.account.into(),
            owner,
            id,
            stream: StreamId::of::<A>(&id.to_string()),
            claim,
        }
    }

    fn span(&self) -> Span {
        tracing::debug_span!(
            "command",
            "aggregate.type" = self.stream.aggregate_type,
            aggregate.id = self.stream.aggregate_id
        )
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
