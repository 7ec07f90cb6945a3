//! What streams through the server does not gather in it.

use bytes::Bytes;
use futures::stream;

use crate::harness::{ClickHouse, answer};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_large_result_does_not_gather_in_the_server() {
    let server = ClickHouse::start().await;
    server.query("select count() from numbers(1000000)").await;
    let before = server.peak_memory_bytes();
    let sql = "select number, repeat('x', 200) from numbers(4500000) format TSV";
    let mut response = server.post(&[]).body(sql).send().await.unwrap();
    let mut received = 0;
    while let Some(piece) = response.chunk().await.unwrap() {
        received += piece.len() as u64;
    }
    assert!(received > 800 * MIB, "{received}");
    let grown = server.peak_memory_bytes() - before;
    assert!(
        grown < 250 * MIB,
        "{received} bytes streamed, {grown} bytes of memory"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_query_back() {
    let server = ClickHouse::start().await;
    server.query("select count() from numbers(1000000)").await;
    let before = server.peak_memory_bytes();
    let response = server
        .post(&[])
        .body("select repeat('x', 100) from system.numbers")
        .send()
        .await
        .unwrap();
    // Endless: what were not held back would grow in every moment of the work below.
    for _ in 0..20 {
        server
            .query("select sum(sipHash64(number)) from numbers(5000000)")
            .await;
    }
    let grown = server.peak_memory_bytes() - before;
    assert!(grown < 250 * MIB, "{grown} bytes of memory");
    drop(response);
    server.stop().await;
}

#[tokio::test]
async fn a_large_insert_does_not_gather_in_the_server() {
    let server = ClickHouse::start().await;
    server
        .query("create table t (x UInt64, s String) engine = MergeTree order by x")
        .await;
    let before = server.peak_memory_bytes();
    let line = format!("1\t{}\n", "x".repeat(500));
    let piece = Bytes::from(line.repeat(2000));
    let (pieces, size) = (1200_u64, piece.len() as u64);
    let body = stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let sent = server
        .post(&[("query", "insert into t format TSV")])
        .body(reqwest::Body::wrap_stream(body));
    let found = answer(sent).await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_eq!(server.query("select count() from t").await, "2400000");
    let grown = server.peak_memory_bytes() - before;
    assert!(pieces * size > 1100 * MIB);
    assert!(
        grown < 800 * MIB,
        "{} bytes inserted, {grown} bytes of memory",
        pieces * size
    );
    server.stop().await;
}
