//! A connection to ClickHouse.

use anyhow::{Context as _, Result};
use clickhouse::Client;

/// The client wants user and password beside the URL.
pub(crate) fn client(url: &str, database: &str) -> Result<Client> {
    let (scheme, rest) = url.split_once("://").context("CLICKHOUSE_URL is no URL")?;
    let mut client = Client::default().with_database(database);
    let host = match rest.split_once('@') {
        None => rest,
        Some((user, host)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            client = client.with_user(user).with_password(password);
            host
        }
    };
    Ok(client.with_url(format!("{scheme}://{host}")))
}
