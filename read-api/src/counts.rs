//! Numbers of telemetry, by kind.

use serde::Serialize;
use utoipa::ToSchema;

/// What visitors saw and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) impressions: u64,
    pub(crate) clicks: u64,
    pub(crate) dismissals: u64,
    pub(crate) conversions: u64,
}

/// The same, under the names that the events have in `/collect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Totals {
    impression: u64,
    click: u64,
    dismissal: u64,
    conversion: u64,
}

impl Counts {
    /// Adds events of a kind, by its stored name. This answer has no place for a kind that a later version counts.
    pub(crate) fn add(&mut self, kind: &str, events: u64) {
        match kind {
            "impression" => self.impressions += events,
            "click" => self.clicks += events,
            "dismissal" => self.dismissals += events,
            "conversion" => self.conversions += events,
            _ => tracing::warn!(kind, events, "telemetry of a kind that is not shown"),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            impressions: self.impressions + other.impressions,
            clicks: self.clicks + other.clicks,
            dismissals: self.dismissals + other.dismissals,
            conversions: self.conversions + other.conversions,
        }
    }

    /// Clicks per impression with four digits, rounded half up: `"0.0312"`. Never a binary fraction.
    pub(crate) fn click_rate(self) -> Option<String> {
        let (clicks, impressions) = (u128::from(self.clicks), u128::from(self.impressions));
        let scaled = (clicks * 10_000 + impressions / 2).checked_div(impressions)?;
        Some(format!("{}.{:04}", scaled / 10_000, scaled % 10_000))
    }
}

impl From<Counts> for Totals {
    fn from(counts: Counts) -> Self {
        Self {
            impression: counts.impressions,
            click: counts.clicks,
            dismissal: counts.dismissals,
            conversion: counts.conversions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_under_their_kind_and_no_other() {
        let mut counts = Counts::default();
        for (kind, events) in [
            ("impression", 5),
            ("click", 2),
            ("impression", 1),
            ("scroll", 9),
        ] {
            counts.add(kind, events);
        }
        counts.add("dismissal", 3);
        counts.add("conversion", 4);
        let expected = Counts {
            impressions: 6,
            clicks: 2,
            dismissals: 3,
            conversions: 4,
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.plus(counts).impressions, 12);
    }

    #[test]
    fn a_click_rate_is_exact_decimal_text_or_absent() {
        let rate = |clicks, impressions| {
            let counts = Counts {
                clicks,
                impressions,
                ..Counts::default()
            };
            counts.click_rate()
        };
        assert_eq!(rate(0, 0), None);
        assert_eq!(rate(3, 0), None);
        for (clicks, impressions, expected) in [
            (0, 7, "0.0000"),
            (1, 3, "0.3333"),
            (2, 3, "0.6667"),
            (1, 20_000, "0.0001"),
            (7, 7, "1.0000"),
            (3, 2, "1.5000"),
            (u64::MAX, u64::MAX, "1.0000"),
        ] {
            assert_eq!(rate(clicks, impressions).as_deref(), Some(expected));
        }
    }
}
