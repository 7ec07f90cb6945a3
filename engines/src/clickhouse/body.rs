//! Receives a request's body completely before the engine sees any of it.
//!
//! Why completely: a client that goes away half-way, a broken archive or a wrong checksum must leave no rows, however
//! long the insert is. It also means that a slow client occupies neither a connection of the engine nor a slot.

use std::io::Write as _;

use axum::body::Body;
use axum::http::HeaderMap;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use futures::StreamExt as _;
use tokio::task::block_in_place;

use super::blocks;
use super::exception::{Exception, code};
use super::spool::Spool;

/// Undoes what `Content-Encoding` and then `decompress=1` name.
pub(crate) async fn receive(
    body: Body,
    headers: &HeaderMap,
    decompress: bool,
    mut spool: Spool,
) -> Result<Spool, Exception> {
    let mut encoding = Encoding::of(headers)?;
    let mut blocks = decompress.then(blocks::Decoder::default);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Exception::new(
                code::NETWORK_ERROR,
                format!("The body was not received completely: {error} (NETWORK_ERROR)"),
            )
        })?;
        // Decoding and spilling take milliseconds per piece; other requests go on meanwhile.
        block_in_place(|| {
            let decoded = encoding.push(&piece)?;
            store(
                decoded.as_deref().unwrap_or(&piece),
                blocks.as_mut(),
                &mut spool,
            )
        })?;
    }
    let last = encoding.finish()?;
    store(&last, blocks.as_mut(), &mut spool)?;
    if let Some(blocks) = blocks {
        blocks.finish()?;
    }
    Ok(spool)
}

fn store(
    bytes: &[u8],
    blocks: Option<&mut blocks::Decoder>,
    spool: &mut Spool,
) -> Result<(), Exception> {
    match blocks {
        Some(decoder) => {
            let mut plain = Vec::new();
            decoder.push(bytes, &mut plain)?;
            spool.push(&plain)
        }
        None => spool.push(bytes),
    }
}

enum Encoding {
    Identity,
    Gzip(MultiGzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Exception> {
        let name = headers
            .get("content-encoding")
            .map(|value| value.as_bytes().to_ascii_lowercase());
        match name.as_deref() {
            None | Some(b"" | b"identity") => Ok(Self::Identity),
            Some(b"gzip" | b"x-gzip") => Ok(Self::Gzip(MultiGzDecoder::new(Vec::new()))),
            Some(b"deflate") => Ok(Self::Deflate(ZlibDecoder::new(Vec::new()))),
            Some(other) => Err(Exception::new(
                code::UNKNOWN_COMPRESSION_METHOD,
                format!(
                    "Content-Encoding '{}' is not supported; gzip and deflate are (UNKNOWN_COMPRESSION_METHOD)",
                    String::from_utf8_lossy(other).escape_default()
                ),
            )),
        }
    }

    /// What the piece decodes to; `None` where it is plain already.
    fn push(&mut self, piece: &[u8]) -> Result<Option<Vec<u8>>, Exception> {
        let (written, out) = match self {
            Self::Identity => return Ok(None),
            Self::Gzip(decoder) => (decoder.write_all(piece), decoder.get_mut()),
            Self::Deflate(decoder) => (decoder.write_all(piece), decoder.get_mut()),
        };
        written.map_err(|error| broken(&error))?;
        Ok(Some(std::mem::take(out)))
    }

    fn finish(self) -> Result<Vec<u8>, Exception> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder.finish().map_err(|error| broken(&error)),
            Self::Deflate(decoder) => decoder.finish().map_err(|error| broken(&error)),
        }
    }
}

fn broken(error: &std::io::Error) -> Exception {
    Exception::new(
        code::CANNOT_DECOMPRESS,
        format!("The body's content encoding is broken: {error} (CANNOT_DECOMPRESS)"),
    )
}
