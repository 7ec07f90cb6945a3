//! AWS KMS, as moto emulates it.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::config::{Credentials, SharedCredentialsProvider};
use key_providers::AwsKms;

pub(super) use crate::moto::url;

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
