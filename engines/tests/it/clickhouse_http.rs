//! The HTTP interface beyond the documentation's examples: errors, settings, values, bodies.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{ClickHouse, answer};

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
