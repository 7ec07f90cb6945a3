//! AWS KMS, as moto emulates it: one process for all tests, each of whose keys is one test's.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::config::{Credentials, SharedCredentialsProvider};
use key_providers::AwsKms;

/// It ends when its standard input does, which is when this process ends.
static MOTO: LazyLock<(String, Child)> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut child = Command::new(root.join(".proofline/kms/bin/python"))
        .arg(root.join("tests/kms/serve.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("an emulator of AWS KMS; `make test` installs it");
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    (format!("http://127.0.0.1:{}", port.trim()), child)
});

pub(super) fn url() -> String {
    MOTO.0.clone()
}

/// What tells the platform to keep its keys there.
pub(super) fn environment(url: &str) -> [(&'static str, &str); 6] {
    [
        ("PROOFLINE_KEY_PROVIDER", "aws-kms"),
        ("PROOFLINE_AWS_KMS_ENDPOINT", url),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

pub(super) fn at(url: &str) -> AwsKms {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    AwsKms::new(&config, Some(url), "test")
}
