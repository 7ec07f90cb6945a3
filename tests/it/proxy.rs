//! A TCP proxy on loopback that breaks connections at a chosen moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const FORWARD: u8 = 0;
const SWALLOW_REPLY: u8 = 1;
const CUT_REQUEST: u8 = 2;

/// Forwards until it is armed; it breaks one connection and forwards again.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<AtomicU8>,
    broken: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            mode: Arc::default(),
            broken: Arc::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(accepting.clone().forward(client, server));
            }
        });
        proxy
    }

    /// The next request reaches the server; its reply does not reach the client.
    pub(crate) fn swallow_next_reply(&self) {
        self.mode.store(SWALLOW_REPLY, Ordering::SeqCst);
    }

    /// The next request does not reach the server.
    pub(crate) fn cut_next_request(&self) {
        self.mode.store(CUT_REQUEST, Ordering::SeqCst);
    }

    /// How many connections were broken.
    pub(crate) fn broken(&self) -> usize {
        self.broken.load(Ordering::SeqCst)
    }

    /// Breaks only what carries a statement: Parse or Bind in Postgres's protocol, not the pings of a pool.
    async fn forward(self, mut client: TcpStream, mut server: TcpStream) {
        let (mut from_client, mut from_server) = ([0u8; 65536], [0u8; 65536]);
        // The statement of this connection whose reply is to be lost is on its way.
        let mut swallowing = false;
        loop {
            tokio::select! {
                read = client.read(&mut from_client) => {
                    let Ok(bytes @ 1..) = read else { return };
                    let statement = matches!(from_client[0], b'P' | b'B');
                    if statement && self.breaks(CUT_REQUEST) {
                        return;
                    }
                    swallowing |= from_client[0] == b'B' && self.breaks(SWALLOW_REPLY);
                    if server.write_all(&from_client[..bytes]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut from_server) => {
                    let Ok(bytes @ 1..) = read else { return };
                    if swallowing || client.write_all(&from_server[..bytes]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn breaks(&self, armed: u8) -> bool {
        let breaks = self
            .mode
            .compare_exchange(armed, FORWARD, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if breaks {
            self.broken.fetch_add(1, Ordering::SeqCst);
        }
        breaks
    }
}

/// The URL with the proxy's address in place of the server's, and the server's address.
pub(crate) fn split_address(url: &str) -> (impl Fn(SocketAddr) -> String, String) {
    let start = url
        .find('@')
        .map_or_else(|| url.find("//").unwrap() + 2, |at| at + 1);
    let end = start + url[start..].find('/').unwrap();
    let (head, address, tail) = (
        url[..start].to_owned(),
        url[start..end].to_owned(),
        url[end..].to_owned(),
    );
    (
        move |proxy: SocketAddr| format!("{head}{proxy}{tail}"),
        address,
    )
}
