//! Enumerations whose names are stored.

use std::fmt;

use crate::error::{DomainError, ErrorKind};

/// The text is none of an enumeration's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName {
    pub expected: &'static [&'static str],
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "This must be one of: {}.", self.expected.join(", "))
    }
}

impl std::error::Error for UnknownName {}

impl DomainError for UnknownName {
    fn code(&self) -> &'static str {
        "unknown_name"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// An enumeration that is stored and shown under the names given. The names are stored; never rename.
macro_rules! stored_names {
    ($(#[$docs:meta])* pub enum $enum:ident { $($(#[$variant_docs:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $enum {
            $($(#[$variant_docs])* #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub fn parse(name: &str) -> Result<Self, crate::stored_names::UnknownName> {
                match name {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(crate::stored_names::UnknownName { expected: &[$($name),*] }),
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = crate::stored_names::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::parse(name)
            }
        }
    };
}

pub(crate) use stored_names;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Scope;
    use crate::activity::{ActivityKind, WithdrawalReason};
    use crate::data_subject::ConsentPurpose;
    use crate::integration::Platform;
    use crate::notification::NotificationStatus;

    /// These names are stored.
    macro_rules! check {
        ($enum:ident, $names:expr) => {
            let names: Vec<_> = $enum::ALL.iter().map(|value| value.as_str()).collect();
            assert_eq!(names, $names);
            for value in $enum::ALL {
                assert_eq!(serde_json::to_value(value).unwrap(), value.as_str());
                assert_eq!($enum::parse(value.as_str()), Ok(*value));
            }
        };
    }

    #[test]
    fn the_stored_name_is_the_shown_and_the_parsed_one() {
        check!(Scope, ["read", "write", "compliance"]);
        check!(ConsentPurpose, ["display", "analytics", "sharing"]);
        check!(Platform, ["shopify"]);
        check!(ActivityKind, ["order", "sign_up", "review", "custom"]);
        check!(WithdrawalReason, ["cancelled", "refunded", "removed"]);
        check!(
            NotificationStatus,
            ["draft", "published", "paused", "archived"]
        );
    }

    #[test]
    fn another_name_is_refused_and_the_known_ones_are_told() {
        let unknown = Scope::parse("Read").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "This must be one of: read, write, compliance."
        );
        assert_eq!(unknown.code(), "unknown_name");
        assert!(serde_json::from_str::<Scope>(r#""admin""#).is_err());
    }
}
