//! What is kept outside of the databases may be kept in a bucket.

mod backups;
mod outages;
mod place;
mod seals;

use std::process::Output;
use std::sync::Arc;

use event_store::{Place, PlacePath};
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use tests::World;
use tokio::process::Command;
use uuid::Uuid;

use crate::moto;

/// One test's.
pub(super) struct Bucket {
    name: String,
    /// Where it is asked for things.
    endpoint: String,
}

impl Bucket {
    async fn new() -> Self {
        let bucket = Self {
            name: format!("b-{}", Uuid::now_v7().simple()),
            endpoint: moto::url(),
        };
        let url = format!("{}/{}", moto::url(), bucket.name);
        let made = reqwest::Client::new().put(url).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        bucket
    }

    /// The same bucket, by way of somebody else.
    fn by(&self, endpoint: &str) -> Self {
        Self {
            name: self.name.clone(),
            endpoint: endpoint.to_owned(),
        }
    }

    fn location(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    /// As whoever else may write to the bucket.
    async fn put(&self, object: &str, bytes: Vec<u8>) {
        let path = PlacePath::from(object);
        self.place("").put(&path, bytes).await.unwrap();
    }

    /// `None` where nothing is there.
    async fn get(&self, object: &str) -> Option<Vec<u8>> {
        match self.place("").read(&PlacePath::from(object)).await {
            Err(error) if error.is_not_found() => None,
            read => Some(read.unwrap()),
        }
    }

    /// What a process is told of it.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let own = |text: &str| text.to_owned();
        vec![
            ("AWS_ENDPOINT_URL_S3", self.endpoint.clone()),
            ("AWS_ALLOW_HTTP", own("true")),
            ("AWS_REGION", own("eu-central-1")),
            ("AWS_ACCESS_KEY_ID", own("test")),
            ("AWS_SECRET_ACCESS_KEY", own("not-to-be-shown")),
        ]
    }

    /// What a platform is told that keeps everything there.
    fn everything(&self) -> Vec<(&'static str, String)> {
        let places = [
            ("PROOFLINE_ANCHOR", self.location("anchor")),
            ("PROOFLINE_BACKUPS", self.location("backups")),
            ("PROOFLINE_KEY_BACKUPS", self.location("keys/of/eu")),
        ];
        [self.environment(), places.to_vec()].concat()
    }

    fn place(&self, prefix: &str) -> Place {
        let store = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region("eu-central-1")
            .with_access_key_id("test")
            .with_secret_access_key("not-to-be-shown")
            .with_bucket_name(&self.name)
            .build()
            .unwrap();
        let store = PrefixStore::new(store, PlacePath::from(prefix));
        Place::new(self.location(prefix), Arc::new(store))
    }
}

/// As a process takes it.
fn borrowed<'a>(environment: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    let variables = environment.iter();
    variables
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// `replay`, as a process that finds in its environment where things are.
async fn replay(world: &World, bucket: &Bucket, arguments: &[&str]) -> Output {
    let (backups, keys) = (bucket.location("backups"), bucket.location("keys/of/eu"));
    let typed = crate::backups::typed(world, [&backups, &keys], arguments);
    Command::new(env!("CARGO_BIN_EXE_replay-process"))
        .args(&typed[1..])
        .envs(bucket.everything())
        .output()
        .await
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// What it said, having done what it was told.
async fn done(world: &World, bucket: &Bucket, arguments: &[&str]) -> String {
    let output = replay(world, bucket, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Why it did not.
async fn refused(world: &World, bucket: &Bucket, arguments: &[&str]) -> String {
    let output = replay(world, bucket, arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
    let said = said(&output);
    assert!(!said.contains("not-to-be-shown"), "{said}");
    said
}
