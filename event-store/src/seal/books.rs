//! What is written down of the tree, in the database that it seals.

use sqlx::PgConnection;
use uuid::Uuid;

use super::anchor::AnchorError;
use super::chain::{ChainError, KeyChain};
use super::head::SignedHead;
use super::merkle::{self, Hash};
use super::note::{Note, NoteError};
use super::tree::{self, TILE, Tree};
use crate::vault::VaultError;

/// Why the log could not be sealed, or its seals not be read.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("could not read the log")]
    ReadLog(#[source] sqlx::Error),
    #[error("could not read what was sealed")]
    Read(#[source] sqlx::Error),
    #[error("could not write what is sealed")]
    Write(#[source] sqlx::Error),
    #[error("could not open the signing key")]
    Key(#[source] VaultError),
    #[error("the new key signs from now on, but the one before it could not be destroyed")]
    DestroyKey(#[source] VaultError),
    #[error(
        "the new key signs from now on, but an anchor does not know it yet: it is told with the next head, and the key before it is \
         destroyed by the next process that begins to seal"
    )]
    NotAnchored(#[source] Box<SealError>),
    #[error("the key database holds another signing key {number} than the one that was introduced")]
    OtherKey { number: u32 },
    #[error("could not ask anchor {name} what was signed")]
    Anchor {
        name: String,
        source: Box<AnchorError>,
    },
    #[error(
        "anchor {name} holds a head at {size} that the database does not know: the database was put back, or altered"
    )]
    AnchorAhead { name: String, size: u64 },
    #[error("anchor {name} holds other statements about signing keys than the database")]
    OtherKeys { name: String },
    #[error("there is no signing key yet")]
    NoKey,
    #[error("a signed text is malformed")]
    Note(#[source] NoteError),
    #[error("the signing keys are no chain")]
    Chain(#[source] ChainError),
    #[error("tile {tile} does not hold leaves")]
    Tile { tile: u64 },
    #[error("the leaves that are kept are not those that were signed for at {size}")]
    TilesDiffer { size: u64 },
    #[error("position {expected} of the log was expected and {found} was found")]
    NotContiguous { expected: i64, found: i64 },
    #[error("the log ends at {head}, though it was sealed up to {sealed}")]
    LostTail { sealed: i64, head: i64 },
    #[error("nobody knows any more what the receiver was told")]
    UnknownReceiver,
}

/// Sealers take turns, in every process.
pub(super) async fn lock(tx: &mut PgConnection) -> Result<(), SealError> {
    sqlx::query!("select pg_advisory_xact_lock(20261121, 4)")
        .execute(tx)
        .await
        .map(drop)
        .map_err(SealError::Write)
}

/// Who signs; `None` before the first key.
pub(super) async fn chain(connection: &mut PgConnection) -> Result<Option<KeyChain>, SealError> {
    let notes = key_notes(connection).await?;
    if notes.is_empty() {
        return Ok(None);
    }
    let chain = KeyChain::check(notes, None).map_err(SealError::Chain)?;
    Ok(Some(chain))
}

pub(super) async fn key_notes(connection: &mut PgConnection) -> Result<Vec<Note>, SealError> {
    let texts = sqlx::query_scalar!("select note from es.seal_keys order by place")
        .fetch_all(connection)
        .await
        .map_err(SealError::Read)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(SealError::Note))
        .collect()
}

pub(super) async fn write_key(connection: &mut PgConnection, note: &Note) -> Result<(), SealError> {
    sqlx::query!(
        "insert into es.seal_keys (place, note) select coalesce(max(place), 0) + 1, $1 from es.seal_keys",
        note.to_string()
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(SealError::Write)
}

/// The tree of an incarnation, as far as it is sealed.
pub(super) async fn tree(
    connection: &mut PgConnection,
    incarnation: Uuid,
) -> Result<Tree, SealError> {
    let mut roots = roots(connection, incarnation).await?;
    let last = roots.len().saturating_sub(1) as u64;
    let edge = tile(connection, incarnation, last)
        .await?
        .unwrap_or_default();
    if edge.len() == TILE {
        return Ok(Tree::of(&roots, Vec::new()));
    }
    roots.pop();
    Ok(Tree::of(&roots, edge))
}

/// The roots of an incarnation's tiles, of which the last may not be full.
pub(super) async fn roots(
    connection: &mut PgConnection,
    incarnation: Uuid,
) -> Result<Vec<Hash>, SealError> {
    let rows = sqlx::query!(
        "select tile, root from es.tree_tiles where incarnation = $1 order by tile",
        incarnation
    )
    .fetch_all(connection)
    .await
    .map_err(SealError::Read)?;
    rows.into_iter()
        .zip(0..)
        .map(|(row, tile)| {
            let root = row.root.try_into().ok();
            root.filter(|_| row.tile.cast_unsigned() == tile)
                .ok_or(SealError::Tile { tile })
        })
        .collect()
}

/// The leaves of a tile; `None` where there is none.
pub(super) async fn tile(
    connection: &mut PgConnection,
    incarnation: Uuid,
    tile: u64,
) -> Result<Option<Vec<Hash>>, SealError> {
    let bytes = sqlx::query_scalar!(
        "select leaves from es.tree_tiles where incarnation = $1 and tile = $2",
        incarnation,
        tile as i64
    )
    .fetch_optional(connection)
    .await
    .map_err(SealError::Read)?;
    bytes
        .map(|bytes| tree::from_bytes(&bytes).ok_or(SealError::Tile { tile }))
        .transpose()
}

/// The note of an incarnation's last head.
pub(super) async fn last_head_note(
    connection: &mut PgConnection,
    incarnation: Uuid,
) -> Result<Option<String>, SealError> {
    sqlx::query_scalar!(
        "select note from es.tree_heads where incarnation = $1 order by size desc limit 1",
        incarnation
    )
    .fetch_optional(connection)
    .await
    .map_err(SealError::Read)
}

/// Whether this head stands here as it is.
pub(super) async fn has_head(
    connection: &mut PgConnection,
    signed: &SignedHead,
) -> Result<bool, SealError> {
    let note = sqlx::query_scalar!(
        "select note from es.tree_heads where incarnation = $1 and size = $2",
        signed.head.incarnation,
        signed.head.size as i64
    )
    .fetch_optional(connection)
    .await
    .map_err(SealError::Read)?;
    Ok(note.is_some_and(|note| note == signed.note.to_string()))
}

/// Notes of an incarnation's heads, by size.
pub(super) async fn head_notes(
    connection: &mut PgConnection,
    incarnation: Uuid,
) -> Result<Vec<(u64, String)>, SealError> {
    let rows = sqlx::query!(
        "select size, note from es.tree_heads where incarnation = $1 order by size",
        incarnation
    )
    .fetch_all(connection)
    .await
    .map_err(SealError::Read)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.size.cast_unsigned(), row.note))
        .collect())
}

