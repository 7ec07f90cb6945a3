//! A platform that was killed leaves engines running; the next one on the same data ends them and goes on.

use std::path::Path;
use std::time::Duration;

use engines::{Engine, Engines, Silent};
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{sleep, timeout};

use crate::cli::engines;
use crate::harness::{SOON, config, runs, signal, temp_dir};

fn pid_in(file: &Path) -> u32 {
    std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_killed_platforms_engines_are_ended_and_the_data_is_there() {
    let dir = temp_dir();
    let mut child = engines()
        .args(["up", "--data-dir"])
        .arg(dir.path())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = timeout(SOON, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let url = url.strip_prefix("DATABASE_URL=").unwrap();
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("create table kept (x int); insert into kept values (1)")
        .execute(&mut connection)
        .await
        .unwrap();
    timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    timeout(SOON, lines.next_line()).await.unwrap().unwrap();

    signal(child.id().unwrap(), Signal::SIGKILL);
    child.wait().await.unwrap();
    let postmaster = pid_in(&dir.path().join("postgres/postmaster.pid"));
    let redis = pid_in(&dir.path().join("redis/redis.pid"));
    let clickhouse = pid_in(&dir.path().join("clickhouse/server.pid"));
    assert!(
        runs(postmaster) && runs(redis),
        "these know nothing of their parent"
    );

    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    for leftover in [postmaster, redis, clickhouse] {
        assert!(!runs(leftover));
    }
    let mut connection = PgConnection::connect(&engines.urls().database_url)
        .await
        .unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
    engines.stop().await;
}

#[tokio::test]
async fn the_clickhouse_server_ends_by_itself_when_its_parent_is_killed() {
    let dir = temp_dir();
    let mut child = engines()
        .args(["up", "--data-dir"])
        .arg(dir.path())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    let clickhouse = pid_in(&dir.path().join("clickhouse/server.pid"));
    signal(child.id().unwrap(), Signal::SIGKILL);
    child.wait().await.unwrap();
    let gone = async {
        while runs(clickhouse) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone)
        .await
        .expect("the server outlived its parent");
    // The others are ended by the next start, here only to leave nothing behind.
    Engines::start(config(dir.path()), &Silent)
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn a_stranger_with_a_recorded_process_id_is_never_signalled() {
    let dir = temp_dir();
    Engines::start(config(dir.path()), &Silent)
        .await
        .unwrap()
        .stop()
        .await;
    let mut stranger = tokio::process::Command::new("sleep")
        .arg("600")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = stranger.id().unwrap();
    // What a crash leaves, after the kernel has given the id to somebody else.
    std::fs::write(
        dir.path().join("postgres/postmaster.pid"),
        format!("{pid}\n{}\n", dir.path().display()),
    )
    .unwrap();
    std::fs::write(dir.path().join("redis/redis.pid"), format!("{pid}\n")).unwrap();
    std::fs::write(dir.path().join("clickhouse/server.pid"), format!("{pid}")).unwrap();

    let engines = Engines::start(config(dir.path()), &Silent).await.unwrap();
    assert!(engines.pid(Engine::Postgres).is_some());
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was signalled"
    );
    engines.stop().await;
    stranger.kill().await.unwrap();
}
