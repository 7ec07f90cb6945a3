use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

async fn run(router: Router, grace: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, None, router, shutdown.clone(), grace));
    Running {
        address,
        shutdown,
        server,
    }
}

impl Running {
    async fn connect(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Shut down and measure how long that takes.
    async fn stop(self) -> Duration {
        let started = Instant::now();
        self.shutdown.cancel();
        self.server.await.unwrap().unwrap();
        started.elapsed()
    }
}

/// Reads until the text was seen.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = stream.read_buf(&mut seen).await.unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

/// A route that says when it is reached and answers when it is told to.
fn gated() -> (Router, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let (reached, is_reached) = oneshot::channel();
    let (open, opened) = oneshot::channel::<()>();
    let gate = Arc::new(tokio::sync::Mutex::new(Some((reached, opened))));
    let handler = async move || {
        let (reached, opened) = gate.lock().await.take().unwrap();
        reached.send(()).unwrap();
        opened.await.unwrap();
        "finished"
    };
    (business().route("/gated", get(handler)), is_reached, open)
}

#[tokio::test]
async fn a_request_in_flight_finishes_and_nobody_new_gets_in() {
    let (router, reached, open) = gated();
    let running = run(finish(router, ops()), Duration::from_secs(30)).await;
    let mut stream = running.connect("/gated").await;
    reached.await.unwrap();

    running.shutdown.cancel();
    let refused = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();

    open.send(()).unwrap();
    read_until(&mut stream, "finished").await;
    assert!(running.stop().await < Duration::from_secs(10));
}

#[tokio::test]
async fn a_hanging_stream_is_cut_when_the_grace_is_over() {
    let grace = Duration::from_millis(300);
    let running = run(api(), grace).await;
    let mut stream = running.connect("/stream").await;
    read_until(&mut stream, "text/event-stream").await;
    let took = running.stop().await;
    assert!(took >= grace && took < Duration::from_secs(10), "{took:?}");
    let mut rest = Vec::new();
    // Cut, not ended: there is no last chunk that would make the stream look complete.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"));
}

#[tokio::test]
async fn idle_connections_do_not_use_up_the_grace() {
    let running = run(api(), Duration::from_secs(60)).await;
    let mut kept_alive = running.connect("/healthz").await;
    read_until(&mut kept_alive, "alive").await;
    let _silent = TcpStream::connect(running.address).await.unwrap();
    assert!(running.stop().await < Duration::from_secs(10));
}

#[tokio::test]
async fn a_stream_may_end_by_itself_when_the_server_stops() {
    let polite = async |Stopping(stopping): Stopping| {
        let end = futures::stream::once(async move {
            stopping.cancelled().await;
            Ok::<_, Infallible>(Event::default().data("bye"))
        });
        Sse::new(end)
    };
    let router = finish(Router::new().route("/polite", get(polite)), ops());
    let running = run(router, Duration::from_secs(60)).await;
    let mut stream = running.connect("/polite").await;
    read_until(&mut stream, "text/event-stream").await;
    assert!(running.stop().await < Duration::from_secs(10));
    read_until(&mut stream, "data: bye").await;
}

#[tokio::test]
async fn dropping_the_server_cuts_its_connections() {
    let running = run(api(), Duration::from_secs(60)).await;
    let mut stream = running.connect("/stream").await;
    read_until(&mut stream, "text/event-stream").await;
    running.server.abort();
    let mut rest = Vec::new();
    let cut = stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(10), cut)
        .await
        .unwrap();
}

#[tokio::test]
async fn handlers_know_their_client() {
    let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| format!("peer={peer};");
    let router = finish(Router::new().route("/peer", get(peer)), ops());
    let running = run(router, GRACE_DEFAULT).await;
    let mut stream = running.connect("/peer").await;
    let expected = format!("peer={};", stream.local_addr().unwrap());
    read_until(&mut stream, &expected).await;
    running.stop().await;
}

#[tokio::test]
async fn an_oversized_upload_is_refused_before_it_is_complete() {
    let running = run(api(), GRACE_DEFAULT).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let upload = async {
        let chunk = [0; 64 * 1024];
        while writer.write_all(&chunk).await.is_ok() {}
        std::future::pending::<()>().await
    };
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(14).any(|bytes| bytes == b"body-too-large") {
            if reader.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
    };
    tokio::select! {
        () = upload => {}
        () = read => {}
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("no answer"),
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    running.stop().await;
}
