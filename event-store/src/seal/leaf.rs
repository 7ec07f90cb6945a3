//! What a leaf of the tree hashes: the event's row as Postgres sends it in a binary `COPY`
//! (<https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4>): the number of columns in two bytes, then for each
//! column of `es.events`, in their order in docs/stored-format.md, its length in four bytes and its bytes, or a length of -1
//! for a null. All numbers are big-endian, a time is in microseconds since 2000, and JSON is the text as it is stored. So
//! every byte of the row is covered, and what the database sends is hashed as it comes.
//!
//! Stored, in signed heads: never change.

use sqlx::PgConnection;

use super::merkle::{self, Hash};
use crate::feed::copy_rows;
use crate::store::RecordedEvent;

const COLUMNS: i16 = 16;
/// Between the epochs of Postgres (2000) and of Unix (1970).
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Where the position stands in a row: behind the number of columns and its own length.
const POSITION: std::ops::Range<usize> = 6..14;

/// The bytes of an event's leaf.
pub fn bytes(event: &RecordedEvent) -> Vec<u8> {
    let mut row = Row(COLUMNS.to_be_bytes().to_vec());
    row.put(&event.position.to_be_bytes());
    row.put(event.tenant.as_bytes());
    row.put(event.stream.aggregate_type.as_bytes());
    row.put(event.stream.aggregate_id.as_bytes());
    row.put(&event.sequence.to_be_bytes());
    row.put(&event.bucket.as_i16().to_be_bytes());
    row.put(event.event_id.as_bytes());
    row.put(event.event_type.as_bytes());
    row.put(event.event_version.as_bytes());
    row.put(&(event.recorded_at.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
    row.put(event.command_id.as_bytes());
    row.put(event.correlation_id.as_bytes());
    match &event.causation_id {
        Some(id) => row.put(id.as_bytes()),
        None => row.0.extend((-1i32).to_be_bytes()),
    }
    row.put(event.actor.as_bytes());
    row.put(event.payload.get().as_bytes());
    row.put(event.metadata.get().as_bytes());
    row.0
}

struct Row(Vec<u8>);

impl Row {
    fn put(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("no column holds more than a gigabyte");
        self.0.extend(length.to_be_bytes());
        self.0.extend(bytes);
    }
}

/// What the leaf of this row would be if it stood at another position.
pub(super) fn hash_at(position: i64, row: &[u8]) -> Hash {
    let mut moved = row.to_vec();
    moved[POSITION].copy_from_slice(&position.to_be_bytes());
    merkle::leaf(&moved)
}

/// Hands out position, leaf and row of each event after `after` up to `to`, as they stand in the database.
pub(super) async fn read(
    connection: &mut PgConnection,
    after: i64,
    to: i64,
    mut each: impl FnMut(i64, Hash, &[u8]),
) -> Result<(), sqlx::Error> {
    // COPY takes no parameters; two integers can say nothing else than two integers.
    let statement = format!(
        include_str!("../../sql/copy_leaves.sql"),
        after = after,
        to = to
    );
    copy_rows(connection, &statement, |fields| {
        let row = fields.whole();
        each(fields.i64()?, merkle::leaf(row), row);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;
    use crate::bucket::Bucket;
    use crate::store::StreamId;

    fn event() -> RecordedEvent {
        let json = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        RecordedEvent {
            position: 7,
            tenant: Uuid::from_u128(1),
            stream: StreamId {
                aggregate_type: "site".to_owned(),
                aggregate_id: "a".to_owned(),
            },
            sequence: 2,
            bucket: Bucket::of(Uuid::from_u128(2)),
            event_id: Uuid::from_u128(3),
            event_type: "site.renamed".to_owned(),
            event_version: "1".to_owned(),
            recorded_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
            command_id: Uuid::from_u128(4),
            correlation_id: Uuid::from_u128(5),
            causation_id: None,
            actor: "operator".to_owned(),
            payload: json(r#"{"name":"Ä"}"#),
            metadata: json("{}"),
        }
    }

    /// Signed for ever: this hash may never change. Computed with another implementation.
    #[test]
    fn the_leaf_of_an_event_is_frozen() {
        let hex: String = merkle::leaf(&bytes(&event()))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "514c8c506a5d23fdbe68146b3ca9dbe43a0f59a4f62b4d529c3bde33ee33116e"
        );
    }

    #[test]
    fn a_row_that_is_moved_has_the_leaf_of_its_new_position() {
        let moved = RecordedEvent {
            position: 8,
            ..event()
        };
        assert_eq!(hash_at(8, &bytes(&event())), merkle::leaf(&bytes(&moved)));
    }
}
