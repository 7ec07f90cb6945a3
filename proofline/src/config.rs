//! Where everything is, for every subcommand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use chrono::TimeDelta;
use domain::DataRegion;
use engines::Urls;
use event_store::{Location, Place};
use key_providers::KeyProviderArgs;
use platform::rate_limit::Quota;
use platform::serve::TlsFiles;
use read_api::ReadConfig;
use replay_tools::backup::{Places, Retention, Source};
use reqwest::Url;
use uuid::Uuid;
use write_api::WriteConfig;

use crate::webhook::WebhookArgs;

/// Engines by URL, and what is kept beside them.
#[derive(Clone, clap::Args)]
pub struct Connections {
    /// Postgres, as a role that may become the runtime roles.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// The database of subject keys; by default the same server's database with `_keys` after its name.
    #[arg(long, env = "KEYS_DATABASE_URL", hide_env_values = true)]
    pub keys_database_url: Option<String>,
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// In front of every key in Redis.
    #[arg(long, env = "PROOFLINE_REDIS_PREFIX", default_value = "proofline")]
    pub redis_prefix: String,
    #[arg(long, env = "CLICKHOUSE_URL", hide_env_values = true)]
    pub clickhouse_url: String,
    #[arg(
        long,
        env = "PROOFLINE_CLICKHOUSE_DATABASE",
        default_value = "proofline"
    )]
    pub clickhouse_database: String,
    #[command(flatten)]
    pub key_provider: KeyProviderArgs,
    /// The local key file, where that is the key provider; made where there is none.
    #[arg(
        long,
        env = "PROOFLINE_KEY_FILE",
        default_value = ".proofline/keys.json"
    )]
    pub key_file: PathBuf,
    /// Where signed heads of the log are kept outside of the database, a folder or `s3://BUCKET/PREFIX`; by default the folder
    /// `anchor` beside the key file.
    #[arg(long, env = "PROOFLINE_ANCHOR", value_parser = Location::of_argument)]
    pub anchor: Option<Location>,
    /// Where backups of the event store and of ClickHouse are kept, a folder or `s3://BUCKET/PREFIX`; by default the folder
    /// `backups` beside the key file.
    #[arg(long, env = "PROOFLINE_BACKUPS", value_parser = Location::of_argument)]
    pub backups: Option<Location>,
    /// Where backups of the key database are kept, apart from the others, a folder or `s3://BUCKET/PREFIX`; by default the folder
    /// `key-backups` beside the key file.
    #[arg(long, env = "PROOFLINE_KEY_BACKUPS", value_parser = Location::of_argument)]
    pub key_backups: Option<Location>,
    /// In which region everything of this platform is, by a name such as `eu`. Its databases are told by `migrate`, and no
    /// process of another region opens them.
    #[arg(long, env = "PROOFLINE_REGION")]
    pub region: Option<DataRegion>,
    /// This process among those that project: like no other's. By default made of host, process and chance.
    #[arg(long, env = "PROOFLINE_WORKER", default_value_t = unlike_any_other())]
    pub worker: String,
}

