//! Brings what was signed to the anchors.

use sqlx::PgPool;
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::books::{self, SealError};
use super::head::SignedHead;
use super::merkle::Hash;
use super::tree::TILE;

/// Heads written and noted at once.
const HEADS_MAX: i64 = 64;

/// Why seals did not reach an anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchoringError {
    #[error("could not read what is to be anchored")]
    Seal(#[from] SealError),
    #[error("could not write to anchor {name}")]
    Anchor { name: String, source: AnchorError },
}

/// Writes every head that the anchor does not have, with the leaves behind it and the keys before it. What is cut short goes on
/// with the next call.
pub(super) async fn anchor(pool: &PgPool, anchor: &Anchor) -> Result<(), AnchoringError> {
    let failed = |source| AnchoringError::Anchor {
        name: anchor.name().to_owned(),
        source,
    };
    loop {
        let heads = missing(pool, anchor).await?;
        let Some(last) = heads.last() else {
            return Ok(());
        };
        let mut connection = pool.acquire().await.map_err(SealError::Read)?;
        for (place, note) in books::key_notes(&mut connection).await?.iter().enumerate() {
            anchor.put_key(place + 1, note).await.map_err(failed)?;
        }
        for signed in &heads {
            let head = &signed.head;
            let tile = (head.size - 1) / TILE as u64;
            let leaves = books::tile(&mut connection, head.incarnation, tile).await?;
            let count = (head.size - tile * TILE as u64) as usize;
            let leaves: &[Hash] = leaves
                .as_deref()
                .and_then(|leaves| leaves.get(..count))
                .ok_or(SealError::Tile { tile })?;
            anchor
                .put_tile(head.incarnation, tile, leaves)
                .await
                .map_err(failed)?;
            anchor.put_head(signed).await.map_err(failed)?;
        }
        note(pool, anchor, &heads).await?;
        metrics::gauge!("proofline_anchored_position", "anchor" => anchor.name().to_owned())
            .set(last.head.size as f64);
    }
}

async fn missing(pool: &PgPool, anchor: &Anchor) -> Result<Vec<SignedHead>, SealError> {
    let texts = sqlx::query_scalar!(
        "select h.note from es.tree_heads h
         where not exists (select from es.anchored_heads a
                           where a.anchor = $1 and a.incarnation = h.incarnation and a.size = h.size)
         order by h.incarnation, h.size limit $2",
        anchor.name(),
        HEADS_MAX
    )
    .fetch_all(pool)
    .await
    .map_err(SealError::Read)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(SealError::Note))
        .collect()
}

async fn note(pool: &PgPool, anchor: &Anchor, heads: &[SignedHead]) -> Result<(), SealError> {
    let incarnations: Vec<Uuid> = heads.iter().map(|signed| signed.head.incarnation).collect();
    let sizes: Vec<i64> = heads.iter().map(|signed| signed.head.size as i64).collect();
    sqlx::query!(
        "insert into es.anchored_heads (anchor, incarnation, size)
         select $1, * from unnest($2::uuid[], $3::bigint[]) on conflict do nothing",
        anchor.name(),
        &incarnations,
        &sizes
    )
    .execute(pool)
    .await
    .map(drop)
    .map_err(SealError::Write)
}
