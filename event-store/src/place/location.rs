//! How a deployment says where something is kept.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use object_store::path::Path as PlacePath;

const S3: &str = "s3://";

/// A path of a folder, or `s3://BUCKET/PREFIX`. Credentials are no part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Folder(PathBuf),
    S3 {
        bucket: String,
        prefix: PlacePath,
    },
    /// Nowhere; what opens it says why.
    Refused(LocationError),
}

/// Why a text says nowhere. Never the text itself: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error("it is empty")]
    Empty,
    #[error("it takes a path, or a URL s3://BUCKET/PREFIX")]
    Scheme,
    #[error(
        "a bucket has a name of letters, digits, dots and dashes: credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, an endpoint into AWS_ENDPOINT_URL_S3"
    )]
    Bucket,
    #[error(
        "a prefix holds no blanks, question marks, percent signs or control characters, and no empty or dotted parts"
    )]
    Prefix,
}

impl Location {
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self::Folder(path.into())
    }

    /// Where it is one.
    pub fn as_folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::S3 { .. } | Self::Refused(_) => None,
        }
    }

    /// For programs whose arguments are shown where they are refused: this one is refused when it is opened.
    pub fn of_argument(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().unwrap_or_else(Self::Refused))
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some(named) = text.strip_prefix(S3) else {
            // Of a store that is not known, no folder is made that is called like it.
            return match text.contains("://") {
                true => Err(LocationError::Scheme),
                false => Ok(Self::folder(text)),
            };
        };
        let (bucket, prefix) = named.split_once('/').unwrap_or((named, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(is_plain) {
            return Err(LocationError::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let parsed = PlacePath::parse(prefix).map_err(|_| LocationError::Prefix)?;
        let is_odd = |c: char| c.is_whitespace() || matches!(c, '?' | '%');
        if parsed.as_ref() != prefix || prefix.contains(is_odd) {
            return Err(LocationError::Prefix);
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: parsed,
        })
    }
}

/// One text for each, by which places are told apart.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.as_ref().is_empty() => {
                write!(f, "{S3}{bucket}")
            }
            Self::S3 { bucket, prefix } => write!(f, "{S3}{bucket}/{prefix}"),
            Self::Refused(_) => f.write_str("a place that can't be told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_and_a_url_a_bucket() {
        for path in ["anchor", "/var/lib/anchor", "./s3", "s3:/x"] {
            assert_eq!(path.parse(), Ok(Location::folder(path)));
        }
        for (text, prefix, shown) in [
            ("s3://seals", "", "s3://seals"),
            ("s3://seals/", "", "s3://seals"),
            ("s3://seals/eu/1", "eu/1", "s3://seals/eu/1"),
            ("s3://seals/eu/1/", "eu/1", "s3://seals/eu/1"),
        ] {
            let location: Location = text.parse().unwrap();
            let expected = Location::S3 {
                bucket: "seals".to_owned(),
                prefix: PlacePath::from(prefix),
            };
            assert_eq!(location, expected);
            assert_eq!(location.to_string(), shown);
            assert_eq!(shown.parse(), Ok(location));
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for (text, error) in [
            ("", LocationError::Empty),
            ("gs://seals", LocationError::Scheme),
            ("https://s3.example.com/seals", LocationError::Scheme),
            ("file:///seals", LocationError::Scheme),
            ("s3://", LocationError::Bucket),
            ("s3:///eu", LocationError::Bucket),
            ("s3://host:9000/seals", LocationError::Bucket),
            ("s3://key:secret@seals/eu", LocationError::Bucket),
            ("s3://key:sec/ret@seals/eu", LocationError::Bucket),
            ("s3://seals//eu", LocationError::Prefix),
            ("s3://seals/eu?region=x", LocationError::Prefix),
            ("s3://seals/../eu", LocationError::Prefix),
            ("s3://seals/a b", LocationError::Prefix),
        ] {
            assert_eq!(text.parse::<Location>(), Err(error), "{text}");
        }
    }
}
