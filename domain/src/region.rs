//! Where data may lie.

use crate::error::{DomainError, ErrorKind};
use crate::text::string_value;

const MAX: usize = 32;

/// A region by the name that the operator gave it, for instance `eu-central`: 1 to 32 small letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataRegion(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataRegionError {
    #[error("A region has 1 to 32 characters.")]
    Length,
    #[error("A region consists of the letters a to z, digits and hyphens.")]
    Character,
}

impl DomainError for DataRegionError {
    fn code(&self) -> &'static str {
        match self {
            Self::Length => "region_length",
            Self::Character => "region_character",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl DataRegion {
    /// Trims, lower-cases and checks.
    pub fn parse(raw: &str) -> Result<Self, DataRegionError> {
        let name = raw.trim().to_ascii_lowercase();
        if !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(DataRegionError::Character);
        }
        if name.is_empty() || name.len() > MAX {
            return Err(DataRegionError::Length);
        }
        Ok(Self(name))
    }
}

string_value!(DataRegion, DataRegionError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_short_plain_name() {
        let long = "e".repeat(MAX + 1);
        for (raw, parsed) in [
            ("eu", Ok("eu")),
            (" EU-Central-1 ", Ok("eu-central-1")),
            ("", Err(DataRegionError::Length)),
            (&long, Err(DataRegionError::Length)),
            ("eu west", Err(DataRegionError::Character)),
            ("öst", Err(DataRegionError::Character)),
        ] {
            let region = DataRegion::parse(raw);
            assert_eq!(
                region.as_ref().map(DataRegion::as_str),
                parsed.as_ref().copied(),
                "{raw}"
            );
        }
    }
}
