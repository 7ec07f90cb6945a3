//! An insert with a token that was acknowledged is one unit: sending it again changes nothing, however it is cut and
//! whatever happened between. One that a crash cut short is not: ClickHouse notes a token in another step than it puts
//! rows in place, so that a crash in between can keep them out for ever. The sink of the projections looks, therefore.

use bytes::{BufMut as _, Bytes, BytesMut};
use engines::Engine;
use futures::stream;
use nix::sys::signal::Signal;

use crate::harness::{ClickHouse, SOON, answer, signal};

const ROWS: u64 = 200_000;
const SETTINGS: [(&str, &str); 3] = [
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("query", "insert into fact format RowBinary"),
];

async fn tables(server: &ClickHouse) {
    let window = "non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1";
    for sql in [
        format!("create table fact (x UInt64, day UInt8) engine = MergeTree partition by day order by x settings {window}"),
        format!(
            "create table total (k UInt8, n SimpleAggregateFunction(sum, UInt64)) engine = AggregatingMergeTree
             order by k settings {window}"
        ),
        "create materialized view view to total as select toUInt8(x % 7) as k, count() as n from fact group by k".to_owned(),
    ] {
        server.query(&sql).await;
    }
}

/// Rows of three partitions.
fn rows(from: u64, count: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    for n in from..from + count {
        bytes.put_u64_le(n);
        bytes.put_u8(u8::try_from(n % 3).unwrap());
    }
    bytes.freeze()
}

async fn counts(server: &ClickHouse) -> String {
    server.query("select (select count() from fact), (select uniqExact(x) from fact), (select sum(n) from total)").await
}

fn insert(
    server: &ClickHouse,
    token: &str,
    more: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    let mut parameters = SETTINGS.to_vec();
    parameters.push(("insert_deduplication_token", token));
    parameters.extend_from_slice(more);
    server.post(&parameters).body(body)
}

fn cut(bytes: &Bytes, sizes: &[usize]) -> reqwest::Body {
    let mut rest = bytes.clone();
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(Ok::<_, std::io::Error>(
            rest.split_to((*size).min(rest.len())),
        ));
    }
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test]
async fn a_repeated_insert_is_a_no_op_however_it_is_cut() {
    let server = ClickHouse::start().await;
    tables(&server).await;
    let data = rows(0, ROWS);
    let first = answer(insert(&server, "p:1:0:a", &[], data.clone())).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let all = format!("{ROWS}\t{ROWS}\t{ROWS}");
    assert_eq!(counts(&server).await, all);
    for sizes in [&[65_536][..], &[1_000_003, 7, 999], &[1_799_999], &[9]] {
        let sizes = if sizes == [9] { &[90_009][..] } else { sizes };
        let again = answer(insert(&server, "p:1:0:a", &[], cut(&data, sizes))).await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert_eq!(counts(&server).await, all);
    }
    // The same rows under another token are new facts.
    let other = answer(insert(&server, "p:1:0:b", &[], rows(ROWS, 10))).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert_eq!(counts(&server).await, format!("{0}\t{0}\t{0}", ROWS + 10));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_insert_is_a_no_op_after_a_crash() {
    let server = ClickHouse::start().await;
    tables(&server).await;
    let data = rows(0, ROWS);
    assert_eq!(
        answer(insert(&server, "t", &[], data.clone())).await.status,
        200
    );
    let pid = server.pid();
    signal(pid, Signal::SIGKILL);
    server
        .engines
        .wait_replaced(Engine::ClickHouse, pid, SOON)
        .await
        .unwrap();
    assert_eq!(
        answer(insert(&server, "t", &[], cut(&data, &[100_001])))
            .await
            .status,
        200
    );
    assert_eq!(counts(&server).await, format!("{ROWS}\t{ROWS}\t{ROWS}"));
    server.stop().await;
}

#[tokio::test]
async fn an_insert_that_a_crash_cut_short_is_nowhere_doubled_by_its_repeat() {
    let server = ClickHouse::start().await;
    tables(&server).await;
    // Small blocks, so that the crash falls between some that are written and some that are not.
    let blocks = [
        ("max_insert_block_size", "9000"),
        ("min_insert_block_size_rows", "9000"),
        ("min_insert_block_size_bytes", "0"),
    ];
    let mut completed = 0;
    for round in 0..8_u64 {
        let before = written(&server).await;
        let (token, data) = (format!("round {round}"), rows(round * ROWS, ROWS));
        let pid = server.pid();
        let sent = tokio::spawn(insert(&server, &token, &blocks, data.clone()).send());
        // Once some of it is written: a little more in each round.
        let enough = before + round * ROWS / 10;
        while !sent.is_finished() && written(&server).await <= enough {}
        signal(pid, Signal::SIGKILL);
        server
            .engines
            .wait_replaced(Engine::ClickHouse, pid, SOON)
            .await
            .unwrap();
        let acknowledged = sent
            .await
            .unwrap()
            .is_ok_and(|response| response.status() == 200);
        let first = written(&server).await - before;
        assert!(
            !acknowledged || first == ROWS,
            "an acknowledged insert is not all there"
        );
        let again = answer(insert(&server, &token, &blocks, cut(&data, &[77_777]))).await;
        assert_eq!(again.status, 200, "{}", again.text);
        let (both, different) = (written(&server).await, different(&server).await);
        assert_eq!(both, different, "round {round}: rows that stand twice");
        assert!(
            first <= both - before && both - before <= ROWS,
            "round {round}"
        );
        if first < ROWS && both - before == ROWS {
            completed += 1;
        }
    }
    assert!(
        completed > 0,
        "no insert that was cut short was completed; the test proves nothing"
    );
    server.stop().await;
}

async fn written(server: &ClickHouse) -> u64 {
    let count = server.query("select count() from fact").await;
    count.parse().unwrap()
}

async fn different(server: &ClickHouse) -> u64 {
    let count = server.query("select uniqExact(x) from fact").await;
    count.parse().unwrap()
}
