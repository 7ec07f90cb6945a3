//! Notifications of a site.

use domain::notification::{Notification, NotificationCommand};
use domain::{MessageTemplate, NotificationId, NotificationName, SiteId};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::site::Sites;

#[derive(Clone)]
pub struct Notifications {
    executor: Executor,
    sites: Sites,
}

/// What a merchant says of a new notification.
#[derive(Clone, Debug)]
pub struct NewNotification {
    pub name: NotificationName,
    pub message: MessageTemplate,
}

impl Notifications {
    pub(crate) fn new(executor: Executor, sites: Sites) -> Self {
        Self { executor, sites }
    }

    pub async fn draft(
        &self,
        call: &Call,
        site_id: SiteId,
        notification: NewNotification,
    ) -> Result<Committed, CommandError> {
        self.sites.require(call.account, site_id).await?;
        let NewNotification { name, message } = notification;
        let command = NotificationCommand::Draft {
            site_id,
            name,
            message,
            at: call.at,
        };
        self.executor
            .execute_new::<Notification>(
                call,
                site_id.into(),
                call.new_id(),
                command,
                Claim::default(),
            )
            .await
    }

    pub async fn publish(
        &self,
        call: &Call,
        site: SiteId,
        id: NotificationId,
    ) -> Result<Committed, CommandError> {
        self.on_drafted(call, site, id, NotificationCommand::Publish { at: call.at })
            .await
    }

    pub async fn pause(
        &self,
        call: &Call,
        site: SiteId,
        id: NotificationId,
    ) -> Result<Committed, CommandError> {
        self.on_drafted(call, site, id, NotificationCommand::Pause { at: call.at })
            .await
    }

    pub async fn resume(
        &self,
        call: &Call,
        site: SiteId,
        id: NotificationId,
    ) -> Result<Committed, CommandError> {
        self.on_drafted(call, site, id, NotificationCommand::Resume { at: call.at })
            .await
    }

    pub async fn archive(
        &self,
        call: &Call,
        site: SiteId,
        id: NotificationId,
    ) -> Result<Committed, CommandError> {
        self.on_drafted(call, site, id, NotificationCommand::Archive { at: call.at })
            .await
    }

    /// A notification keeps its site for ever, so the look-up may be as old as the cache.
    async fn on_drafted(
        &self,
        call: &Call,
        site: SiteId,
        id: NotificationId,
        command: NotificationCommand,
    ) -> Result<Committed, CommandError> {
        let loaded = self
            .executor
            .load::<Notification>(call.account.into(), id.into())
            .await?;
        match loaded.aggregate.drafted() {
            Some(drafted) if drafted.site_id == site => {
                self.executor
                    .execute::<Notification>(call, site.into(), id.into(), command)
                    .await
            }
            _ => Err(CommandError::NotFound),
        }
    }
}
