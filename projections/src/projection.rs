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
            Self::TelemetryCounters => "telemetry_counters",
            Self::TelemetryFacts => "telemetry_facts",
            Self::SubjectEvents => "subject_events",
        }
    }

    /// The version that this build writes. Stored; a change of what is written is a new version beside the old.
    pub const fn version(self) -> i32 {
        match self {
            Self::SiteList
            | Self::NotificationList
            | Self::IntegrationList
            | Self::ProofFeed
            | Self::TelemetryCounters
            | Self::TelemetryFacts
            | Self::SubjectEvents => 1,
        }
    }

    /// Which log it follows.
    pub const fn log(self) -> LogName {
        match self {
            Self::SiteList
            | Self::NotificationList
            | Self::IntegrationList
            | Self::ProofFeed
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
