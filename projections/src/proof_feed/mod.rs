//! What a shop's pages show: table `proof`, one row per activity that was not withdrawn, its buyer sealed.

mod projector;
mod row;

use chrono::{DateTime, TimeDelta, Utc};
use domain::activity::ActivityKind;
use domain::{AccountId, Buyer, EmbedKey, MessageTemplate, Pii, SiteId};
use event_store::vault::{Vault, VaultError};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

pub use self::projector::ProofFeed;
pub use self::row::{Feed, FeedItem, FeedMessage};
use crate::projection::Projection;
use crate::read::{AsOf, ReadError, ReadTx};
use crate::subject_list;

const MODEL: Projection = Projection::ProofFeed;
/// Of which a feed is made.
pub const MODELS: &[Projection] = &[
    Projection::SiteList,
    Projection::NotificationList,
    Projection::ProofFeed,
    Projection::SubjectList,
];
/// More than a page shows one after the other is of no use to it.
const NOTIFICATIONS_MAX: i64 = 20;

struct Site {
    site_id: SiteId,
    account_id: AccountId,
    items_max: i16,
    age_hours_max: i16,
}

struct Published {
    notification_id: Uuid,
    message: String,
}

struct Proof {
    kind: String,
    product: Option<String>,
    buyer: Option<Value>,
    event_id: Uuid,
    occurred_at: DateTime<Utc>,
}

/// The payload around the buyer, as far as its envelope needs it: it is sealed for the place `/buyer`.
#[derive(Deserialize)]
struct Opened {
    buyer: Option<Pii<Buyer>>,
}

impl Proof {
    /// Whose envelope it is, as far as it is one; no other opens.
    fn buyer_id(&self) -> Option<Uuid> {
        let subject = self.buyer.as_ref()?.pointer("/$pii/subject")?;
        subject.as_str()?.parse().ok()
    }
}

/// The feed of the site that has the embed key. `None` where none has.
pub(crate) async fn feed(
    pool: &PgPool,
    vault: &Vault,
    embed_key: &EmbedKey,
    now: DateTime<Utc>,
) -> Result<Option<AsOf<Feed>>, ReadError> {
    let mut tx = ReadTx::begin_anonymous(pool, MODELS).await?;
    let Some(site) = find_site(&mut tx, embed_key).await? else {
        return Ok(None);
    };
    tx.become_account(site.account_id).await.map_err(failed)?;
    let published = published(&mut tx, site.site_id).await?;
    let proofs = latest(&mut tx, &site, now).await?;
    let buyers: Vec<Uuid> = proofs.iter().filter_map(Proof::buyer_id).collect();
    let hidden = subject_list::not_to_be_shown(&mut tx, site.account_id, &buyers).await?;
    let position = tx.position();
    drop(tx); // the keys are elsewhere
    let mut items = Vec::with_capacity(proofs.len());
    for proof in proofs {
        let is_hidden = proof.buyer_id().is_some_and(|id| hidden.contains(&id));
        let envelope = proof.buyer.filter(|_| !is_hidden);
        let buyer = open(vault, site.account_id, proof.event_id, envelope).await?;
        items.push(item(
            &published,
            proof.kind,
            proof.product,
            proof.occurred_at,
            buyer,
        )?);
    }
    let value = Feed {
        account_id: site.account_id,
        site_id: site.site_id,
        items,
    };
    Ok(Some(AsOf { value, position }))
}

async fn find_site(tx: &mut ReadTx, embed_key: &EmbedKey) -> Result<Option<Site>, ReadError> {
    sqlx::query_as!(
        Site,
        r#"select site_id as "site_id!", account_id as "account_id!", feed_items_max as "items_max!",
                  feed_age_hours_max as "age_hours_max!"
           from site_by_embed_key($1)"#,
        embed_key.as_str()
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(failed)
}

async fn published(
    tx: &mut ReadTx,
    site: SiteId,
) -> Result<Vec<(Uuid, MessageTemplate)>, ReadError> {
    let rows = sqlx::query_as!(
        Published,
        "select notification_id, message from notification
         where site_id = $1 and status = 'published' order by position limit $2",
        site.as_uuid(),
        NOTIFICATIONS_MAX
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|row| match MessageTemplate::parse(&row.message) {
            Ok(template) => Ok((row.notification_id, template)),
            Err(_) => Err(unknown(row.message)),
        })
        .collect()
}

async fn latest(tx: &mut ReadTx, site: &Site, now: DateTime<Utc>) -> Result<Vec<Proof>, ReadError> {
    sqlx::query_as!(
        Proof,
        "select kind, product, buyer, event_id, occurred_at from proof
         where site_id = $1 and occurred_at >= $2 order by occurred_at desc, activity_id limit $3",
        site.site_id.as_uuid(),
        now - TimeDelta::hours(site.age_hours_max.into()),
        i64::from(site.items_max)
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)
}

/// Nobody where the buyer is not known, must not be shown, or was erased. A buyer that does not open for good is reported and shown as
/// nobody: one damaged envelope must not take the shop's whole feed away.
async fn open(
    vault: &Vault,
    account: AccountId,
    event: Uuid,
    buyer: Option<Value>,
) -> Result<Buyer, ReadError> {
    let Some(buyer) = buyer else {
        return Ok(Buyer::default());
    };
    let mut payload = json!({ "buyer": buyer });
    let opened = vault.open(account.into(), event, &mut payload).await;
    match opened.map(|()| serde_json::from_value::<Opened>(payload)) {
        Ok(Ok(Opened { buyer })) => {
            let known = buyer.and_then(|buyer| buyer.known().cloned());
            return Ok(known.unwrap_or_default());
        }
        Ok(Err(error)) => tracing::error!(
            event.id = %event,
            error = %error,
            "an opened buyer is not of its shape; the feed shows nobody"
        ),
        Err(error) if is_unavailable(&error) => return Err(ReadError::Open(error)),
        Err(error) => tracing::error!(
            event.id = %event,
            error = %error,
            "a buyer does not open; the feed shows nobody"
        ),
    }
    metrics::counter!("proofline_proof_feed_unopened_total").increment(1);
    Ok(Buyer::default())
}

fn is_unavailable(error: &VaultError) -> bool {
    error.is_transient() || matches!(error, VaultError::Provider(_))
}

/// Takes of the buyer only what may be shown.
fn item(
    published: &[(Uuid, MessageTemplate)],
    kind: String,
    product: Option<String>,
    occurred_at: DateTime<Utc>,
    buyer: Buyer,
) -> Result<FeedItem, ReadError> {
    let first_name = buyer.first_name.map(|name| name.as_str().to_owned());
    let city = buyer.city.map(|city| city.as_str().to_owned());
    let messages = published
        .iter()
        .map(|(notification_id, template)| FeedMessage {
            notification_id: (*notification_id).into(),
            text: template.render(
                first_name.as_deref(),
                city.as_deref(),
                product.as_deref().unwrap_or_default(),
            ),
        })
        .collect();
    Ok(FeedItem {
        kind: ActivityKind::parse(&kind).map_err(|_| unknown(kind))?,
        first_name,
        city,
        product,
        occurred_at,
        messages,
    })
}

fn failed(source: sqlx::Error) -> ReadError {
    ReadError::Query {
        model: MODEL,
        source,
    }
}

fn unknown(value: String) -> ReadError {
    ReadError::Stored {
        model: MODEL,
        value,
    }
}
