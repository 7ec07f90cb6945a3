//! The projections of this build, under the names that are stored.

use std::fmt;

use event_store::LogName;

/// A projection that this build runs and serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    SiteList,
    NotificationList,
    IntegrationList,
    ProofFeed,
    SubjectList,
    TelemetryCounters,
    TelemetryFacts,
    SubjectEvents,
}

impl Projection {
    pub const ALL: &'static [Self] = &[
        Self::SiteList,
        Self::NotificationList,
        Self::IntegrationList,
        Self::ProofFeed,
        Self::SubjectList,
        Self::TelemetryCounters,
        Self::TelemetryFacts,
        Self::SubjectEvents,
    ];

    /// Stored; never rename.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SiteList => "site_list",
            Self::NotificationList => "notification_list",
            Self::IntegrationList => "integration_list",
            Self::ProofFeed => "proof_feed",
            Self::SubjectList => "subject_list",
            Self::TelemetryCounters => "telemetry_counters",
            Self::TelemetryFacts => "telemetry_facts",
            Self::SubjectEvents => "subject_events",
        }
    }

    /// `None` for a name that this build does not know.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Which revisions of its code this build has, the newest last. A change of what is written is a new revision beside
    /// the old, which stays until no version is driven by it.
    pub const fn revisions(self) -> &'static [i32] {
        match self {
            Self::SiteList
            | Self::NotificationList
            | Self::IntegrationList
            | Self::ProofFeed
            | Self::SubjectList
            | Self::TelemetryCounters
            | Self::TelemetryFacts
            | Self::SubjectEvents => &[1],
        }
    }

    /// Whether its rows belong to one owner each, so that its shards can be worked on apart. Changing this is a rebuild.
    pub const fn is_sharded(self) -> bool {
        match self {
            Self::SiteList
            | Self::NotificationList
            | Self::IntegrationList
            | Self::ProofFeed
            | Self::SubjectList
            | Self::TelemetryCounters => true,
            // Few large blocks suit ClickHouse; the index is by person.
            Self::TelemetryFacts | Self::SubjectEvents => false,
        }
    }

    /// Which log it follows.
    pub const fn log(self) -> LogName {
        match self {
            Self::SiteList
            | Self::NotificationList
            | Self::IntegrationList
            | Self::ProofFeed
            | Self::SubjectList
            | Self::SubjectEvents => LogName::Events,
            Self::TelemetryCounters | Self::TelemetryFacts => LogName::Telemetry,
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
