//! Start, stop, death and replacement.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use engines::{Engine, Engines, EnginesError, Port, Silent, Urls};
use nix::sys::signal::Signal;
use redis::AsyncCommands as _;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::{sleep, timeout};

use crate::harness::{ClickHouse, SOON, config, runs, signal, temp_dir};

async fn postgres(urls: &Urls) -> PgConnection {
    PgConnection::connect(&urls.database_url).await.unwrap()
}

async fn redis(urls: &Urls) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(urls.redis_url.as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn clickhouse(urls: &Urls, sql: &str) -> String {
    let sent = reqwest::Client::new()
        .post(&urls.clickhouse_url)
        .body(sql.to_owned())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
    sent.text().await.unwrap()
}

#[tokio::test]
async fn each_engine_serves_and_all_of_them_end() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let urls = engines.urls().clone();
    let pids: Vec<u32> = Engine::ALL
        .iter()
        .map(|engine| engines.pid(*engine).unwrap())
        .collect();

    let row = sqlx::query(
        "select current_database()::text, current_setting('data_checksums'), current_setting('fsync'),
                current_setting('listen_addresses'), current_setting('password_encryption'),
                current_setting('server_encoding')",
    )
    .fetch_one(&mut postgres(&urls).await)
    .await
    .unwrap();
    let found: Vec<String> = (0..6).map(|column| row.get(column)).collect();
    assert_eq!(
        found,
        [
            "proofline",
            "on",
            "on",
            "127.0.0.1",
            "scram-sha-256",
            "UTF8"
        ]
    );
    let append_only: Vec<String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("appendonly")
        .query_async(&mut redis(&urls).await)
        .await
        .unwrap();
    assert_eq!(append_only, ["appendonly", "yes"]);
    assert_eq!(clickhouse(&urls, "select 40 + 2").await, "42\n");

    engines.stop().await;
    assert!(
        pids.iter().all(|pid| !runs(*pid)),
        "an engine outlived its platform"
    );
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let without = |url: &str| {
        let mut url = reqwest::Url::parse(url).unwrap();
        url.set_password(None).unwrap();
        url
    };
    let urls = engines.urls();
    assert!(
        PgConnection::connect(without(&urls.database_url).as_str())
            .await
            .is_err()
    );
    let answer = reqwest::get(
        without(&urls.clickhouse_url)
            .join("/?query=select+1")
            .unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status(), 403);
    let open =
        redis::Client::open(without(&urls.redis_url).as_str().replace("default@", "")).unwrap();
    let refused = match open.get_multiplexed_async_connection().await {
        Ok(mut connection) => redis::cmd("GET")
            .arg("x")
            .query_async::<Option<String>>(&mut connection)
            .await
            .err(),
        Err(error) => Some(error),
    };
    assert!(refused.is_some_and(|error| error.to_string().contains("NOAUTH")));

    let mode = |file: &str| std::fs::metadata(dir.path().join(file)).unwrap().mode() & 0o777;
    for engine in ["postgres", "redis", "clickhouse"] {
        assert_eq!(mode(&format!("{engine}.password")), 0o600);
    }
    engines.stop().await;
}

#[tokio::test]
async fn postgres_and_redis_never_run_as_root() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    for engine in [Engine::Postgres, Engine::Redis] {
        let process = std::fs::metadata(format!("/proc/{}", engines.pid(engine).unwrap())).unwrap();
        assert_ne!(process.uid(), 0, "{engine}");
    }
    engines.stop().await;
}

#[tokio::test]
async fn a_killed_engine_comes_back_at_the_same_url_with_its_data() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let urls = engines.urls().clone();
    sqlx::raw_sql("create table kept (x int); insert into kept values (1), (2)")
        .execute(&mut postgres(&urls).await)
        .await
        .unwrap();
    let () = redis(&urls).await.set("kept", 3).await.unwrap();
    clickhouse(
        &urls,
        "create table kept (x UInt8) engine = MergeTree order by x",
    )
    .await;
    clickhouse(&urls, "insert into kept values (1), (2), (3)").await;
    for engine in Engine::ALL {
        let pid = engines.pid(engine).unwrap();
        signal(pid, Signal::SIGKILL);
        engines.wait_replaced(engine, pid, SOON).await.unwrap();
        assert_eq!(engines.restarts(engine), 1);
    }

    let count: i64 = sqlx::query_scalar("select count(*) from kept")
        .fetch_one(&mut postgres(&urls).await)
        .await
        .unwrap();
    assert_eq!(count, 2);
    let kept: i64 = redis(&urls).await.get("kept").await.unwrap();
    assert_eq!(kept, 3);
    assert_eq!(clickhouse(&urls, "select count() from kept").await, "3\n");
    engines.stop().await;
}

