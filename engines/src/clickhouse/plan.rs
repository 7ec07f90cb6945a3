//! From text and body to what the engine is asked to do.

use std::io::{Cursor, Read};

use super::exception::{Exception, code};
use super::format::Shape;
use super::request::Options;
use super::spool::Spool;
use super::statement::Statement;

/// How much of a long body is looked at for the head of an `INSERT`; ClickHouse's `max_query_size`.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// Without a format ClickHouse's HTTP interface answers in this one.
const DEFAULT_FORMAT: &str = "TabSeparated";

pub(crate) enum Plan {
    Select {
        sql: Vec<u8>,
        default_format: String,
        format: String,
        shape: Shape,
    },
    Insert {
        head: Vec<u8>,
        format: String,
        data: Box<dyn Read + Send>,
    },
    Other {
        sql: Vec<u8>,
        default_format: String,
        format: String,
    },
}

impl Plan {
    /// ClickHouse appends the body to the query of the URL, with a line break between.
    pub(crate) fn new(options: &Options, body: Spool) -> Result<Self, Exception> {
        match &options.query {
            Some(query) => Self::of_query(options, query.clone().into_bytes(), body),
            None => Self::of_body(options, body),
        }
    }

    fn of_query(options: &Options, query: Vec<u8>, body: Spool) -> Result<Self, Exception> {
        let statement = Statement::parse(&query);
        if let Ok(Statement::InsertData(insert)) = statement {
            let mut inline = query[insert.data_start..].to_vec();
            if !inline.is_empty() && !body.is_empty() {
                inline.push(b'\n');
            }
            return Ok(Self::Insert {
                head: insert.head,
                format: insert.format,
                data: Box::new(Cursor::new(inline).chain(body.into_reader()?)),
            });
        }
        let mut sql = query;
        if !body.is_empty() {
            sql.push(b'\n');
            sql.extend_from_slice(body.in_memory().ok_or_else(too_large)?);
        }
        Self::of_text(options, sql)
    }

    fn of_body(options: &Options, body: Spool) -> Result<Self, Exception> {
        if let Some(text) = body.in_memory() {
            return Self::of_text(options, text.to_vec());
        }
        let head = body.spilled_head(HEAD_BYTES_MAX)?;
        let Ok(Statement::InsertData(insert)) = Statement::parse(&head) else {
            return Err(too_large());
        };
        let mut data = body.into_reader()?;
        let mut skipped = (&mut data).take(insert.data_start as u64);
        std::io::copy(&mut skipped, &mut std::io::sink())
            .map_err(|error| Exception::internal(format!("Temporary file: {error}")))?;
        Ok(Self::Insert {
            head: insert.head,
            format: insert.format,
            data: Box::new(data),
        })
    }

    fn of_text(options: &Options, sql: Vec<u8>) -> Result<Self, Exception> {
        let default_format = options
            .default_format
            .clone()
            .unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
        Ok(match Statement::parse(&sql)? {
            Statement::InsertData(insert) => {
                let data = sql[insert.data_start..].to_vec();
                Self::Insert {
                    head: insert.head,
                    format: insert.format,
                    data: Box::new(Cursor::new(data)),
                }
            }
            Statement::Select { format } => {
                let format = format.unwrap_or_else(|| default_format.clone());
                // The one setting that makes a document of a format of rows.
                let as_array = "output_format_json_array_of_rows";
                let is_array = options.settings.iter().any(|(name, _)| name == as_array)
                    || sql
                        .windows(as_array.len())
                        .any(|window| window == as_array.as_bytes());
                let shape = if is_array {
                    Shape::Document
                } else {
                    Shape::of(&format)
                };
                Self::Select {
                    sql,
                    default_format,
                    format,
                    shape,
                }
            }
            Statement::Other { format } => {
                let format = format.unwrap_or_else(|| default_format.clone());
                Self::Other {
                    sql,
                    default_format,
                    format,
                }
            }
        })
    }
}

fn too_large() -> Exception {
    Exception::new(
        code::QUERY_IS_TOO_LARGE,
        "Only the data of an INSERT may be this long, not a statement (QUERY_IS_TOO_LARGE)",
    )
}
