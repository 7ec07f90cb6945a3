//! Domain names of shops and sites.

use crate::error::{DomainError, ErrorKind};
use crate::text::string_value;

/// A host name in lower case, of RFC 1123 labels: `shop.example.com` or `localhost`. Not an address, no port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    #[error("This must be a domain such as shop.example.com.")]
    NoDot,
    #[error("A domain has at most 253 characters.")]
    TooLong,
    #[error("Each part of a domain has 1 to 63 characters.")]
    LabelLength,
    #[error(
        "A domain consists of the letters a to z, digits and hyphens between them; write others in their xn-- form."
    )]
    LabelCharacter,
    #[error("This must be a domain, not an IP address.")]
    Address,
}

impl DomainError for HostnameError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoDot => "hostname_no_dot",
            Self::TooLong => "hostname_too_long",
            Self::LabelLength => "hostname_label_length",
            Self::LabelCharacter => "hostname_label_character",
            Self::Address => "hostname_address",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

const LOCAL: &str = "localhost";

impl Hostname {
    /// Trims, lower-cases and checks.
    pub fn parse(raw: &str) -> Result<Self, HostnameError> {
        let host = raw.trim().to_ascii_lowercase();
        if host == LOCAL {
            return Ok(Self(host));
        }
        if host.len() > 253 {
            return Err(HostnameError::TooLong);
        }
        host.split('.').try_for_each(check_label)?;
        let (_, top) = host.rsplit_once('.').ok_or(HostnameError::NoDot)?;
        if top.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HostnameError::Address);
        }
        Ok(Self(host))
    }

    /// Whether everybody calls his own machine by it.
    pub fn is_local(&self) -> bool {
        self.0 == LOCAL
    }
}

fn check_label(label: &str) -> Result<(), HostnameError> {
    if !label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        || label.starts_with('-')
        || label.ends_with('-')
    {
        return Err(HostnameError::LabelCharacter);
    }
    if label.is_empty() || label.len() > 63 {
        return Err(HostnameError::LabelLength);
    }
    Ok(())
}

string_value!(Hostname, HostnameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_lower_cased() {
        for (raw, host) in [
            (" Shop.Example.COM ", "shop.example.com"),
            ("localhost", "localhost"),
            ("xn--lden-koa.de", "xn--lden-koa.de"),
            ("3.myshopify.com", "3.myshopify.com"),
        ] {
            assert_eq!(Hostname::parse(raw).unwrap().as_str(), host);
        }
    }

    #[test]
    fn what_is_not_a_domain_is_refused_with_its_reason() {
        let label = "a".repeat(64);
        let long = format!("{}com", "abcdefghi.".repeat(26));
        for (raw, error) in [
            ("shop", HostnameError::NoDot),
            ("", HostnameError::LabelLength),
            ("shop..com", HostnameError::LabelLength),
            ("shop.example.", HostnameError::LabelLength),
            (&format!("{label}.com"), HostnameError::LabelLength),
            (&long, HostnameError::TooLong),
            ("https://shop.com", HostnameError::LabelCharacter),
            ("shop.com:8080", HostnameError::LabelCharacter),
            ("-shop.com", HostnameError::LabelCharacter),
            ("shop-.com", HostnameError::LabelCharacter),
            ("läden.de", HostnameError::LabelCharacter),
            ("127.0.0.1", HostnameError::Address),
        ] {
            assert_eq!(Hostname::parse(raw), Err(error), "{raw:?}");
        }
    }
}
