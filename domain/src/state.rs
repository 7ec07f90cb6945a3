//! All aggregates as one type, for readers that fold any stream.

use cqrs_es::Aggregate as _;
use serde::Serialize;

use crate::account::Account;
use crate::activity::Activity;
use crate::data_subject::DataSubject;
use crate::event::Event;
use crate::integration::Integration;
use crate::notification::Notification;
use crate::site::Site;
use crate::words::Fact;

/// An aggregate of any type, as its events so far left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum State {
    Account(Account),
    Site(Site),
    Notification(Notification),
    Integration(Integration),
    Activity(Activity),
    DataSubject(DataSubject),
}

/// The event is one of another type of aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is one of another type of aggregate")]
pub struct OtherAggregate;

impl State {
    /// Before its first event. `None` for a stored name that this build does not know.
    pub fn absent(aggregate_type: &str) -> Option<Self> {
        Some(match aggregate_type {
            Account::TYPE => Self::Account(Account::default()),
            Site::TYPE => Self::Site(Site::default()),
            Notification::TYPE => Self::Notification(Notification::default()),
            Integration::TYPE => Self::Integration(Integration::default()),
            Activity::TYPE => Self::Activity(Activity::default()),
            DataSubject::TYPE => Self::DataSubject(DataSubject::default()),
            _ => return None,
        })
    }

    pub fn apply(&mut self, event: Event) -> Result<(), OtherAggregate> {
        match (self, event) {
            (Self::Account(account), Event::Account(event)) => account.apply(event),
            (Self::Site(site), Event::Site(event)) => site.apply(event),
            (Self::Notification(notification), Event::Notification(event)) => {
                notification.apply(event);
            }
            (Self::Integration(integration), Event::Integration(event)) => integration.apply(event),
            (Self::Activity(activity), Event::Activity(event)) => activity.apply(event),
            (Self::DataSubject(subject), Event::DataSubject(event)) => subject.apply(event),
            (
                Self::Account(_)
                | Self::Site(_)
                | Self::Notification(_)
                | Self::Integration(_)
                | Self::Activity(_)
                | Self::DataSubject(_),
                Event::Account(_)
                | Event::Site(_)
                | Event::Notification(_)
                | Event::Integration(_)
                | Event::Activity(_)
                | Event::DataSubject(_),
            ) => return Err(OtherAggregate),
        }
        Ok(())
    }

    /// What is so about it, in plain words, in the order in which a person would ask. Nothing before its first event.
    pub fn facts(&self) -> Vec<Fact> {
        match self {
            Self::Account(account) => account.facts(),
            Self::Site(site) => site.facts(),
            Self::Notification(notification) => notification.facts(),
            Self::Integration(integration) => integration.facts(),
            Self::Activity(activity) => activity.facts(),
            Self::DataSubject(subject) => subject.facts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountEvent;
    use crate::ids::ApiKeyId;

    #[test]
    fn every_stored_name_has_its_aggregate() {
        for (aggregate_type, _) in crate::EVENT_TYPES {
            let state = State::absent(aggregate_type).unwrap();
            assert!(state.facts().is_empty());
        }
        assert_eq!(State::absent("invoice"), None);
    }

    #[test]
    fn an_aggregate_does_not_take_another_ones_event() {
        let mut site = State::absent(Site::TYPE).unwrap();
        let revoked = AccountEvent::ApiKeyRevoked {
            key_id: ApiKeyId::from(uuid::Uuid::from_u128(1)),
            at: "2026-03-01T12:00:00Z".parse().unwrap(),
        };
        assert_eq!(site.apply(revoked.into()), Err(OtherAggregate));
    }
}
