//! The official `clickhouse` crate, which is the platform's only client.

use clickhouse::error::Error;
use clickhouse::{Compression, Row};
use serde::{Deserialize, Serialize};

use crate::harness::ClickHouse;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Fact {
    id: u64,
    name: String,
    amount: Option<i64>,
    tags: Vec<String>,
}

fn fact(id: u64) -> Fact {
    Fact {
        id,
        name: format!("fact {id} 'quoted' \\ ☃"),
        amount: id.is_multiple_of(3).then_some(-7),
        tags: vec!["a".to_owned(); usize::try_from(id % 3).unwrap()],
    }
}

#[tokio::test]
async fn rows_go_in_and_come_out_with_and_without_compression() {
    let server = ClickHouse::start().await;
    for compression in [Compression::Lz4, Compression::None] {
        let client = server
            .client()
            .with_compression(compression)
            .with_database("facts");
        server.query("create database if not exists facts").await;
        client
            .query(
                "create or replace table fact (id UInt64, name String, amount Nullable(Int64), tags Array(String))
                 engine = MergeTree order by id",
            )
            .execute()
            .await
            .unwrap();
        let mut insert = client.insert::<Fact>("fact").await.unwrap();
        for id in 0..100_000 {
            insert.write(&fact(id)).await.unwrap();
        }
        insert.end().await.unwrap();

        let mut cursor = client
            .query("select ?fields from fact order by id")
            .fetch::<Fact>()
            .unwrap();
        let mut expected = 0;
        while let Some(row) = cursor.next().await.unwrap() {
            assert_eq!(row, fact(expected));
            expected += 1;
        }
        assert_eq!(expected, 100_000);

        let bound: u64 = client
            .query("select count() from fact where id < ? and name like ?")
            .bind(1000)
            .bind("%'quoted'%")
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(bound, 1000);
        let by_parameter: Vec<u64> = client
            .query("select id from fact where has({ids:Array(UInt64)}, id) and name != {no:String} order by id")
            .param("ids", vec![5, 3])
            .param("no", "it's\tnot")
            .fetch_all()
            .await
            .unwrap();
        assert_eq!(by_parameter, [3, 5]);
        let none = client
            .query("select id from fact where id = 1000000")
            .fetch_optional::<u64>()
            .await
            .unwrap();
        assert_eq!(none, None);
        let with_setting: String = client
            .query("select getSetting('log_comment')")
            .with_setting("log_comment", "it's")
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(with_setting, "it's");
    }
    server.stop().await;
}

#[tokio::test]
async fn its_formatted_inserts_and_results_work() {
    let server = ClickHouse::start().await;
    let client = server.client();
    server.query("create table fact (id UInt64, name String, amount Nullable(Int64), tags Array(String)) engine = MergeTree order by id").await;
    let mut insert = client.insert_formatted_with("insert into fact format JSONEachRow");
    insert.send("{\"id\": 9999, \"name\"".into()).await.unwrap();
    insert.send(": \"last\"}\n".into()).await.unwrap();
    insert.end().await.unwrap();
    assert_eq!(
        server.query("select name from fact where id = 9999").await,
        "last"
    );

    let mut lines = client
        .query("select id from fact order by id")
        .fetch_bytes("JSONEachRow")
        .unwrap();
    let lines = lines.collect().await.unwrap();
    assert_eq!(
        &lines[..],
        b"{\"id\":9999}
"
    );
    server.stop().await;
}

#[tokio::test]
async fn it_sees_errors_early_and_late() {
    let server = ClickHouse::start().await;
    for compression in [Compression::Lz4, Compression::None] {
        let client = server.client().with_compression(compression);
        let error = client
            .query("select * from nope")
            .fetch_all::<u64>()
            .await
            .unwrap_err();
        let Error::BadResponse(text) = &error else {
            panic!("{error}")
        };
        assert!(text.starts_with("Code: 60. DB::Exception: "), "{text}");

        let mut cursor = client
            .query("select throwIf(number = 3000000) from numbers(4000000)")
            .fetch::<u8>()
            .unwrap();
        let error = loop {
            match cursor.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the late error was lost"),
                Err(error) => break error,
            }
        };
        let Error::BadResponse(text) = &error else {
            panic!("{error}")
        };
        assert!(text.starts_with("Code: 395. DB::Exception: "), "{text}");
    }
    let error = server
        .client()
        .with_password("wrong")
        .query("select 1")
        .fetch_one::<u8>()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Authentication failed"),
        "{error}"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_insert_that_is_dropped_before_its_end_leaves_no_rows() {
    let server = ClickHouse::start().await;
    server.query("create table fact (id UInt64, name String, amount Nullable(Int64), tags Array(String)) engine = MergeTree order by id").await;
    for compression in [Compression::Lz4, Compression::None] {
        let client = server.client().with_compression(compression);
        let mut insert = client.insert::<Fact>("fact").await.unwrap();
        for id in 0..50_000 {
            insert.write(&fact(id)).await.unwrap();
        }
        drop(insert);
    }
    // One that ends: the server has seen the others' ends before it.
    let mut insert = server.client().insert::<Fact>("fact").await.unwrap();
    insert.write(&fact(1)).await.unwrap();
    insert.end().await.unwrap();
    assert_eq!(server.query("select count() from fact").await, "1");
    server.stop().await;
}
