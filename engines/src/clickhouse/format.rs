//! Which output formats may be streamed, and how.
//!
//! The engine writes every piece of a streamed result as a document of its own. Pieces of a format that is nothing but
//! rows can simply follow each other. Some formats begin with a header: it is cut off every piece but the first. All
//! others (`JSON`, `Parquet`, `Pretty`, …) are one document and have to be collected.

use bytes::Buf as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Rows,
    Headed(Header),
    Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// So many lines; line breaks in names are escaped.
    Lines(usize),
    /// So many records of CSV, where a quoted name may hold a line break.
    CsvRecords(usize),
    /// The number of columns and so many strings for each.
    Binary(u64),
}

impl Shape {
    pub(crate) fn of(format: &str) -> Self {
        match format.to_ascii_lowercase().as_str() {
            "tabseparated"
            | "tsv"
            | "tabseparatedraw"
            | "tsvraw"
            | "raw"
            | "csv"
            | "rowbinary"
            | "native"
            | "null"
            | "jsoneachrow"
            | "jsonlines"
            | "ndjson"
            | "jsonstringseachrow"
            | "jsoncompacteachrow"
            | "jsoncompactstringseachrow" => Self::Rows,
            "tabseparatedwithnames"
            | "tsvwithnames"
            | "jsoncompacteachrowwithnames"
            | "jsoncompactstringseachrowwithnames" => Self::Headed(Header::Lines(1)),
            "tabseparatedwithnamesandtypes"
            | "tsvwithnamesandtypes"
            | "jsoncompacteachrowwithnamesandtypes"
            | "jsoncompactstringseachrowwithnamesandtypes" => Self::Headed(Header::Lines(2)),
            "csvwithnames" => Self::Headed(Header::CsvRecords(1)),
            "csvwithnamesandtypes" => Self::Headed(Header::CsvRecords(2)),
            "rowbinarywithnames" => Self::Headed(Header::Binary(1)),
            "rowbinarywithnamesandtypes" => Self::Headed(Header::Binary(2)),
            _ => Self::Document,
        }
    }
}

impl Header {
    /// The header's length in a piece; `None` where the piece does not hold a whole one.
    pub(crate) fn length(self, piece: &[u8]) -> Option<usize> {
        match self {
            Self::Lines(lines) => ends_of(piece, |_| true).nth(lines - 1),
            Self::CsvRecords(records) => {
                let mut quoted = false;
                ends_of(piece, move |byte| {
                    quoted ^= byte == b'"';
                    !quoted
                })
                .nth(records - 1)
            }
            Self::Binary(strings_per_column) => {
                let mut rest = piece;
                let strings = varint(&mut rest)?.checked_mul(strings_per_column)?;
                for _ in 0..strings {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    rest = rest.get(length..)?;
                }
                Some(piece.len() - rest.len())
            }
        }
    }
}

/// Where lines end that `counts` lets end; it sees every byte.
fn ends_of(piece: &[u8], mut counts: impl FnMut(u8) -> bool) -> impl Iterator<Item = usize> {
    piece
        .iter()
        .enumerate()
        .filter(move |(_, byte)| counts(**byte) && **byte == b'\n')
        .map(|(at, _)| at + 1)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_where_rows_begin() {
        assert_eq!(
            Header::Lines(2).length(b"a\tb\nUInt8\tString\n1\tx\n"),
            Some(17)
        );
        assert_eq!(
            Header::CsvRecords(1).length(b"\"a\nb\"\"c\",\"d\"\n1,2\n"),
            Some(13)
        );
        assert_eq!(Header::Binary(2).length(b"\x01\x01a\x05UInt8\x07"), Some(9));
        assert_eq!(Header::Binary(2).length(b"\x01\x01a\x05UIn"), None);
        assert_eq!(Header::Lines(1).length(b"a\tb"), None);
    }
}