/// Passwords stay out of logs.
impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// To engines that run below a data directory.
    pub fn to_engines(
        urls: &Urls,
        data_dir: &std::path::Path,
        key_provider: KeyProviderArgs,
    ) -> Result<Self> {
        Ok(Self {
            database_url: urls.database_url.clone(),
            keys_database_url: std::env::var("KEYS_DATABASE_URL").ok(),
            redis_url: urls.redis_url.clone(),
            redis_prefix: "proofline".to_owned(),
            clickhouse_url: urls.clickhouse_url.clone(),
            clickhouse_database: "proofline".to_owned(),
            key_provider,
            key_file: data_dir.join("keys.json"),
            anchor: named("PROOFLINE_ANCHOR")?,
            backups: named("PROOFLINE_BACKUPS")?,
            key_backups: named("PROOFLINE_KEY_BACKUPS")?,
            region: named("PROOFLINE_REGION")?,
            // Only one platform at a time runs on a data directory: what one that was killed had leased is its
            // successor's at once.
            worker: format!(
                "{}:{}",
                host(),
                data_dir
                    .canonicalize()
                    .unwrap_or_else(|_| data_dir.to_owned())
                    .display()
            ),
        })
    }

    /// To engines that the environment names. `None` where one is not named.
    pub fn from_env(
        data_dir: &std::path::Path,
        key_provider: KeyProviderArgs,
    ) -> Result<Option<Self>> {
        let given = |engine: engines::Engine| {
            std::env::var(engine.url_variable())
                .ok()
                .filter(|url| !url.is_empty())
        };
        let named = (
            given(engines::Engine::Postgres),
            given(engines::Engine::Redis),
            given(engines::Engine::ClickHouse),
        );
        let (Some(database_url), Some(redis_url), Some(clickhouse_url)) = named else {
            return Ok(None);
        };
        let urls = Urls {
            database_url,
            redis_url,
            clickhouse_url,
        };
        Self::to_engines(&urls, data_dir, key_provider).map(Some)
    }

    /// Where signed heads of the log are kept.
    pub fn anchor(&self) -> Location {
        self.named_or_beside(&self.anchor, "anchor")
    }

    /// Where backups are kept.
    pub async fn places(&self) -> Result<Places> {
        let backups = self.named_or_beside(&self.backups, "backups");
        Ok(Places {
            backups: Place::open_private(&backups).await?,
            keys: self.key_backups().await?,
        })
    }

    /// Where backups of the key database are kept, and copies of keys.
    pub async fn key_backups(&self) -> Result<Place> {
        let location = self.named_or_beside(&self.key_backups, "key-backups");
        Ok(Place::open_private(&location).await?)
    }

    /// What nobody named stands beside the key file.
    fn named_or_beside(&self, named: &Option<Location>, name: &str) -> Location {
        let beside = || Location::folder(self.key_file.with_file_name(name));
        named.clone().unwrap_or_else(beside)
    }

    /// What is backed up.
    pub fn backed_up(&self) -> Result<Source> {
        Ok(Source {
            database_url: Url::parse(&self.database_url).context("DATABASE_URL is not a URL")?,
            keys_url: Url::parse(&self.keys_url()?).context("KEYS_DATABASE_URL is not a URL")?,
            clickhouse: self.clickhouse()?.with_database(&self.clickhouse_database),
        })
    }

    /// Where the subject keys are.
    pub fn keys_url(&self) -> Result<String> {
        match &self.keys_database_url {
            Some(url) => Ok(url.clone()),
            None => {
                let mut url =
                    Url::parse(&self.database_url).context("DATABASE_URL is not a URL")?;
                let keys = format!("{}_keys", url.path());
                url.set_path(&keys);
                Ok(url.into())
            }
        }
    }

    /// A client without a database, its user and password taken out of the URL.
    pub fn clickhouse(&self) -> Result<clickhouse::Client> {
        let mut url = Url::parse(&self.clickhouse_url).context("CLICKHOUSE_URL is not a URL")?;
        let mut client = clickhouse::Client::default();
        if !url.username().is_empty() {
            client = client.with_user(url.username());
        }
        if let Some(password) = url.password() {
            client = client.with_password(password);
        }
        let bare = url.set_password(None).and_then(|()| url.set_username(""));
        bare.map_err(|()| anyhow::anyhow!("CLICKHOUSE_URL has no host"))?;
        Ok(client.with_url(url))
    }
}

/// What a variable names. `None` where it is not set.
fn named<T>(variable: &str) -> Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let named = match std::env::var(variable) {
        Err(std::env::VarError::NotPresent) => return Ok(None),
        named => named.with_context(|| variable.to_owned())?,
    };
    named.parse().map(Some).with_context(|| variable.to_owned())
}

fn unlike_any_other() -> String {
    let chance = Uuid::new_v4().simple().to_string();
    format!("{}:{}-{}", host(), std::process::id(), &chance[..8])
}

fn host() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What a deployment tunes. Every limit has a default that serves a shop of some size.
#[derive(Clone, Debug, clap::Args)]
pub struct Tuning {
    /// Proxies in front that set X-Forwarded-For; 0 believes nobody.
    #[arg(long, env = "PROOFLINE_TRUSTED_PROXIES", default_value_t = 0)]
    pub trusted_proxies: usize,
    /// Telemetry events per second that one site may send; ten times as many at once.
    #[arg(
        long,
        env = "PROOFLINE_COLLECT_EVENTS_PER_SECOND",
        default_value_t = 5_000
    )]
    pub collect_events_per_second: u32,
    /// Requests to /collect per second from one network; ten times as many at once.
    #[arg(
        long,
        env = "PROOFLINE_COLLECT_REQUESTS_PER_SECOND",
        default_value_t = 200
    )]
    pub collect_requests_per_second: u32,
    /// How many days back the audit of an account goes, and for how long it is kept who opened personal data; at least a
    /// year. Events themselves are kept for ever.
    #[arg(
        long,
        env = "PROOFLINE_AUDIT_RETENTION_DAYS",
        default_value_t = 2_557,
        value_parser = clap::value_parser!(u16).range(365..)
    )]
    pub audit_retention_days: u16,
    /// The platforms of other regions, whose sites are registered there: `us=https://us.example.com`, several with commas
    /// between them.
    #[arg(long, env = "PROOFLINE_OTHER_REGIONS", value_delimiter = ',')]
    pub other_regions: Vec<String>,
    /// Serve over TLS, with the certificates in this PEM file: the server's, then those that lead to its root. New files are
    /// taken over within a minute.
    #[arg(long, env = "PROOFLINE_TLS_CERTIFICATES")]
    pub tls_certificates: Option<PathBuf>,
    /// The private key to the certificate, in PEM.
    #[arg(long, env = "PROOFLINE_TLS_PRIVATE_KEY")]
    pub tls_private_key: Option<PathBuf>,
    /// Make a backup whenever the newest is so old; without this, nobody does but `replay backup create`.
    #[arg(
        long,
        env = "PROOFLINE_BACKUP_EVERY_HOURS",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub backup_every_hours: Option<u16>,
    #[command(flatten)]
    pub backup_retention: Retention,
    #[command(flatten)]
    pub webhook: WebhookArgs,
}

