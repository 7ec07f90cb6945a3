//! Inserts: every way in, and what breaks leaves nothing.

use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::ClickHouse;

async fn table() -> ClickHouse {
    let server = ClickHouse::start().await;
    server
        .query("create table t (x UInt64, s String default 'none') engine = MergeTree order by x")
        .await;
    server
}

#[tokio::test]
async fn data_comes_in_every_way() {
    let server = table().await;
    for (query, body) in [
        (None, "insert into t (x) values (1), (2)"),
        (None, "INSERT INTO t FORMAT CSV\n3,\"three\"\n4,four\n"),
        (
            None,
            "insert into t (x) format JSONEachRow {\"x\":5} {\"x\":6}",
        ),
        (Some("insert into t (x) values"), "(7), (8)"),
        (Some("insert into t (x) values (9),"), "(10)"),
        (
            Some("insert into t format TabSeparatedWithNames"),
            "s\tx\neleven\t11\n",
        ),
        (Some("insert into t (x) select 12"), ""),
        (None, "insert into t (x) with 13 as n select n"),
        (
            Some(
                "insert into t (x) format JSONEachRow settings input_format_skip_unknown_fields=1",
            ),
            "{\"x\":14,\"y\":1}",
        ),
        (
            Some("insert into t (x) settings async_insert=0 format RowBinary"),
            "\x0f\0\0\0\0\0\0\0",
        ),
        (Some("insert into t"), "(16, 'sixteen')"),
    ] {
        let parameters: Vec<(&str, &str)> =
            query.map(|query| ("query", query)).into_iter().collect();
        let found = server.ask(&parameters, body).await;
        assert_eq!(
            (found.status, found.text.as_str()),
            (200, ""),
            "{query:?} {body}"
        );
    }
    assert_eq!(
        server
            .query("select groupArray(x) from (select x from t order by x)")
            .await,
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"
    );
    assert_eq!(
        server
            .query("select s from t where x in (4, 5, 11, 16) order by x")
            .await,
        "four\nnone\neleven\nsixteen"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_long_body_may_carry_its_statement() {
    let server = table().await;
    let mut body = String::from("insert into t (x) format TSV\n");
    for n in 0..2_000_000_u64 {
        body.push_str(&n.to_string());
        body.push('\n');
    }
    assert!(body.len() > 10 << 20);
    assert_eq!(server.ask(&[], body).await.status, 200);
    assert_eq!(
        server.query("select count(), sum(x) from t").await,
        "2000000\t1999999000000"
    );
    let long_select = format!("select '{}'", "x".repeat(20 << 20));
    let found = server.ask(&[], long_select).await;
    assert_eq!(found.header("x-clickhouse-exception-code"), "307");
    server.stop().await;
}

#[tokio::test]
async fn wrong_data_leaves_no_rows_in_table_or_view() {
    let server = table().await;
    server
        .query("create table total (n UInt64) engine = SummingMergeTree order by tuple()")
        .await;
    server
        .query("create materialized view v to total as select count() as n from t")
        .await;
    let mut lines: String = (0..200_000).map(|n| format!("{n}\ttext\n")).collect();
    lines.push_str("no number\ttext\n");
    let found = server
        .ask(&[("query", "insert into t format TSV")], lines)
        .await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (400, "27"),
        "{}",
        found.text
    );
    let found = server
        .ask(&[("query", "insert into t format RowBinary")], "\x01\0\0")
        .await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (400, "33"),
        "{}",
        found.text
    );
    let found = server
        .ask(&[("query", "insert into t format NoSuch")], "1")
        .await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (404, "73"),
        "{}",
        found.text
    );
    let found = server
        .ask(&[("query", "insert into nope format TSV")], "1\n")
        .await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (404, "60"),
        "{}",
        found.text
    );
    assert_eq!(
        server
            .query("select (select count() from t), (select count() from total)")
            .await,
        "0\t0"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_aborted_insert_leaves_no_rows_however_long_it_was() {
    let server = table().await;
    // A client whose body fails: 20 MiB arrive, more was promised.
    let line: bytes::Bytes = "1\ttext\n".repeat(150_000).into();
    let pieces = (0..20)
        .map(move |_| Ok(line.clone()))
        .chain(std::iter::once(Err(std::io::Error::other("gone"))));
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    let sent = server
        .post(&[("query", "insert into t format TSV")])
        .body(body)
        .send()
        .await;
    assert!(sent.is_err());
    // A client that vanishes in the middle of a chunk.
    let url = reqwest::Url::parse(server.url()).unwrap();
    let mut raw = TcpStream::connect(("127.0.0.1", url.port().unwrap()))
        .await
        .unwrap();
    let head = format!(
        "POST /?query=insert+into+t+format+TSV HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n6\r\n1\ta\n2\t\r\n6\r\nb\n3",
        url.username(),
        url.password().unwrap()
    );
    raw.write_all(head.as_bytes()).await.unwrap();
    raw.shutdown().await.unwrap();
    raw.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(server.query("select count() from t").await, "0");
    assert_eq!(
        server
            .query("select count() from system.parts where table = 't'")
            .await,
        "0"
    );
    server.stop().await;
}

#[tokio::test]
async fn damaged_compressed_blocks_are_refused() {
    let server = table().await;
    let found = server
        .ask(
            &[("query", "insert into t format TSV"), ("decompress", "1")],
            vec![7_u8; 100],
        )
        .await;
    assert_eq!(found.status, 400, "{}", found.text);
    assert_eq!(server.query("select count() from t").await, "0");
    server.stop().await;
}
