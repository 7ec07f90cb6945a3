//! `X-Shopify-Hmac-SHA256`: base64 of HMAC-SHA-256 over the raw body, with the app's client secret as it is written.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub(in crate::hook) const HEADER: &str = "X-Shopify-Hmac-SHA256";

/// Whether the header holds the body's signature. In constant time, and in the same time without a secret, which no
/// signature matches.
pub(in crate::hook) fn verify(
    secret: Option<&str>,
    body: &[u8],
    header: Option<&HeaderValue>,
) -> bool {
    let key = secret.unwrap_or_default().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(body);
    let claimed = header.and_then(|header| STANDARD.decode(header.as_bytes()).ok());
    let matches = mac.verify_slice(&claimed.unwrap_or_default()).is_ok();
    secret.is_some() && matches
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        br#"{"id":820982911946154508,"email":"jon@example.com","total_price":"199.00"}"#;

    fn header(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn the_reference_vector_verifies() {
        let signature = header("19sb4TQ53/TxxyK6YcMtX+aMrJyVgshiuMO90SUSl08=");
        assert!(verify(Some("hush"), BODY, Some(&signature)));
        assert!(!verify(Some("Hush"), BODY, Some(&signature)));
        assert!(!verify(
            Some("hush"),
            &BODY[..BODY.len() - 1],
            Some(&signature)
        ));
    }

    #[test]
    fn what_is_no_signature_matches_nothing() {
        for claimed in [
            "",
            "not base64!",
            "19sb4TQ53/TxxyK6YcMtX+aMrJyVgshiuMO90SUSl08",
            "19sb4TQ53/TxxyK6YcMtX+aMrJyVgshiuMO90SUS",
        ] {
            assert!(
                !verify(Some("hush"), BODY, Some(&header(claimed))),
                "{claimed}"
            );
        }
        assert!(!verify(Some("hush"), BODY, None));
    }

    #[test]
    fn without_a_secret_not_even_the_empty_ones_signature_matches() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        mac.update(BODY);
        let empty = STANDARD.encode(mac.finalize().into_bytes());
        let empty = HeaderValue::try_from(empty).unwrap();
        assert!(verify(Some(""), BODY, Some(&empty)));
        assert!(!verify(None, BODY, Some(&empty)));
    }
}
