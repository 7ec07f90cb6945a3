//! Brings what was signed to the anchors.

use sqlx::PgPool;
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::books::{self, SealError};
use super::head::{SignedHead, TreeHead};
use super::merkle::Hash;
use super::note::Note;
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
        for (place, note) in keys(pool).await?.iter().enumerate() {
            anchor.put_key(place + 1, note).await.map_err(failed)?;
        }
        for Missing { signed, before } in &heads {
            let head = &signed.head;
            let leaves = leaves(pool, head, *before).await?;
            anchor
                .put_leaves(head.incarnation, head.size, &leaves)
                .await
                .map_err(failed)?;
            anchor.put_head(signed).await.map_err(failed)?;
        }
        note(pool, anchor, &heads).await?;
        metrics::gauge!("proofline_anchored_position", "anchor" => anchor.name().to_owned())
            .set(last.signed.head.size as f64);
    }
}

// No connection is kept while an anchor, which may be far away, is written to.

async fn keys(pool: &PgPool) -> Result<Vec<Note>, SealError> {
    let mut connection = pool.acquire().await.map_err(SealError::Read)?;
    books::key_notes(&mut connection).await
}

/// The leaves up to a head that are not before the size `before`, that of the head before it, beyond whose tile no head reaches.
async fn leaves(pool: &PgPool, head: &TreeHead, before: u64) -> Result<Vec<Hash>, SealError> {
    let mut connection = pool.acquire().await.map_err(SealError::Read)?;
    let tile = before / TILE as u64;
    let leaves = books::tile(&mut connection, head.incarnation, tile).await?;
    let first = tile * TILE as u64;
    let range = (before - first) as usize..(head.size - first) as usize;
    let leaves = leaves.and_then(|leaves| leaves.get(range).map(<[Hash]>::to_vec));
    leaves.ok_or(SealError::Tile { tile })
}

/// A head that an anchor does not have.
struct Missing {
    signed: SignedHead,
    /// The size of the head before it.
    before: u64,
}

async fn missing(pool: &PgPool, anchor: &Anchor) -> Result<Vec<Missing>, SealError> {
    let rows = sqlx::query!(
        r#"select h.note,
                  coalesce((select max(b.size) from es.tree_heads b
                            where b.incarnation = h.incarnation and b.size < h.size), 0) as "before!"
           from es.tree_heads h
           where h.size > coalesce((select max(a.size) from es.anchored_heads a
                                    where a.anchor = $1 and a.incarnation = h.incarnation), 0)
           order by h.incarnation, h.size limit $2"#,
        anchor.name(),
        HEADS_MAX
    )
    .fetch_all(pool)
    .await
    .map_err(SealError::Read)?;
    rows.into_iter()
        .map(|row| {
            Ok(Missing {
                signed: row.note.parse().map_err(SealError::Note)?,
                before: row.before.cast_unsigned(),
            })
        })
        .collect()
}

/// The largest head of an incarnation of the log that is noted to be at an anchor; 0 where none is.
pub(super) async fn anchored(
    pool: &PgPool,
    anchor: &Anchor,
    incarnation: Uuid,
) -> Result<u64, SealError> {
    let size = sqlx::query_scalar!(
        r#"select coalesce(max(size), 0) as "size!" from es.anchored_heads where anchor = $1 and incarnation = $2"#,
        anchor.name(),
        incarnation
    )
    .fetch_one(pool)
    .await
    .map_err(SealError::Read)?;
    Ok(size.cast_unsigned())
}

async fn note(pool: &PgPool, anchor: &Anchor, heads: &[Missing]) -> Result<(), SealError> {
    let incarnations: Vec<Uuid> = heads
        .iter()
        .map(|missing| missing.signed.head.incarnation)
        .collect();
    let sizes: Vec<i64> = heads
        .iter()
        .map(|missing| missing.signed.head.size as i64)
        .collect();
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
