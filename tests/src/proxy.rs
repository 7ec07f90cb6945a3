//! A TCP proxy on loopback that breaks connections at a chosen moment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const FORWARD: u8 = 0;
const SWALLOW_REPLY: u8 = 1;
const CUT_REQUEST: u8 = 2;

/// Forwards. Armed, it breaks one connection and forwards again; its weather changes for all connections at once.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    mode: Arc<AtomicU8>,
    broken: Arc<AtomicUsize>,
    weather: watch::Sender<Weather>,
}

/// What all connections meet.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// Nothing is forwarded, nothing is refused.
    stalled: bool,
    /// Requests reach the server, replies reach nobody.
    swallowing: bool,
    /// Connections that were made under a lower number are cut.
    cut: u64,
}

impl Proxy {
    pub async fn start(target: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            mode: Arc::default(),
            broken: Arc::default(),
            weather: watch::Sender::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, target) = (accepting.clone(), target.clone());
                tokio::spawn(async move {
                    // A server that is down is met as a connection that ends at once.
                    if let Ok(server) = TcpStream::connect(target).await {
                        proxy.forward(client, server).await;
                    }
                });
            }
        });
        Ok(proxy)
    }

    /// The next request reaches the server; its reply does not reach the client.
    pub fn swallow_next_reply(&self) {
        self.mode.store(SWALLOW_REPLY, Ordering::SeqCst);
    }

    /// The next request does not reach the server.
    pub fn cut_next_request(&self) {
        self.mode.store(CUT_REQUEST, Ordering::SeqCst);
    }

    /// How many connections were broken by being armed.
    pub fn broken(&self) -> usize {
        self.broken.load(Ordering::SeqCst)
    }

    /// Holds everything back until it goes on.
    pub fn hold(&self) {
        self.weather.send_modify(|weather| weather.stalled = true);
    }

    /// Lets go on what was held back.
    pub fn go_on(&self) {
        self.weather.send_modify(|weather| weather.stalled = false);
    }

    /// Loses every reply until the connections are cut.
    pub fn lose_replies(&self) {
        self.weather
            .send_modify(|weather| weather.swallowing = true);
    }

    /// Cuts every connection. Replies to new ones are lost no more.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| {
            weather.swallowing = false;
            weather.cut += 1;
        });
    }

    /// Holds everything back for a while.
    pub async fn stall(&self, lasts: Duration) {
        self.hold();
        tokio::time::sleep(lasts).await;
        self.go_on();
    }

    /// Loses every reply for a while, and then cuts every connection.
    pub async fn swallow(&self, lasts: Duration) {
        self.lose_replies();
        tokio::time::sleep(lasts).await;
        self.cut();
    }

    /// Being armed breaks only what asks for something: Parse or Bind in Postgres's protocol and not the pings of a pool, a
    /// command of Redis, a POST.
    async fn forward(self, mut client: TcpStream, mut server: TcpStream) {
        let (mut from_client, mut from_server) = ([0u8; 65536], [0u8; 65536]);
        // The statement of this connection whose reply is to be lost is on its way.
        let mut swallowing = false;
        let mut weather = self.weather.subscribe();
        let mut now = *weather.borrow_and_update();
        let made_under = now.cut;
        loop {
            tokio::select! {
                // The sender lives as long as this.
                _ = weather.changed() => {
                    now = *weather.borrow_and_update();
                    if now.cut != made_under {
                        return;
                    }
                }
                read = client.read(&mut from_client), if !now.stalled => {
                    let Ok(bytes @ 1..) = read else { return };
                    let request = matches!(from_client[0], b'P' | b'B' | b'*');
                    if request && self.breaks(CUT_REQUEST) {
                        return;
                    }
                    swallowing |= from_client[0] == b'B' && self.breaks(SWALLOW_REPLY);
                    if server.write_all(&from_client[..bytes]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut from_server), if !now.stalled => {
                    let Ok(bytes @ 1..) = read else { return };
                    if swallowing {
                        return;
                    }
                    if !now.swallowing && client.write_all(&from_server[..bytes]).await.is_err() {
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
pub fn split_address(url: &str) -> (impl Fn(SocketAddr) -> String + use<>, String) {
    let host = url.find("//").map_or(0, |slashes| slashes + 2);
    let start = url[host..].rfind('@').map_or(host, |at| host + at + 1);
    let end = url[start..]
        .find('/')
        .map_or(url.len(), |slash| start + slash);
    let (head, tail) = (url[..start].to_owned(), url[end..].to_owned());
    (
        move |proxy: SocketAddr| format!("{head}{proxy}{tail}"),
        url[start..end].to_owned(),
    )
}
