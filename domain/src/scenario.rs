//! Given these events, when this command, then those events or that error.

use std::fmt::Debug;
use std::sync::LazyLock;

use chrono::{DateTime, TimeZone, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::ids::SiteId;

/// What the harness asks of an aggregate; all of ours have it.
pub(crate) trait Decider:
    Aggregate<Services = (), Command: Clone + Debug, Error: PartialEq> + Clone + Debug + PartialEq
{
}

impl<A> Decider for A where
    A: Aggregate<Services = (), Command: Clone + Debug, Error: PartialEq>
        + Clone
        + Debug
        + PartialEq
{
}

/// A state that events led to. Each aggregate's tests name it `type Scenario = crate::scenario::Scenario<…>`.
pub(crate) struct Scenario<A> {
    before: A,
}

impl<A: Decider> Scenario<A> {
    pub(crate) fn given(events: impl IntoIterator<Item = A::Event>) -> Self {
        Self {
            before: fold(events),
        }
    }

    pub(crate) fn when(self, command: A::Command) -> Outcome<A> {
        let mut after = self.before.clone();
        let result = handle(&mut after, command.clone());
        Outcome {
            before: self.before,
            command,
            result,
            after,
        }
    }
}

pub(crate) struct Outcome<A: Aggregate> {
    before: A,
    command: A::Command,
    result: Result<Vec<A::Event>, A::Error>,
    after: A,
}

impl<A: Decider> Outcome<A> {
    /// Exactly these events, at least one; and the same command again yields none.
    #[track_caller]
    pub(crate) fn then(mut self, expected: impl IntoIterator<Item = A::Event>) {
        let expected: Vec<_> = expected.into_iter().collect();
        assert!(!expected.is_empty(), "say then_nothing()");
        assert_eq!(self.result, Ok(expected), "{:?}", self.command);
        let again = handle(&mut self.after, self.command.clone());
        assert_eq!(again, Ok(vec![]), "again: {:?}", self.command);
    }

    /// Accepted, and already so.
    #[track_caller]
    pub(crate) fn then_nothing(self) {
        assert_eq!(self.result, Ok(vec![]), "{:?}", self.command);
        assert_eq!(self.after, self.before);
    }

    /// Refused, and nothing changed.
    #[track_caller]
    pub(crate) fn then_err(self, expected: A::Error) {
        assert_eq!(self.result, Err(expected), "{:?}", self.command);
        assert_eq!(self.after, self.before);
    }
}

/// Gives every sequence of the commands, up to `length_max`, to a new aggregate, and checks in each state on the way:
/// a command that was accepted yields no events when it is repeated, a refused one changes nothing, the state is what
/// its events add up to, and it survives being written down as a snapshot.
#[track_caller]
pub(crate) fn walk<A: Decider>(commands: &[A::Command], length_max: usize) {
    walk_on(&A::default(), &mut Vec::new(), commands, length_max);
}

#[track_caller]
fn walk_on<A: Decider>(
    state: &A,
    history: &mut Vec<A::Event>,
    commands: &[A::Command],
    length_left: usize,
) {
    assert_eq!(&fold::<A>(history.iter().cloned()), state, "{history:?}");
    let snapshot = serde_json::to_string(state).unwrap();
    assert_eq!(&serde_json::from_str::<A>(&snapshot).unwrap(), state);
    if length_left == 0 {
        return;
    }
    for command in commands {
        let mut after = state.clone();
        match handle(&mut after, command.clone()) {
            Ok(events) => {
                let again = handle(&mut after.clone(), command.clone());
                assert_eq!(again, Ok(vec![]), "again: {command:?} after {history:?}");
                let before = history.len();
                history.extend(events);
                walk_on(&after, history, commands, length_left - 1);
                history.truncate(before);
            }
            Err(_) => assert_eq!(&after, state, "refused: {command:?} after {history:?}"),
        }
    }
}

fn fold<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> A {
    let mut aggregate = A::default();
    for event in events {
        aggregate.apply(event);
    }
    aggregate
}

/// Through cqrs-es, as production does.
fn handle<A: Decider>(aggregate: &mut A, command: A::Command) -> Result<Vec<A::Event>, A::Error> {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().unwrap());
    RUNTIME.block_on(async {
        let sink = EventSink::default();
        aggregate.handle(command, &(), &sink).await?;
        Ok(sink.collect().await)
    })
}

/// When what is given happened.
pub(crate) fn morning() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 9, 30, 0).unwrap()
}

/// When the command comes.
pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

/// `00000000-0000-0000-0000-0000000000nn` in hexadecimal, as any id.
pub(crate) fn id<I: From<Uuid>>(number: u8) -> I {
    I::from(Uuid::from_u128(u128::from(number)))
}

pub(crate) fn site_id() -> SiteId {
    id(0x51)
}
