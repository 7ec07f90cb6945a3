//! The store under the traits of cqrs-es: loading an aggregate, and the framework's own `EventStore`.

use std::collections::HashMap;
use std::marker::PhantomData;

use cqrs_es::persist::{EventStoreAggregateContext, SerializedEvent};
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventEnvelope, EventStore};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::append::{Append, AppendError, NewEvent, Origin};
use crate::store::{RecordedEvent, Store, StoreError, StreamId, Streams};

/// An aggregate folded from its stream.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    pub aggregate: A,
    /// 0 where the stream has no event.
    pub version: i64,
    pub last_position: i64,
}

impl<A: Default> Loaded<A> {
    /// What a stream without events folds to.
    pub fn absent() -> Self {
        Self {
            aggregate: A::default(),
            version: 0,
            last_position: 0,
        }
    }
}

impl Streams {
    /// Folds the stream, personal data opened. A stream of another tenant is not found; one without events is a
    /// default aggregate at version 0.
    pub async fn load<A: Aggregate>(
        &self,
        tenant: Uuid,
        aggregate_id: &str,
    ) -> Result<Loaded<A>, StoreError> {
        let events = self
            .events_after(&StreamId::of::<A>(aggregate_id), 0)
            .await?;
        let mut loaded = Loaded::absent();
        self.fold(tenant, &mut loaded, events).await?;
        Ok(loaded)
    }

    /// Applies the stream's next events.
    pub(crate) async fn fold<A: Aggregate>(
        &self,
        tenant: Uuid,
        loaded: &mut Loaded<A>,
        events: Vec<RecordedEvent>,
    ) -> Result<(), StoreError> {
        for event in events {
            if event.tenant != tenant {
                return Err(StoreError::NotFound);
            }
            loaded.version = event.sequence;
            loaded.last_position = event.position;
            loaded.aggregate.apply(self.decode::<A>(event).await?);
        }
        Ok(())
    }

    /// Opens, upcasts and decodes a stored event.
    async fn decode<A: Aggregate>(&self, event: RecordedEvent) -> Result<A::Event, StoreError> {
        let (id, event_type) = (event.event_id, event.event_type.clone());
        let failed = |source| StoreError::Decode {
            event: id,
            event_type: event_type.clone(),
            source,
        };
        let mut payload = event.payload_value().map_err(failed)?;
        self.vault()
            .open(event.tenant, id, &mut payload)
            .await
            .map_err(|source| StoreError::Open { event: id, source })?;
        let upcast = self
            .upcasters()
            .iter()
            .fold(serialized(event, payload), |event, upcaster| {
                if upcaster.can_upcast(&event.event_type, &event.event_version) {
                    upcaster.upcast(event)
                } else {
                    event
                }
            });
        serde_json::from_value(tagged(&upcast.event_type, upcast.payload)).map_err(failed)
    }
}

/// Encodes a decision for the lane; ids are UUID v7.
pub fn encode<E: DomainEvent>(events: &[E]) -> Result<Vec<NewEvent>, StoreError> {
    events.iter().map(encode_one).collect()
}

/// Events are enums tagged with their stored name; what is stored is the content alone, since the name has a column.
fn encode_one<E: DomainEvent>(event: &E) -> Result<NewEvent, StoreError> {
    let event_type = event.event_type();
    match serde_json::to_value(event) {
        Ok(Value::Object(mut tagged)) if tagged.len() == 1 => match tagged.remove(&event_type) {
            Some(payload @ Value::Object(_)) => Ok(NewEvent {
                id: Uuid::now_v7(),
                event_version: event.event_version(),
                event_type,
                payload,
                tags: Vec::new(),
            }),
            _ => Err(StoreError::Encode { event_type }),
        },
        _ => Err(StoreError::Encode { event_type }),
    }
}

fn tagged(event_type: &str, payload: Value) -> Value {
    Value::Object(Map::from_iter([(event_type.to_owned(), payload)]))
}

fn serialized(event: RecordedEvent, payload: Value) -> SerializedEvent {
    SerializedEvent {
        aggregate_id: event.stream.aggregate_id,
        sequence: event.sequence as usize,
        aggregate_type: event.stream.aggregate_type,
        event_type: event.event_type,
        event_version: event.event_version,
        payload,
        metadata: Value::Null,
    }
}

