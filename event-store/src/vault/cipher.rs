//! AES-256-GCM (NIST SP 800-38D) under random nonces, with the nonce in front of what is sealed.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 12;

/// A 12-byte nonce, the ciphertext and a 16-byte tag.
pub(super) fn seal(key: &[u8; 32], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    seal_with_nonce(key, associated, plain, rand::random())
}

pub(super) fn seal_with_nonce(
    key: &[u8; 32],
    associated: &[u8],
    plain: &[u8],
    nonce: [u8; NONCE_BYTES],
) -> Vec<u8> {
    let payload = Payload {
        msg: plain,
        aad: associated,
    };
    let sealed = Aes256Gcm::new(key.into())
        .encrypt(&Nonce::<U12>::from(nonce), payload)
        .expect("what is sealed here is far shorter than 64 GiB");
    [&nonce[..], &sealed].concat()
}

/// `None` where it was altered, or sealed under another key or for another place.
pub(super) fn open(key: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: sealed,
        aad: associated,
    };
    let plain = Aes256Gcm::new(key.into()).decrypt(&Nonce::<U12>::from(*nonce), payload);
    plain.ok().map(Zeroizing::new)
}
