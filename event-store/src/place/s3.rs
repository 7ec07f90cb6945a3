//! Places in S3, and in what speaks like it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

/// For one request, beside the client's own limits of five seconds to connect and thirty in all.
const RETRIES_MAX: usize = 5;
/// No request is repeated after so long.
const RETRIED_WITHIN: Duration = Duration::from_secs(30);

/// Who is asked, and as whom, stands in the variables that begin with `AWS_`.
pub(super) fn store(
    bucket: &str,
    prefix: &Path,
) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRIED_WITHIN,
        });
    let checksum = builder.get_config_value(&AmazonS3ConfigKey::Checksum);
    if checksum.is_none() {
        // A bucket whose objects are locked takes none without.
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    Ok(Arc::new(PrefixStore::new(builder.build()?, prefix.clone())))
}
