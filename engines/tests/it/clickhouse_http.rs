//! The HTTP interface beyond the documentation's examples: formats, settings, errors, late errors.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::{sleep, timeout};

use crate::harness::{Answer, ClickHouse, SOON, answer};

#[tokio::test]
async fn an_error_has_clickhouses_number_text_and_status() {
    let server = ClickHouse::start().await;
    for (parameters, sql, status, code, words) in [
        (&[][..], "select * from nope", 404, "60", "UNKNOWN_TABLE"),
        (&[], "selec 1", 400, "62", "SYNTAX_ERROR"),
        (&[], "", 400, "62", "Empty query"),
        (&[], "select 1; select 2", 400, "62", "Multi-statements"),
        (
            &[],
            "show tables; show tables",
            400,
            "62",
            "Multi-statements",
        ),
        (
            &[("database", "nope")],
            "select 1",
            404,
            "81",
            "UNKNOWN_DATABASE",
        ),
        (
            &[("no_such_setting", "1")],
            "select 1",
            400,
            "115",
            "UNKNOWN_SETTING",
        ),
        (
            &[("max_threads", "many")],
            "select 1",
            400,
            "27",
            "CANNOT_PARSE",
        ),
        (
            &[("max_result_rows", "3")],
            "select number from numbers(9)",
            500,
            "396",
            "TOO_MANY_ROWS",
        ),
        (&[("session_id", "s")], "select 1", 501, "48", "Sessions"),
        (
            &[("a'; drop table t; --", "1")],
            "select 1",
            400,
            "115",
            "UNKNOWN_SETTING",
        ),
        (
            &[("param_x", "nine")],
            "select {x:UInt8}",
            400,
            "457",
            "BAD_QUERY_PARAMETER",
        ),
        (
            &[],
            "select {x:UInt8}",
            400,
            "456",
            "UNKNOWN_QUERY_PARAMETER",
        ),
        (&[], "select 1 into outfile '/tmp/x'", 400, "344", "OUTFILE"),
    ] {
        let found = server.ask(parameters, sql).await;
        assert_eq!(
            (found.status, found.header("x-clickhouse-exception-code")),
            (status, code),
            "{sql}: {}",
            found.text
        );
        assert!(
            found
                .text
                .starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{}",
            found.text
        );
        assert!(found.text.contains(words), "{}", found.text);
    }
    server.stop().await;
}

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
async fn nothing_of_a_request_is_left_for_the_next() {
    let server = ClickHouse::start().await;
    let check =
        "select currentDatabase(), getSetting('max_result_rows'), getSetting('max_threads') > 0";
    let before = server.query(check).await;
    server.query("create database other").await;
    let inside = server
        .ask(&[("database", "other"), ("max_result_rows", "7")], check)
        .await;
    assert_eq!(inside.text, "other\t7\t1\n");
    server.query("set max_result_rows = 1").await;
    server.query("use other").await;
    server
        .query("create temporary table passing (x UInt8)")
        .await;
    server
        .ask(&[("max_result_rows", "1")], "select * from nope")
        .await;
    server.ask(&[("param_x", "1")], "select {x:UInt8}").await;
    server
        .ask(
            &[(
                "query",
                "insert into function null('x UInt8') settings max_result_rows = 5 values",
            )],
            "(1)",
        )
        .await;
    for _ in 0..5 {
        assert_eq!(server.query(check).await, before);
        assert_eq!(server.query("exists temporary table passing").await, "0");
        assert_eq!(server.ask(&[], "select {x:UInt8}").await.status, 400);
    }
    server.stop().await;
}

#[tokio::test]
async fn values_reach_the_engine_as_they_are() {
    let server = ClickHouse::start().await;
    let nasty = r"it's; -- \ `x` {y:Int8} ☃";
    let escaped = nasty.replace('\\', r"\\");
    let found = server
        .ask(&[("param_s", &escaped)], "select {s:String} format RawBLOB")
        .await;
    assert_eq!(found.text, nasty);
    let found = server
        .ask(
            &[("log_comment", nasty)],
            "select getSetting('log_comment') format RawBLOB",
        )
        .await;
    assert_eq!(found.text, nasty);
    let name = r"a`b\c'd";
    server.query(r"create database `a\`b\\c'd`").await;
    let found = server
        .ask(
            &[("database", name)],
            "select currentDatabase() format RawBLOB",
        )
        .await;
    assert_eq!(found.text, name);
    server.stop().await;
}

#[tokio::test]
async fn a_get_reads_only() {
    let server = ClickHouse::start().await;
    server
        .query("create table t (x UInt8) engine = Memory")
        .await;
    for sql in [
        "create table u (x UInt8) engine = Memory",
        "insert into t values (1)",
        "drop table t",
    ] {
        let mut url = reqwest::Url::parse(server.url()).unwrap();
        url.query_pairs_mut().append_pair("query", sql);
        let found = answer(server.http.get(url)).await;
        assert_eq!(
            found.header("x-clickhouse-exception-code"),
            "164",
            "{sql}: {}",
            found.text
        );
    }
    assert_eq!(server.query("select count() from t").await, "0");
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
async fn a_gzipped_body_is_read() {
    let server = ClickHouse::start().await;
    server
        .query("create table t (x UInt32) engine = MergeTree order by x")
        .await;
    let lines: String = (0..50_000).map(|n| format!("{n}\n")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let insert = [("query", "insert into t format TSV")];
    let sent = server
        .post(&insert)
        .header("Content-Encoding", "gzip")
        .body(packed.clone());
    assert_eq!(answer(sent).await.status, 200);
    assert_eq!(
        server.query("select count(), sum(x) from t").await,
        "50000\t1249975000"
    );

    let cut = packed[..packed.len() / 2].to_vec();
    let found = answer(
        server
            .post(&insert)
            .header("Content-Encoding", "gzip")
            .body(cut),
    )
    .await;
    assert_eq!(found.status, 400, "{}", found.text);
    let found = answer(
        server
            .post(&insert)
            .header("Content-Encoding", "br")
            .body("x"),
    )
    .await;
    assert_eq!(found.header("x-clickhouse-exception-code"), "89");
    assert_eq!(server.query("select count() from t").await, "50000");
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
