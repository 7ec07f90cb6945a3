//! Activities: what really happened in a shop.

use chrono::{DateTime, Utc};
use domain::activity::{Activity, ActivityCommand, ActivityKind, WithdrawalReason};
use domain::{ActivityId, Buyer, ExternalId, IntegrationId, Money, Pii, ProductTitle, SiteId};
use uuid::Uuid;

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::secrets::Secrets;
use crate::site::Sites;

#[derive(Clone)]
pub struct Activities {
    executor: Executor,
    sites: Sites,
    secrets: Secrets,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct NewActivity {
    pub kind: ActivityKind,
    pub occurred_at: DateTime<Utc>,
    pub buyer: Option<Buyer>,
    pub product: Option<ProductTitle>,
    pub items_count: u32,
    pub total: Option<Money>,
}

impl Activities {
    pub(crate) fn new(executor: Executor, sites: Sites, secrets: Secrets) -> Self {
        Self {
            executor,
            sites,
            secrets,
        }
    }

    /// Records what a merchant reports. With an external id, it is addressed by it: reported again, it is the same.
    pub async fn record(
        &self,
        call: &Call,
        site_id: SiteId,
        external_id: Option<ExternalId>,
        activity: NewActivity,
    ) -> Result<Committed, CommandError> {
        self.sites.require(call.account, site_id).await?;
        let id = match &external_id {
            Some(external_id) => ActivityId::from(Uuid::new_v5(
                site_id.as_uuid(),
                external_id.as_str().as_bytes(),
            )),
            None => ActivityId::from(call.new_id()),
        };
        self.execute_record(call, site_id, id, None, external_id, activity)
            .await
    }

    /// Records what a shop reports under its own id.
    pub async fn record_from_shop(
        &self,
        call: &Call,
        site_id: SiteId,
        integration: IntegrationId,
        external_id: ExternalId,
        activity: NewActivity,
    ) -> Result<Committed, CommandError> {
        let id = ActivityId::of_external(integration, &external_id);
        self.execute_record(
            call,
            site_id,
            id,
            Some(integration),
            Some(external_id),
            activity,
        )
        .await
    }

    /// Withdraws what a shop cancelled or refunded; before the order itself has come, too.
    pub async fn withdraw_from_shop(
        &self,
        call: &Call,
        site_id: SiteId,
        integration: IntegrationId,
        external_id: &ExternalId,
        reason: WithdrawalReason,
    ) -> Result<Committed, CommandError> {
        let id = ActivityId::of_external(integration, external_id);
        let command = ActivityCommand::Withdraw {
            site_id,
            integration_id: Some(integration),
            reason,
            at: call.at,
        };
        self.executor
            .execute::<Activity>(call, site_id.into(), id.into(), command)
            .await
    }

    async fn execute_record(
        &self,
        call: &Call,
        site_id: SiteId,
        id: ActivityId,
        integration_id: Option<IntegrationId>,
        external_id: Option<ExternalId>,
        activity: NewActivity,
    ) -> Result<Committed, CommandError> {
        let buyer = activity.buyer.map(|buyer| {
            let subject = match &buyer.email {
                Some(email) => self.secrets.subject_of_email(call.account, email),
                None => self.secrets.subject_of_id(id.into()),
            };
            Pii::new(subject, buyer)
        });
        let record = |buyer| {
            let command = ActivityCommand::Record {
                site_id,
                integration_id,
                external_id: external_id.clone(),
                kind: activity.kind,
                occurred_at: activity.occurred_at,
                buyer,
                product: activity.product.clone(),
                items_count: activity.items_count,
                total: activity.total,
                at: call.at,
            };
            let (site, id) = (site_id.into(), id.into());
            self.executor
                .execute_new::<Activity>(call, site, id, command, Claim::default())
        };
        match record(buyer).await {
            // It happened all the same; whoever was erased stays unknown.
            Err(CommandError::SubjectErased) => record(None).await,
            recorded => recorded,
        }
    }

    /// Forgets the erased buyer of an activity, wherever it is shown. The site is the activity's own.
    pub async fn forget_buyer(
        &self,
        call: &Call,
        site_id: SiteId,
        id: ActivityId,
    ) -> Result<Committed, CommandError> {
        let command = ActivityCommand::ForgetBuyer { at: call.at };
        self.executor
            .execute::<Activity>(call, site_id.into(), id.into(), command)
            .await
    }
}
