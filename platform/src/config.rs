//! Small pieces of configuration: secrets, URLs fit for a log, bind addresses.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A string that never shows in a log: `Debug` is redacted, there is no `Display` and no `Serialize`.
#[derive(Clone, Deserialize, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self(value.to_owned()))
    }
}

/// The URL with its password replaced, fit for a log: `postgres://u:p@h/db` becomes `postgres://u:***@h/db`.
///
/// Errs on the side of hiding: everything up to the *last* `@` counts as credentials, because passwords
/// are often pasted unescaped, and the values of query parameters that sound like secrets go too.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return redact_query(url);
    };
    let Some((credentials, host)) = rest.rsplit_once('@') else {
        return format!("{scheme}://{}", redact_query(rest));
    };
    let host = redact_query(host);
    match credentials.split_once(':') {
        Some((user, _password)) => format!("{scheme}://{user}:***@{host}"),
        None => format!("{scheme}://{credentials}@{host}"),
    }
}

fn redact_query(rest: &str) -> String {
    let Some((before, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let query: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if sounds_secret(name) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{before}?{}", query.join("&"))
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "pwd"]
        .iter()
        .any(|word| name.contains(word))
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an address to listen on; give PORT, :PORT, IP:PORT or localhost:PORT")]
pub struct BindError {
    pub given: String,
}

/// An address to listen on: `8080` and `:8080` mean loopback, `localhost:8080` and `0.0.0.0:8080` are themselves.
///
/// A bare port binds to loopback on purpose: being reachable from outside is a decision to write down.
pub fn parse_bind(given: &str) -> Result<SocketAddr, BindError> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = given
        .strip_prefix("localhost:")
        .or_else(|| given.strip_prefix(':'))
        .unwrap_or(given);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(loopback, port));
    }
    given.parse().map_err(|_| BindError {
        given: given.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn passwords_are_cut_from_urls() {
        for (url, redacted) in [
            ("postgres://u:p@h/db", "postgres://u:***@h/db"),
            ("redis://:p@h:6379/0", "redis://:***@h:6379/0"),
            ("postgres://u:p/w@x@h/db", "postgres://u:***@h/db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("http://h:8123/", "http://h:8123/"),
            (
                "postgres://h/db?user=u&password=p",
                "postgres://h/db?user=u&password=***",
            ),
            ("http://h/?access_token=abc", "http://h/?access_token=***"),
            ("no url at all", "no url at all"),
        ] {
            assert_eq!(redact_url(url), redacted);
        }
    }

    #[test]
    fn a_bare_port_binds_to_loopback() {
        for (given, address) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(parse_bind(given), Ok(address.parse().unwrap()));
        }
        assert!(parse_bind("70000").is_err());
        assert!(parse_bind("example.com:80").is_err());
    }
}
