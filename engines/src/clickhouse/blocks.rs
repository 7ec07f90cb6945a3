//! ClickHouse's own compressed blocks (`compress=1`, `decompress=1`): checksum, header, LZ4 or plain bytes.
//!
//! A block is 16 bytes of CityHash128 (version 1.0.2) over the rest, one byte for the method, the compressed length
//! with these nine header bytes, the plain length, and the data.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::exception::{Exception, code};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const PLAIN: u8 = 0x02;
/// ClickHouse writes blocks of one mebibyte; the limit keeps a forged header from asking for memory.
const BLOCK_BYTES_MAX: usize = 256 << 20;

/// Takes blocks apart as their bytes arrive.
#[derive(Default)]
pub(crate) struct Decoder {
    pending: BytesMut,
}

impl Decoder {
    /// Adds bytes and hands every block that is whole to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Exception> {
        self.pending.extend_from_slice(bytes);
        while let Some((packed, plain)) = self.lengths()? {
            if self.pending.len() < CHECKSUM + packed {
                self.pending.reserve(CHECKSUM + packed - self.pending.len());
                break;
            }
            let mut block = self.pending.split_to(CHECKSUM + packed);
            let expected = block.get_u128_le();
            if checksum(&block) != expected {
                return Err(Exception::new(
                    code::CHECKSUM_DOESNT_MATCH,
                    "Checksum doesn't match: corrupted data in a compressed block (CHECKSUM_DOESNT_MATCH)",
                ));
            }
            unpack(&block, plain, out)?;
        }
        Ok(())
    }

    /// The compressed and plain length of the next block, where its header has arrived.
    fn lengths(&self) -> Result<Option<(usize, usize)>, Exception> {
        let Some(mut header) = self.pending.get(CHECKSUM + 1..CHECKSUM + HEADER) else {
            return Ok(None);
        };
        let (packed, plain) = (header.get_u32_le() as usize, header.get_u32_le() as usize);
        if packed < HEADER || packed.max(plain) > BLOCK_BYTES_MAX {
            return Err(Exception::new(
                code::CANNOT_DECOMPRESS,
                format!(
                    "A compressed block can't have {packed} bytes for {plain} (CANNOT_DECOMPRESS)"
                ),
            ));
        }
        Ok(Some((packed, plain)))
    }

    /// The body has ended; half a block is an error.
    pub(crate) fn finish(self) -> Result<(), Exception> {
        if self.pending.is_empty() {
            return Ok(());
        }
        Err(Exception::new(
            code::CANNOT_READ_ALL_DATA,
            "The body ends in the middle of a compressed block (CANNOT_READ_ALL_DATA)",
        ))
    }
}

fn unpack(block: &[u8], plain: usize, out: &mut Vec<u8>) -> Result<(), Exception> {
    let (method, data) = (block[0], &block[HEADER..]);
    let start = out.len();
    match method {
        LZ4 => {
            out.resize(start + plain, 0);
            let written =
                lz4_flex::block::decompress_into(data, &mut out[start..]).map_err(|error| {
                    Exception::new(
                        code::CANNOT_DECOMPRESS,
                        format!("Broken LZ4 block: {error} (CANNOT_DECOMPRESS)"),
                    )
                })?;
            if written != plain {
                return Err(Exception::new(
                    code::CANNOT_DECOMPRESS,
                    format!(
                        "An LZ4 block holds {written} bytes instead of {plain} (CANNOT_DECOMPRESS)"
                    ),
                ));
            }
        }
        PLAIN => out.extend_from_slice(data),
        other => {
            return Err(Exception::new(
                code::UNKNOWN_COMPRESSION_METHOD,
                format!(
                    "Compression method {other:#x} is not supported, LZ4 is (UNKNOWN_COMPRESSION_METHOD)"
                ),
            ));
        }
    }
    Ok(())
}

/// One block with the given bytes.
pub(crate) fn encode(plain: &[u8]) -> Bytes {
    let mut block =
        BytesMut::zeroed(CHECKSUM + HEADER + lz4_flex::block::get_maximum_output_size(plain.len()));
    let packed = lz4_flex::block::compress_into(plain, &mut block[CHECKSUM + HEADER..])
        .expect("the buffer has the size that LZ4 needs at most");
    block.truncate(CHECKSUM + HEADER + packed);
    let length =
        |n: usize| u32::try_from(n).expect("a block is a piece of a result, far below 4 GiB");
    let mut header = &mut block[CHECKSUM..CHECKSUM + HEADER];
    header.put_u8(LZ4);
    header.put_u32_le(length(HEADER + packed));
    header.put_u32_le(length(plain.len()));
    let sum = checksum(&block[CHECKSUM..]);
    (&mut block[..CHECKSUM]).put_u128_le(sum);
    block.freeze()
}

/// ClickHouse stores the two halves of the hash the other way round.
fn checksum(bytes: &[u8]) -> u128 {
    cityhash_rs::cityhash_102_128(bytes).rotate_right(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<u8>, Exception> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.push(piece, &mut out)?;
        }
        decoder.finish()?;
        Ok(out)
    }

    #[test]
    fn blocks_come_back_however_they_are_cut() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut packed = encode(&plain).to_vec();
        packed.extend_from_slice(&encode(b"tail"));
        for step in [1, 7, 4096, packed.len()] {
            let out = decode(&packed, step).unwrap();
            assert_eq!(out.len(), plain.len() + 4);
            assert!(out.starts_with(&plain) && out.ends_with(b"tail"));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let packed = encode(b"some bytes that are long enough").to_vec();
        let mut flipped = packed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(
            decode(&flipped, 9).unwrap_err().code,
            code::CHECKSUM_DOESNT_MATCH
        );
        assert_eq!(
            decode(&packed[..packed.len() - 1], 9).unwrap_err().code,
            code::CANNOT_READ_ALL_DATA
        );
        assert_eq!(
            decode(&[0xff; 40], 9).unwrap_err().code,
            code::CANNOT_DECOMPRESS
        );
    }
}
