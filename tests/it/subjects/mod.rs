//! What people ask for, as a compliance officer enters it, and what becomes of it.

mod access;
mod consents;
mod erasure;
mod requests;
mod restored;
mod terminal;
mod unlinking;

use std::time::{Duration, Instant};

use clap::Parser as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::served::{Answered, Served, Shop, answered, order_of};
const DEADLINE: Duration = Duration::from_secs(30);

/// A served platform that projects by itself, with a compliance officer and a shop.
pub(crate) struct Office {
    pub(crate) it: Served,
    pub(crate) officer: String,
    pub(crate) shop: Shop,
}

impl Office {
    pub(crate) async fn open() -> Self {
        let it = Served::start().await;
        Self {
            officer: it.key_with("compliance").await,
            shop: it.shop().await,
            it,
        }
    }

    /// Projects as long as it is held.
    pub(crate) fn projecting(&self) -> DropGuard {
        let stop = CancellationToken::new();
        drop(self.it.projections.spawn_all(&stop));
        stop.drop_guard()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answered {
        let request = self.it.request(method, path).bearer_auth(&self.officer);
        answered(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(crate) async fn enter(&self, path: &str, body: Value) -> Answered {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn read(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn order(&self, name: &str, id: u64) -> String {
        let webhook = format!("w-{id}");
        let delivered = self
            .it
            .deliver(&self.shop, "orders/create", &webhook, &order_of(name, id))
            .await
            .is(200);
        delivered.body["activity_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The path of the person's record.
    pub(crate) async fn record_of(&self, name: &str) -> String {
        let email = format!("{}.Schmidt@example.com", name.to_uppercase());
        let opened = self.enter("/v1/subjects", json!({ "email": email })).await;
        assert!(opened.status.is_success(), "{}", opened.body);
        format!("/v1/subjects/{}", opened.body["id"].as_str().unwrap())
    }

    async fn request_erasure(&self, record: &str) -> Answered {
        self.enter(&format!("{record}/erasure-requests"), json!({}))
            .await
            .is(200)
    }

    /// The names that the shop's pages show, the latest first.
    async fn shown(&self) -> Vec<String> {
        let feed = format!("/embed/v1/{}/feed", self.shop.embed_key);
        let feed = answered(self.it.request(Method::GET, &feed)).await;
        let Some(items) = feed.body["items"].as_array() else {
            assert_eq!(feed.status, 404, "{}", feed.body);
            return Vec::new(); // the site is not projected yet
        };
        let message = |item: &Value| item["message"].as_str().unwrap().to_owned();
        items.iter().map(message).collect()
    }

    /// Waits until what is read under the path is as it should be.
    pub(crate) async fn shows(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let read = self.read(path).await;
            if read.status == 200 && is_so(&read.body) {
                return read.body;
            }
            assert!(Instant::now() < deadline, "{path}: {}", read.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// As [`Office::shows`], of the messages on the shop's pages.
    pub(crate) async fn pages_show(&self, mut expected: Vec<&str>) {
        expected.sort_unstable();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut shown = self.shown().await;
            shown.sort();
            if shown == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{shown:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Carries out what is asked for until the person is erased.
    pub(crate) async fn erase(&self, record: &str) -> Value {
        self.request_erasure(record).await;
        let requested = |body: &Value| body["erasure"]["state"] != "not_requested";
        self.shows(record, requested).await;
        let deadline = Instant::now() + DEADLINE;
        while self.it.chores.erasures().round().await.unwrap() > 0 {
            assert!(Instant::now() < deadline, "not erased in time");
        }
        let certified = |body: &Value| body["erasure"]["state"] == "certified";
        self.shows(record, certified).await
    }
}

pub(crate) const ANNA: &str = "Anna from Berlin bought Trail Runner 3";
pub(crate) const BOB: &str = "Bob from Berlin bought Trail Runner 3";
pub(crate) const SOMEONE: &str = "Someone bought Trail Runner 3";

/// As an operator runs it; answers what it said.
async fn replay(world: &tests::World, arguments: &[&str]) -> anyhow::Result<String> {
    let all = ["replay", "--database-url", &world.database_url, "subject"];
    let all = all.iter().copied().chain(arguments.iter().copied());
    let mut out = Vec::new();
    replay_tools::run(replay_tools::Arguments::parse_from(all), &mut out)
        .await
        .map(|()| String::from_utf8(out.clone()).unwrap())
        .map_err(|error| error.context(String::from_utf8(out).unwrap()))
}