#[tokio::test]
async fn data_and_passwords_outlive_a_stop() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let first = engines.urls().clone();
    clickhouse(
        &first,
        "create table kept (x UInt8) engine = MergeTree order by x",
    )
    .await;
    clickhouse(&first, "insert into kept values (1), (2)").await;
    let () = redis(&first).await.set("kept", 1).await.unwrap();
    engines.stop().await;

    let mut again = config(dir.path());
    let port = |url: &str| Port::Fixed(reqwest::Url::parse(url).unwrap().port().unwrap());
    again.ports.postgres = port(&first.database_url);
    again.ports.redis = port(&first.redis_url);
    again.ports.clickhouse = port(&first.clickhouse_url);
    let engines = Engines::start(again, &Silent).await.unwrap();
    assert!(engines.urls() == &first);
    assert_eq!(clickhouse(&first, "select count() from kept").await, "2\n");
    let kept: i64 = redis(&first).await.get("kept").await.unwrap();
    assert_eq!(kept, 1);
    engines.stop().await;
}

#[tokio::test]
async fn what_is_given_is_not_started() {
    let running = ClickHouse::start().await;
    assert_eq!(running.engines.urls().database_url, "postgres://given/");
    assert_eq!(running.engines.pid(Engine::Postgres), None);
    assert_eq!(running.engines.pid(Engine::Redis), None);
    assert!(!running.dir.path().join("postgres").exists());
    let error = running
        .engines
        .wait_ready(Engine::Redis, SOON)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        EnginesError::NotManaged {
            engine: Engine::Redis
        }
    ));
    running.stop().await;

    let nothing = temp_dir();
    let mut all = config(&nothing.path().join("unused"));
    all.database_url = Some("a".to_owned());
    all.redis_url = Some("b".to_owned());
    all.clickhouse_url = Some("c".to_owned());
    let engines = Engines::start(all, &Silent).await.unwrap();
    let urls = engines.urls();
    assert_eq!(
        [&urls.database_url, &urls.redis_url, &urls.clickhouse_url],
        ["a", "b", "c"]
    );
    assert!(!nothing.path().join("unused").exists());
    engines.stop().await;
}

#[tokio::test]
async fn a_second_platform_is_told_who_has_the_data_directory() {
    let running = ClickHouse::start().await;
    let Err(error) = Engines::start(config(running.dir.path()), &Silent).await else {
        panic!("two platforms share a data directory");
    };
    let EnginesError::Locked { holder, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(holder, &std::process::id().to_string());
    running.stop().await;
}

#[tokio::test]
async fn a_folder_that_the_engines_user_can_not_enter_is_refused_in_one_line() {
    if !nix::unistd::geteuid().is_root() {
        return; // nobody else is involved then
    }
    let dir = temp_dir();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let inner = dir.path().join("data");
    let Err(error) = Engines::start(config(&inner), &Silent).await else {
        panic!("started in a folder that nobody else can enter");
    };
    assert!(matches!(error, EnginesError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains('\n'));
}

#[tokio::test]
async fn what_is_busy_is_stopped_in_time_all_the_same() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let urls = engines.urls().clone();
    let mut connection = postgres(&urls).await;
    for sql in [
        "create table kept (x int); insert into kept values (1)",
        "begin; insert into kept values (2)",
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    let endless = reqwest::Client::new()
        .post(&urls.clickhouse_url)
        .body("select max(sipHash64(number)) from system.numbers");
    let endless = tokio::spawn(endless.send());
    while clickhouse(&urls, "select count() from system.processes").await == "1\n" {
        sleep(Duration::from_millis(10)).await;
    }
    // Promised are five seconds; the rest is for a busy machine.
    timeout(Duration::from_secs(10), engines.stop())
        .await
        .unwrap();
    assert!(
        !endless
            .await
            .unwrap()
            .is_ok_and(|answer| answer.status().is_success())
    );

    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from kept")
        .fetch_one(&mut postgres(engines.urls()).await)
        .await
        .unwrap();
    assert_eq!(count, 1, "what was not committed is gone, and nothing else");
    engines.stop().await;
}

#[tokio::test]
async fn engines_that_are_dropped_do_not_run_on() {
    let dir = temp_dir();
    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    let pids: Vec<u32> = Engine::ALL
        .iter()
        .map(|engine| engines.pid(*engine).unwrap())
        .collect();
    drop(engines);
    let gone = async {
        while pids.iter().any(|pid| runs(*pid)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone).await.unwrap();
}
