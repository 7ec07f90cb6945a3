//! Hands results on, piece by piece.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::engine::Event;
use super::exception::Exception;
use super::ffi::{Connection, Counts};
use super::format::Shape;
use super::request::Options;

const PIECE_BYTES: usize = 1 << 20;

/// Passes the pieces of a streamed result on.
pub(crate) struct Results<'r> {
    pub(crate) options: &'r Options,
    pub(crate) events: &'r mpsc::Sender<Event>,
    pub(crate) shape: Shape,
}

impl Results<'_> {
    pub(crate) fn select(
        &mut self,
        session: &mut Connection,
        sql: &[u8],
        default_format: &str,
        format: &str,
    ) -> Result<Counts, Exception> {
        let mut stream = session.stream(sql, default_format, &self.options.parameters)?;
        let mut total = Counts::default();
        let mut header: Option<Vec<u8>> = None;
        let mut first = true;
        loop {
            let piece = stream.next()?;
            if let Some(piece) = &piece {
                let counts = piece.counts();
                total.read_rows += counts.read_rows;
                total.read_bytes += counts.read_bytes;
            }
            if first {
                started(self.events, format.to_owned(), total);
                first = false;
            }
            let Some(piece) = piece else {
                return Ok(total);
            };
            let rows = self.without_repeated_header(piece.bytes(), &mut header)?;
            let sent = self
                .events
                .blocking_send(Event::Data(Bytes::copy_from_slice(rows)));
            if sent.is_err() {
                return Ok(total);
            }
        }
    }

    fn without_repeated_header<'p>(
        &self,
        piece: &'p [u8],
        header: &mut Option<Vec<u8>>,
    ) -> Result<&'p [u8], Exception> {
        let Shape::Headed(shape) = self.shape else {
            return Ok(piece);
        };
        match header {
            None => {
                let length = shape
                    .length(piece)
                    .ok_or_else(|| Exception::internal("the engine's result has no header"))?;
                *header = Some(piece[..length].to_vec());
                Ok(piece)
            }
            Some(header) => piece
                .strip_prefix(header.as_slice())
                .ok_or_else(|| Exception::internal("the engine's result changed its header")),
        }
    }
}

pub(crate) fn other(
    session: &mut Connection,
    sql: &[u8],
    default_format: &str,
    format: String,
    options: &Options,
    events: &mpsc::Sender<Event>,
) -> Result<Counts, Exception> {
    let output = session.query(sql, default_format, &options.parameters)?;
    let counts = output.counts();
    started(events, format, counts);
    for piece in output.bytes().chunks(PIECE_BYTES) {
        let sent = events.blocking_send(Event::Data(Bytes::copy_from_slice(piece)));
        if sent.is_err() {
            break;
        }
    }
    Ok(counts)
}

pub(crate) fn started(events: &mpsc::Sender<Event>, format: String, counts: Counts) {
    // Where nobody listens, the next piece of data notices.
    events.blocking_send(Event::Started { format, counts }).ok();
}