/// Writes leaves and heads.
pub(super) async fn write(
    connection: &mut PgConnection,
    incarnation: Uuid,
    tiles: &[(u64, Vec<Hash>)],
    heads: &[SignedHead],
) -> Result<(), SealError> {
    let numbers: Vec<i64> = tiles.iter().map(|(tile, _)| *tile as i64).collect();
    let roots: Vec<Vec<u8>> = tiles
        .iter()
        .map(|(_, leaves)| merkle::root(leaves).to_vec())
        .collect();
    let leaves: Vec<Vec<u8>> = tiles
        .iter()
        .map(|(_, leaves)| tree::to_bytes(leaves))
        .collect();
    sqlx::query!(
        "insert into es.tree_tiles (incarnation, tile, root, leaves)
         select $1, * from unnest($2::bigint[], $3::bytea[], $4::bytea[])
         on conflict (incarnation, tile) do update set root = excluded.root, leaves = excluded.leaves",
        incarnation,
        &numbers,
        &roots,
        &leaves
    )
    .execute(&mut *connection)
    .await
    .map_err(SealError::Write)?;
    let sizes: Vec<i64> = heads.iter().map(|signed| signed.head.size as i64).collect();
    let notes: Vec<String> = heads.iter().map(|signed| signed.note.to_string()).collect();
    sqlx::query!(
        "insert into es.tree_heads (incarnation, size, note) select $1, * from unnest($2::bigint[], $3::text[])",
        incarnation,
        &sizes,
        &notes
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(SealError::Write)
}
