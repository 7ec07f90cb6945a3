//! Decides about a notification: drafted, published, paused and resumed at will, archived for good.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{NotificationCommand, NotificationError, NotificationEvent};
use crate::ids::SiteId;
use crate::message::MessageTemplate;
use crate::stored_names::stored_names;
use crate::text::NotificationName;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    drafted: Option<DraftedNotification>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftedNotification {
    pub site_id: SiteId,
    pub name: NotificationName,
    pub message: MessageTemplate,
    pub status: NotificationStatus,
}

stored_names! {
    pub enum NotificationStatus {
        Draft = "draft",
        Published = "published",
        Paused = "paused",
        Archived = "archived",
    }
}

impl Notification {
    /// `None` until it is drafted.
    pub fn drafted(&self) -> Option<&DraftedNotification> {
        self.drafted.as_ref()
    }

    pub fn decide(
        &self,
        command: NotificationCommand,
    ) -> Result<Vec<NotificationEvent>, NotificationError> {
        match command {
            NotificationCommand::Draft {
                site_id,
                name,
                message,
                at,
            } => self.draft(site_id, name, message, at),
            NotificationCommand::Publish { at } => self.publish(at),
            NotificationCommand::Pause { at } => self.pause(at),
            NotificationCommand::Resume { at } => self.resume(at),
            NotificationCommand::Archive { at } => self.archive(at),
        }
    }

    fn draft(
        &self,
        site_id: SiteId,
        name: NotificationName,
        message: MessageTemplate,
        at: DateTime<Utc>,
    ) -> Result<Vec<NotificationEvent>, NotificationError> {
        match &self.drafted {
            None => Ok(vec![NotificationEvent::Drafted {
                site_id,
                name,
                message,
                at,
            }]),
            Some(drafted)
                if drafted.site_id == site_id
                    && drafted.name == name
                    && drafted.message == message =>
            {
                Ok(vec![])
            }
            Some(_) => Err(NotificationError::AlreadyDrafted),
        }
    }

    fn publish(&self, at: DateTime<Utc>) -> Result<Vec<NotificationEvent>, NotificationError> {
        let &DraftedNotification {
            site_id, status, ..
        } = self.known()?;
        match status {
            NotificationStatus::Draft => Ok(vec![NotificationEvent::Published { site_id, at }]),
            NotificationStatus::Published => Ok(vec![]),
            NotificationStatus::Paused => Err(NotificationError::Paused),
            NotificationStatus::Archived => Err(NotificationError::Archived),
        }
    }

    fn pause(&self, at: DateTime<Utc>) -> Result<Vec<NotificationEvent>, NotificationError> {
        let &DraftedNotification {
            site_id, status, ..
        } = self.known()?;
        match status {
            NotificationStatus::Draft => Err(NotificationError::NotPublished),
            NotificationStatus::Published => Ok(vec![NotificationEvent::Paused { site_id, at }]),
            NotificationStatus::Paused => Ok(vec![]),
            NotificationStatus::Archived => Err(NotificationError::Archived),
        }
    }

    fn resume(&self, at: DateTime<Utc>) -> Result<Vec<NotificationEvent>, NotificationError> {
        let &DraftedNotification {
            site_id, status, ..
        } = self.known()?;
        match status {
            NotificationStatus::Draft => Err(NotificationError::NotPublished),
            NotificationStatus::Published => Ok(vec![]),
            NotificationStatus::Paused => Ok(vec![NotificationEvent::Resumed { site_id, at }]),
            NotificationStatus::Archived => Err(NotificationError::Archived),
        }
    }

    fn archive(&self, at: DateTime<Utc>) -> Result<Vec<NotificationEvent>, NotificationError> {
        let &DraftedNotification {
            site_id, status, ..
        } = self.known()?;
        match status {
            NotificationStatus::Draft
            | NotificationStatus::Published
            | NotificationStatus::Paused => Ok(vec![NotificationEvent::Archived { site_id, at }]),
            NotificationStatus::Archived => Ok(vec![]),
        }
    }

    fn known(&self) -> Result<&DraftedNotification, NotificationError> {
        self.drafted.as_ref().ok_or(NotificationError::NotDrafted)
    }

    fn set_status(&mut self, status: NotificationStatus) {
        if let Some(drafted) = &mut self.drafted {
            drafted.status = status;
        }
    }
}

impl Aggregate for Notification {
    const TYPE: &'static str = "notification"; // stored; never rename
    type Command = NotificationCommand;
    type Event = NotificationEvent;
    type Error = NotificationError;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        match event {
            NotificationEvent::Drafted {
                site_id,
                name,
                message,
                at: _,
            } => {
                self.drafted = Some(DraftedNotification {
                    site_id,
                    name,
                    message,
                    status: NotificationStatus::Draft,
                });
            }
            NotificationEvent::Published { .. } | NotificationEvent::Resumed { .. } => {
                self.set_status(NotificationStatus::Published);
            }
            NotificationEvent::Paused { .. } => self.set_status(NotificationStatus::Paused),
            NotificationEvent::Archived { .. } => self.set_status(NotificationStatus::Archived),
        }
    }
}
