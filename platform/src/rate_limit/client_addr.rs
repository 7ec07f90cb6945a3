//! Who is at the other end of a connection, for limits by network.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

/// How many proxies stand before us, each of which appends the address of its peer to `X-Forwarded-For`.
/// Set through [`crate::serve::Ops::trusted_proxies`]; 0 means that the header is not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub usize);

/// The client's address. Unspecified (`0.0.0.0`) where the router is not behind a socket, as in tests.
///
/// Personal data: use it for limits, don't store or log it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

impl ClientAddr {
    /// What one subscriber usually holds: the /24 of an IPv4 address, the /48 of an IPv6 one.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        }
    }

    pub(super) fn of(parts: &Parts) -> Self {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
        let proxies = parts.extensions.get::<TrustedProxies>().copied();
        let forwarded = match proxies.unwrap_or_default() {
            TrustedProxies(0) => None,
            TrustedProxies(proxies) => forwarded_for(&parts.headers, proxies),
        };
        Self(forwarded.unwrap_or(peer).to_canonical())
    }
}

impl fmt::Debug for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAddr(network {})", self.network())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// The entry that the outermost trusted proxy wrote: the n-th from the right. What stands left of it came
/// from the client and may be invented.
fn forwarded_for(headers: &HeaderMap, proxies: usize) -> Option<IpAddr> {
    let entries: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    // Fewer entries than proxies: all of them were written by proxies, so the first one is the client.
    let entry = entries.get(entries.len().saturating_sub(proxies))?;
    entry
        .parse()
        .or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()))
        .or_else(|_| entry.trim_matches(['[', ']']).parse())
        .ok()
}
