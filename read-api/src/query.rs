//! Query parameters that extractors of their own read.

use axum::extract::Query;
use axum::http::Uri;

/// Every value of the parameter, decoded.
pub(crate) fn values(uri: &Uri, name: &str) -> Vec<String> {
    // Any query string is a list of pairs.
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
    let of_name = |(found, value)| (found == name).then_some(value);
    pairs
        .unwrap_or_default()
        .into_iter()
        .filter_map(of_name)
        .collect()
}