/// On whose behalf the framework works: its traits name neither tenant nor owner.
#[derive(Clone, Debug)]
pub struct Scope {
    pub tenant: Uuid,
    pub owner: Uuid,
    pub actor: String,
}

/// `cqrs_es::EventStore` over our store, within one scope. `CqrsFramework` runs on it; its `execute` returns nothing,
/// so the platform's own executor, which returns version and position, uses [`Store`] directly.
pub struct AggregateStore<A> {
    store: Store,
    scope: Scope,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> AggregateStore<A> {
    pub fn new(store: Store, scope: Scope) -> Self {
        Self {
            store,
            scope,
            aggregate: PhantomData,
        }
    }

    async fn envelopes(&self, aggregate_id: &str) -> Result<Vec<EventEnvelope<A>>, StoreError> {
        let mut envelopes = Vec::new();
        for event in self
            .store
            .streams()
            .events_after(&StreamId::of::<A>(aggregate_id), 0)
            .await?
        {
            if event.tenant != self.scope.tenant {
                return Err(StoreError::NotFound);
            }
            let metadata = serde_json::from_str(event.metadata.get()).map_err(|source| {
                StoreError::Decode {
                    event: event.event_id,
                    event_type: event.event_type.clone(),
                    source,
                }
            })?;
            envelopes.push(EventEnvelope {
                aggregate_id: aggregate_id.to_owned(),
                sequence: event.sequence as usize,
                payload: self.store.streams().decode::<A>(event).await?,
                metadata,
            });
        }
        Ok(envelopes)
    }
}

impl<A: Aggregate> EventStore<A> for AggregateStore<A> {
    type AC = EventStoreAggregateContext<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        self.envelopes(aggregate_id).await.map_err(load_failed)
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<Self::AC, AggregateError<A::Error>> {
        let loaded = self
            .store
            .streams()
            .load::<A>(self.scope.tenant, aggregate_id)
            .await
            .map_err(load_failed)?;
        Ok(EventStoreAggregateContext {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: loaded.aggregate,
            current_sequence: loaded.version as usize,
            current_snapshot: None,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Self::AC,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let command_id = Uuid::now_v7();
        let append = Append {
            tenant: self.scope.tenant,
            stream: StreamId::of::<A>(&context.aggregate_id),
            owner: self.scope.owner,
            expected: context.current_sequence as i64,
            origin: Origin {
                command_id,
                correlation_id: command_id,
                causation_id: None,
                actor: self.scope.actor.clone(),
                metadata: metadata
                    .iter()
                    .map(|(key, value)| (key.clone(), Value::from(value.clone())))
                    .collect(),
            },
            request_hash: None,
            excluded: Vec::new(),
            events: encode(&events).map_err(load_failed)?,
        };
        if !append.events.is_empty() {
            self.store.append(append).await.map_err(commit_failed)?;
        }
        Ok(events
            .into_iter()
            .zip(context.current_sequence + 1..)
            .map(|(payload, sequence)| EventEnvelope {
                aggregate_id: context.aggregate_id.clone(),
                sequence,
                payload,
                metadata: metadata.clone(),
            })
            .collect())
    }
}

fn load_failed<E: std::error::Error>(error: StoreError) -> AggregateError<E> {
    match error {
        StoreError::Decode { .. } | StoreError::Open { .. } => {
            AggregateError::DeserializationError(Box::new(error))
        }
        StoreError::Encode { .. } | StoreError::NotFound => {
            AggregateError::UnexpectedError(Box::new(error))
        }
        StoreError::ReadLog(_)
        | StoreError::ReadHead(_)
        | StoreError::ReadEvents(_)
        | StoreError::ReadSnapshot(_)
        | StoreError::ReadCommand(_)
        | StoreError::ReadTag(_) => AggregateError::DatabaseConnectionError(Box::new(error)),
    }
}

fn commit_failed<E: std::error::Error>(error: AppendError) -> AggregateError<E> {
    match error {
        AppendError::Conflict { .. } => AggregateError::AggregateConflict,
        AppendError::Unavailable(_) | AppendError::Overloaded | AppendError::Ended => {
            AggregateError::DatabaseConnectionError(Box::new(error))
        }
        other => AggregateError::UnexpectedError(Box::new(other)),
    }
}
