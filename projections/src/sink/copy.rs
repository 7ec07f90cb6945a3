//! Writing rows by binary `COPY`: <https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4>.

use chrono::{DateTime, Utc};
use uuid::Uuid;

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// Between the epochs of Postgres (2000) and of Unix (1970).
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows in their binary form. The columns of a row are written in the order of the statement.
pub struct CopyRows {
    bytes: Vec<u8>,
}

impl CopyRows {
    pub(crate) fn new() -> Self {
        Self {
            bytes: HEADER.to_vec(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written since it was last taken.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn end(&mut self) {
        self.bytes.extend(TRAILER);
    }

    pub(crate) fn row(&mut self, columns: i16) -> &mut Self {
        self.bytes.extend(columns.to_be_bytes());
        self
    }

    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(crate) fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.i64(value.timestamp_micros() - EPOCH_MICROS)
    }

    /// Also of type `json`, whose binary form is its text.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(crate) fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        self.or_null(value, Self::text)
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.field(&[value.into()])
    }

    /// The value as `write` writes it, where there is one.
    pub(crate) fn or_null<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.bytes.extend((-1i32).to_be_bytes());
                self
            }
        }
    }

    /// No field of ours comes near the gigabyte that Postgres takes.
    fn field(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend((value.len() as i32).to_be_bytes());
        self.bytes.extend(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_postgres_describes_it() {
        let mut rows = CopyRows::new();
        let time = "2000-01-01T00:00:00.000001Z".parse().unwrap();
        rows.row(4).i16(2).text("ä").text_or_null(None).time(time);
        rows.end();
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend([0; 8]);
        expected.extend([0, 4]);
        expected.extend([0, 0, 0, 2, 0, 2]);
        expected.extend([0, 0, 0, 2, 0xc3, 0xa4]);
        expected.extend([0xff; 4]);
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend([0xff, 0xff]);
        assert_eq!(rows.take(), expected);
    }
}
