use std::collections::HashMap;

use event_store::{Append, AppendError, Appended, NewEvent};
use uuid::Uuid;

/// What a store that does one thing after another holds and answers. Commands share nothing with those before `base`.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// The position that the log stood at before.
    base: i64,
    pub(super) log: Vec<Logged>,
    /// Request and result, by tenant and command.
    pub(super) done: HashMap<(Uuid, Uuid), ([u8; 32], Appended)>,
}

#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) position: i64,
    pub(super) tenant: Uuid,
    pub(super) stream: String,
    pub(super) sequence: i64,
    pub(super) command: Uuid,
    pub(super) event: NewEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    KeyReused,
    NotFound,
    Conflict { actual: i64 },
    ConditionFailed { position: i64 },
}

pub(super) type Answer = Result<Appended, Refusal>;

/// Panics at what has nothing to do with what the store holds.
pub(super) fn answer(result: Result<Appended, AppendError>) -> Answer {
    result.map_err(|error| match error {
        AppendError::KeyReused => Refusal::KeyReused,
        AppendError::NotFound => Refusal::NotFound,
        AppendError::Conflict { actual } => Refusal::Conflict { actual },
        AppendError::ConditionFailed { position } => Refusal::ConditionFailed { position },
        other => panic!("{other:?}"),
    })
}

impl Reference {
    pub(super) fn new(base: i64) -> Self {
        Self {
            base,
            log: Vec::new(),
            done: HashMap::new(),
        }
    }

    pub(super) fn head(&self) -> i64 {
        self.base + self.log.len() as i64
    }

    /// The stream's last event.
    pub(super) fn last_of(&self, stream: &str) -> Option<&Logged> {
        self.log.iter().rfind(|logged| logged.stream == stream)
    }

    pub(super) fn append(&mut self, append: &Append) -> Answer {
        let command = (append.tenant, append.origin.command_id);
        if let Some(hash) = append.request_hash
            && let Some((stored, appended)) = self.done.get(&command)
        {
            return if *stored == hash {
                Ok(Appended {
                    replayed: true,
                    ..appended.clone()
                })
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let stream = &append.stream.aggregate_id;
        let last = self.last_of(stream);
        if last.is_some_and(|logged| logged.tenant != append.tenant) {
            return Err(Refusal::NotFound);
        }
        let (position, actual) = last.map_or((0, 0), |logged| (logged.position, logged.sequence));
        if actual != append.expected {
            return Err(Refusal::Conflict { actual });
        }
        if let Some(position) = self.last_excluded(append) {
            return Err(Refusal::ConditionFailed { position });
        }
        for (event, sequence) in append.events.iter().zip(actual + 1..) {
            self.log.push(Logged {
                position: self.head() + 1,
                tenant: append.tenant,
                stream: stream.clone(),
                sequence,
                command: append.origin.command_id,
                event: event.clone(),
            });
        }
        let appended = Appended {
            aggregate_id: stream.clone(),
            version: actual + append.events.len() as i64,
            position: if append.events.is_empty() {
                position
            } else {
                self.head()
            },
            replayed: false,
        };
        if let Some(hash) = append.request_hash {
            self.done.insert(command, (hash, appended.clone()));
        }
        Ok(appended)
    }

    fn last_excluded(&self, append: &Append) -> Option<i64> {
        let excludes = |logged: &Logged| {
            let Logged {
                position, event, ..
            } = logged;
            append.excluded.iter().any(|excluded| {
                *position > excluded.after
                    && event.tags.contains(&excluded.tag)
                    && excluded.also.iter().all(|tag| event.tags.contains(tag))
                    && (excluded.types.is_empty() || excluded.types.contains(&event.event_type))
            })
        };
        let found = self.log.iter().rfind(|logged| excludes(logged));
        found.map(|logged| logged.position)
    }

    /// This log after the commands, in an order in which it answers to each what the store answered. The order in which
    /// commands that were sent at once were done is not known; the log is where it shows.
    pub(super) fn after(&self, sent: &[(&Append, &Answer)]) -> Option<Self> {
        if sent.is_empty() {
            return Some(self.clone());
        }
        (0..sent.len()).find_map(|next| {
            let (append, answer) = sent[next];
            let mut reference = self.clone();
            if reference.append(append) != *answer {
                return None;
            }
            reference.after(&[&sent[..next], &sent[next + 1..]].concat())
        })
    }
}
