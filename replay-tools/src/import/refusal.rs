/// Why a stream is not imported, or not beyond some event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the id is not a UUID in its usual form, so it can't be one of ours")]
    IdNotOurs,
    #[error("sequence {expected} was expected and {found} was found")]
    Gap { expected: i64, found: i64 },
    #[error("the payload is not an object")]
    NotAnObject,
    #[error("nothing stands where the mapping says that the fields are")]
    NoContent,
    #[error("the metadata is not an object")]
    MetadataNotAnObject,
    #[error(
        "the mapping neither keeps nor drops the metadata's key {key}, and metadata is stored unsealed"
    )]
    MetadataUndecided { key: String },
    #[error("{0}")]
    Undecodable(String),
    #[error(
        "the field {pointer} is unknown to this build; it would be stored as it is, so the mapping has to drop it"
    )]
    UnknownField { pointer: String },
    #[error(
        "an envelope of personal data is sealed or erased already, under keys that are not ours"
    )]
    ForeignEnvelope,
    #[error(
        "people's records are made here: their ids derive from this platform's keys, and what somebody asked for has to be entered"
    )]
    PersonsRecord,
    #[error("the event can't come first in a stream")]
    NotABeginning,
    #[error("the event can only come first in a stream")]
    SecondBeginning,
    #[error("the event belongs to account {found}")]
    OtherAccount { found: uuid::Uuid },
    #[error("the data of the site belongs to region {found}, and this log does not")]
    OtherRegion { found: domain::DataRegion },
    #[error("the event belongs to another site than the stream's first one")]
    OtherSite,
    #[error("site {site} is not one of the account's")]
    ForeignSite { site: uuid::Uuid },
    #[error("the stream belongs to another account here")]
    ForeignStream,
    #[error(
        "what the event claims for itself, a site its domain, was claimed at position {position}"
    )]
    Taken { position: i64 },
    #[error("another event stands here")]
    OtherContent,
    #[error("the event was not taken: {0}")]
    NotTaken(String),
}