impl Tuning {
    /// `None` where nothing is said of it.
    pub fn tls(&self) -> Result<Option<TlsFiles>> {
        match (&self.tls_certificates, &self.tls_private_key) {
            (None, None) => Ok(None),
            (Some(certificates), Some(private_key)) => Ok(Some(TlsFiles {
                certificates: certificates.clone(),
                private_key: private_key.clone(),
            })),
            _ => bail!("PROOFLINE_TLS_CERTIFICATES and PROOFLINE_TLS_PRIVATE_KEY go together"),
        }
    }

    /// `own` is the region of the platform itself.
    pub fn write(&self, own: Option<&DataRegion>) -> Result<WriteConfig> {
        let quota = |per_second: u32| Quota {
            per_second,
            burst: per_second.saturating_mul(10),
        };
        let others = self.other_regions.iter().map(|text| other_region(text));
        let other_regions: BTreeMap<_, _> = others.collect::<Result<_>>()?;
        if own.is_some_and(|own| other_regions.contains_key(own)) {
            bail!("PROOFLINE_OTHER_REGIONS names PROOFLINE_REGION itself");
        }
        Ok(WriteConfig {
            other_regions,
            collect_events_per_site: quota(self.collect_events_per_second),
            collect_requests_per_network: quota(self.collect_requests_per_second),
            ..WriteConfig::default()
        })
    }

    pub fn read(&self) -> ReadConfig {
        ReadConfig {
            audit_retention: TimeDelta::days(self.audit_retention_days.into()),
            ..ReadConfig::default()
        }
    }
}

/// A region, and the URL of its platform without a slash at the end.
fn other_region(text: &str) -> Result<(DataRegion, String)> {
    let named = text.split_once('=').and_then(|(name, url)| {
        let (name, url) = (DataRegion::parse(name).ok()?, Url::parse(url).ok()?);
        let is_plain = matches!(url.scheme(), "http" | "https")
            && (url.username(), url.password()) == ("", None)
            && (url.query(), url.fragment()) == (None, None);
        is_plain.then(|| (name, url.as_str().trim_end_matches('/').to_owned()))
    });
    // Not told what it was: it may be a URL with a password.
    named.context("PROOFLINE_OTHER_REGIONS takes regions with their platforms' URLs, such as us=https://us.example.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections() -> Connections {
        Connections {
            database_url: "postgres://u:p@127.0.0.1:5/proofline?sslmode=disable".to_owned(),
            keys_database_url: None,
            redis_url: String::new(),
            redis_prefix: String::new(),
            clickhouse_url: "http://u:p@127.0.0.1:6/".to_owned(),
            clickhouse_database: String::new(),
            key_provider: KeyProviderArgs::default(),
            key_file: PathBuf::new(),
            anchor: None,
            backups: None,
            key_backups: None,
            region: None,
            worker: String::new(),
        }
    }

    #[test]
    fn another_region_has_a_name_and_a_plain_url() {
        let named = other_region("US=https://us.example.com/").unwrap();
        assert_eq!(named.0.as_str(), "us");
        assert_eq!(named.1, "https://us.example.com");
        for text in [
            "us",
            "=https://us.example.com",
            "us=us.example.com",
            "us=ftp://us.example.com",
            "us=https://u:secret@us.example.com",
            "us=https://us.example.com?x",
        ] {
            let refused = other_region(text).unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn the_key_database_stands_beside_the_other_by_default() {
        let keys = connections().keys_url().unwrap();
        assert_eq!(
            keys,
            "postgres://u:p@127.0.0.1:5/proofline_keys?sslmode=disable"
        );
        let elsewhere = Connections {
            keys_database_url: Some("postgres://k/x".to_owned()),
            ..connections()
        };
        assert_eq!(elsewhere.keys_url().unwrap(), "postgres://k/x");
    }
}
