//! Decides about an activity, whose id is its identity: recorded at most once, withdrawn for good.
//!
//! Shops repeat and reorder their messages, so a second record or withdrawal changes nothing, and a withdrawal may
//! come first. Of the person, the state keeps nothing but the id.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{ActivityCommand, ActivityError, ActivityEvent, WithdrawalReason};
use crate::ids::{IntegrationId, SiteId, SubjectId};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    status: ActivityStatus,
    buyer: Option<SubjectId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityStatus {
    #[default]
    Unknown,
    Recorded {
        site_id: SiteId,
    },
    Withdrawn {
        site_id: SiteId,
    },
}

impl Activity {
    pub fn status(&self) -> ActivityStatus {
        self.status
    }

    /// Under which id its buyer is kept; `None` where nobody knows or may know.
    pub fn buyer(&self) -> Option<SubjectId> {
        self.buyer
    }

    pub fn decide(&self, command: ActivityCommand) -> Result<Vec<ActivityEvent>, ActivityError> {
        match command {
            ActivityCommand::Record {
                site_id,
                integration_id,
                external_id,
                kind,
                occurred_at,
                buyer,
                product,
                items_count,
                total,
                at,
            } => self.record(ActivityEvent::Recorded {
                site_id,
                integration_id,
                external_id,
                kind,
                occurred_at,
                buyer,
                product,
                items_count,
                total,
                at,
            }),
            ActivityCommand::Withdraw {
                site_id,
                integration_id,
                reason,
                at,
            } => self.withdraw(site_id, integration_id, reason, at),
            ActivityCommand::ForgetBuyer { at } => Ok(match self.status {
                ActivityStatus::Recorded { site_id } if self.buyer.is_some() => {
                    vec![ActivityEvent::BuyerForgotten { site_id, at }]
                }
                ActivityStatus::Recorded { .. } => vec![],
                // Nothing is kept of its buyer but the log.
                ActivityStatus::Unknown | ActivityStatus::Withdrawn { .. } => vec![],
            }),
        }
    }

    fn record(&self, recorded: ActivityEvent) -> Result<Vec<ActivityEvent>, ActivityError> {
        self.check_site(recorded.site_id())?;
        match self.status {
            ActivityStatus::Unknown => Ok(vec![recorded]),
            ActivityStatus::Recorded { .. } => Ok(vec![]), // the shop said it again
            ActivityStatus::Withdrawn { .. } => Ok(vec![]), // nothing personal is kept of it
        }
    }

    fn withdraw(
        &self,
        site_id: SiteId,
        integration_id: Option<IntegrationId>,
        reason: WithdrawalReason,
        at: DateTime<Utc>,
    ) -> Result<Vec<ActivityEvent>, ActivityError> {
        self.check_site(site_id)?;
        match self.status {
            ActivityStatus::Unknown | ActivityStatus::Recorded { .. } => {
                Ok(vec![ActivityEvent::Withdrawn {
                    site_id,
                    integration_id,
                    reason,
                    at,
                }])
            }
            ActivityStatus::Withdrawn { .. } => Ok(vec![]),
        }
    }

    fn check_site(&self, claimed: SiteId) -> Result<(), ActivityError> {
        match self.status {
            ActivityStatus::Unknown => Ok(()),
            ActivityStatus::Recorded { site_id } | ActivityStatus::Withdrawn { site_id } => {
                if site_id == claimed {
                    Ok(())
                } else {
                    Err(ActivityError::OfAnotherSite)
                }
            }
        }
    }
}

impl Aggregate for Activity {
    const TYPE: &'static str = "activity"; // stored; never rename
    type Command = ActivityCommand;
    type Event = ActivityEvent;
    type Error = ActivityError;
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
            ActivityEvent::Recorded { site_id, buyer, .. } => {
                self.status = ActivityStatus::Recorded { site_id };
                self.buyer = buyer.map(|buyer| buyer.subject());
            }
            ActivityEvent::Withdrawn { site_id, .. } => {
                self.status = ActivityStatus::Withdrawn { site_id };
            }
            ActivityEvent::BuyerForgotten { .. } => self.buyer = None,
        }
    }
}
