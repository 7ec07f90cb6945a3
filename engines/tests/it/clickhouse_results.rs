//! Results: formats, counts, late errors, clients that leave.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::harness::{Answer, ClickHouse, SOON};

#[tokio::test]
async fn a_result_comes_in_the_format_that_was_asked_for() {
    let server = ClickHouse::start().await;
    let sql = "select 1 as a, 'x' as b";
    assert_eq!(server.ask(&[], sql).await.text, "1\tx\n");
    let csv = server.ask(&[("default_format", "CSV")], sql).await;
    assert_eq!(csv.text, "1,\"x\"\n");
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.header("x-clickhouse-format"), "CSV");
    let json = server
        .ask(
            &[("default_format", "CSV")],
            "select 1 as a format JSONEachRow",
        )
        .await;
    assert_eq!(json.text, "{\"a\":1}\n");
    let shown = server
        .ask(
            &[("default_format", "JSONEachRow")],
            "show databases like 'default'",
        )
        .await;
    assert_eq!(shown.text, "{\"name\":\"default\"}\n");
    let unknown = server.ask(&[("default_format", "Nope")], "select 1").await;
    assert_eq!(unknown.header("x-clickhouse-exception-code"), "73");
    server.stop().await;
}

#[tokio::test]
async fn a_long_result_is_one_document_in_every_format() {
    let server = ClickHouse::start().await;
    let sql = "select number as n, toString(number) as `a \"b\"\nc`, n % 2 = 0 as even from numbers(30000) where n > 100";
    for format in [
        "TSV",
        "TSVWithNames",
        "TSVWithNamesAndTypes",
        "TSVRawWithNames",
        "CSV",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "JSON",
        "JSONCompact",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSONCompactEachRowWithNames",
        "JSONCompactEachRowWithNamesAndTypes",
        "Values",
        "XML",
        "Vertical",
        "SQLInsert",
        "BSONEachRow",
    ] {
        // In blocks of 1000 rows it is written in many pieces, with the large blocks in one.
        let mut found = Vec::new();
        for block in ["1000", "1000000"] {
            let settings = [
                ("default_format", format),
                ("max_block_size", block),
                ("max_threads", "1"),
                ("output_format_write_statistics", "0"),
            ];
            let response = server.post(&settings).body(sql).send().await.unwrap();
            assert_eq!(response.status(), 200, "{format}");
            found.push(response.bytes().await.unwrap());
        }
        assert!(
            !found[0].is_empty() && found[0] == found[1],
            "{format}: {} and {} bytes",
            found[0].len(),
            found[1].len()
        );
    }
    let array = [
        ("output_format_json_array_of_rows", "1"),
        ("max_block_size", "1000"),
        ("default_format", "JSONEachRow"),
    ];
    let found = server.ask(&array, sql).await;
    assert_eq!(
        serde_json::from_str::<Vec<serde_json::Value>>(&found.text)
            .unwrap()
            .len(),
        29_899
    );
    server.stop().await;
}

#[tokio::test]
async fn rows_that_are_far_apart_are_all_found() {
    let server = ClickHouse::start().await;
    let sql =
        "select number from numbers(3000000) where number in (1, 1500000, 2999999) order by number";
    assert_eq!(
        server.ask(&[("max_block_size", "1000")], sql).await.text,
        "1\n1500000\n2999999\n"
    );
    let sql = "select number from numbers(3000000) where number % 1000000 = 999999";
    assert_eq!(
        server
            .ask(&[("max_block_size", "1000"), ("max_threads", "1")], sql)
            .await
            .text,
        "999999\n1999999\n2999999\n"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_document_that_would_fill_the_memory_is_refused() {
    let server = ClickHouse::start().await;
    let found = server
        .ask(
            &[],
            "select repeat('x', 1000) from numbers(2000000) format JSON",
        )
        .await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (500, "396"),
        "{}",
        found.text.len()
    );
    server.stop().await;
}

#[tokio::test]
async fn a_short_result_tells_its_counts_and_its_query_id() {
    let server = ClickHouse::start().await;
    server
        .query("create table t (x UInt64) engine = MergeTree order by x")
        .await;
    let counts = |found: &Answer| -> serde_json::Value {
        serde_json::from_str(found.header("x-clickhouse-summary")).unwrap()
    };
    let found = server
        .ask(
            &[("query", "insert into t format TSV"), ("query_id", "mine")],
            "1\n2\n3\n",
        )
        .await;
    assert_eq!(found.header("x-clickhouse-query-id"), "mine");
    assert_eq!(counts(&found)["written_rows"], "3");
    let found = server
        .ask(&[], "insert into t select number from numbers(5)")
        .await;
    assert_eq!(counts(&found)["written_rows"], "5");
    let found = server.ask(&[], "select sum(x) from t").await;
    assert_eq!(counts(&found)["read_rows"], "8");
    assert!(!found.header("x-clickhouse-query-id").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_late_error_can_not_be_taken_for_a_short_result() {
    let server = ClickHouse::start().await;
    let sql = "select throwIf(number = 3000000) from numbers(4000000)";
    let response = server.post(&[]).body(sql).send().await.unwrap();
    assert_eq!(response.status(), 200, "it was streaming already");
    let tag = response.headers()["x-clickhouse-exception-tag"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut text = Vec::new();
    let mut response = response;
    let broken = loop {
        match response.chunk().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the transfer ended as if it were complete");
    let text = String::from_utf8_lossy(&text);
    let (_, exception) = text
        .split_once(&format!("__exception__\r\n{tag}\r\n"))
        .unwrap();
    assert!(
        exception.starts_with("Code: 395. DB::Exception: "),
        "{exception}"
    );
    assert!(exception.ends_with(&format!(" {tag}\r\n__exception__\r\n")));

    let found = server.ask(&[("wait_end_of_query", "1")], sql).await;
    assert_eq!(
        (found.status, found.header("x-clickhouse-exception-code")),
        (500, "395")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_long_result_can_be_waited_for() {
    let server = ClickHouse::start().await;
    let found = server
        .ask(
            &[("wait_end_of_query", "1")],
            "select number from numbers(3000000)",
        )
        .await;
    assert_eq!(found.text.lines().count(), 3_000_000);
    assert!(found.text.ends_with("\n2999999\n"));
    let summary: serde_json::Value =
        serde_json::from_str(found.header("x-clickhouse-summary")).unwrap();
    // As far as the engine has told with the pieces; the last one comes without.
    assert!(
        summary["read_rows"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 2_000_000
    );
    server.stop().await;
}

#[tokio::test]
async fn a_query_whose_client_left_is_cancelled() {
    let server = ClickHouse::start().await;
    let endless = server
        .post(&[])
        .body("select max(sipHash64(number)) from system.numbers");
    let sent = tokio::spawn(endless.send());
    let running = "select count() from system.processes where query ilike '%sipHash64%' and query not ilike '%processes%'";
    until(&server, running, "1").await;
    sent.abort();
    until(&server, running, "0").await;
    server.stop().await;
}

async fn until(server: &ClickHouse, sql: &str, wanted: &str) {
    let reached = async {
        while server.query(sql).await != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, reached)
        .await
        .unwrap_or_else(|_| panic!("never {wanted}: {sql}"));
}
