//! Which aggregates keep snapshots of long streams, and when an old one is of no more use.

use cqrs_es::Aggregate;
use domain::account::Account;
use domain::activity::Activity;
use domain::data_subject::DataSubject;
use domain::integration::Integration;
use domain::notification::Notification;
use domain::site::Site;

/// An aggregate that the executor runs commands on.
pub trait Kept: Aggregate {
    /// The revision of its state, for one that keeps snapshots. Raised whenever the shape of the state changes, or what an
    /// event does to it; older snapshots are then ignored. `None` for one whose state holds personal data.
    const SNAPSHOTS: Option<u32>;
}

impl Kept for Account {
    const SNAPSHOTS: Option<u32> = Some(1);
}

impl Kept for Site {
    const SNAPSHOTS: Option<u32> = Some(2);
}

impl Kept for Notification {
    const SNAPSHOTS: Option<u32> = Some(1);
}

impl Kept for DataSubject {
    const SNAPSHOTS: Option<u32> = Some(1);
}

/// Holds the buyer.
impl Kept for Activity {
    const SNAPSHOTS: Option<u32> = None;
}

/// Holds the webhook's secret, which is sealed like personal data.
impl Kept for Integration {
    const SNAPSHOTS: Option<u32> = None;
}

#[cfg(test)]
mod tests;
