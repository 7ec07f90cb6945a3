//! Statements overlap: there is no lock around the engine.
//!
//! Proven by structure, not by time: every statement waits for a barrier that opens only when all of them have
//! arrived. One statement at a time would never open it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::{ClickHouse, SOON, answer};

struct Barrier {
    arrived: Mutex<HashSet<String>>,
    count: watch::Sender<usize>,
    wanted: usize,
}

/// Answers a request only when `wanted` different ones have come.
async fn arrive(
    State(barrier): State<Arc<Barrier>>,
    method: Method,
    Path(who): Path<String>,
) -> &'static str {
    if method == Method::GET {
        let arrived = {
            let mut arrived = barrier.arrived.lock().unwrap();
            arrived.insert(who);
            arrived.len()
        };
        barrier.count.send_replace(arrived);
        let mut count = barrier.count.subscribe();
        count
            .wait_for(|count| *count >= barrier.wanted)
            .await
            .unwrap();
    }
    "1\n"
}

async fn barrier(wanted: usize) -> (String, watch::Receiver<usize>) {
    let (count, seen) = watch::channel(0);
    let barrier = Arc::new(Barrier {
        arrived: Mutex::default(),
        count,
        wanted,
    });
    let router = Router::new()
        .route("/{who}", any(arrive))
        .with_state(barrier);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    (url, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_queries_and_two_inserts_overlap() {
    let server = ClickHouse::start().await;
    let (url, seen) = barrier(10).await;
    let gate = |who: &str| format!("url('{url}/{who}', 'TSV', 'x UInt64')");
    let mut statements = Vec::new();
    for n in 0..8 {
        let sql = format!("select sum(x) from {}", gate(&format!("query-{n}")));
        statements.push(server.post(&[]).body(sql));
    }
    for n in 0..2 {
        // A streamed insert waits within itself: the view that it feeds asks for the gate.
        server
            .query(&format!(
                "create table source_{n} (x UInt64) engine = MergeTree order by x"
            ))
            .await;
        server
            .query(&format!(
                "create table target_{n} (x UInt64) engine = MergeTree order by x"
            ))
            .await;
        let view = format!(
            "create materialized view view_{n} to target_{n} as select s.x as x from source_{n} as s
             cross join (select x from {}) as g",
            gate(&format!("insert-{n}"))
        );
        server.query(&view).await;
        let query = format!("insert into source_{n} format TSV");
        statements.push(server.post(&[("query", &query)]).body("5\n6\n"));
    }
    let all = futures::future::join_all(statements.into_iter().map(answer));
    let answers = timeout(SOON, all)
        .await
        .unwrap_or_else(|_| panic!("only {} of 10 were in the engine at once", *seen.borrow()));
    for found in &answers {
        assert_eq!(found.status, 200, "{}", found.text);
    }
    assert!(answers[..8].iter().all(|found| found.text == "1\n"));
    assert_eq!(
        server
            .query("select (select sum(x) from target_0), (select sum(x) from target_1)")
            .await,
        "11\t11"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_statements_at_once_never_mix_their_results() {
    let server = ClickHouse::start().await;
    let statements = (0..200_u32).map(|n| {
        let (asked, expected) = match n % 4 {
            0 => (format!("select {n}"), Some(format!("{n}\n"))),
            1 => (
                format!("select throwIf(number = 5, 'error {n}') from numbers(10)"),
                None,
            ),
            2 => (
                format!("select sum(number) + {n} from numbers(100000)"),
                Some(format!("{}\n", 4_999_950_000_u64 + u64::from(n))),
            ),
            _ => (format!("exists table missing_{n}"), Some("0\n".to_owned())),
        };
        let request = server.post(&[]).body(asked);
        async move {
            let found = answer(request).await;
            match expected {
                Some(expected) => assert_eq!((found.status, found.text), (200, expected)),
                None => assert!(
                    found.status == 500 && found.text.contains(&format!("error {n}")),
                    "{}",
                    found.text
                ),
            }
        }
    });
    futures::future::join_all(statements).await;
    server.stop().await;
}
