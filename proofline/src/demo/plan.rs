//! What the demo will send, made from a seed, and what must come of it. Nothing here talks to anybody.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// How much to send.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Orders of the shop, each a signed webhook.
    #[arg(long, default_value_t = 600)]
    pub(crate) orders: u32,
    /// Telemetry events that are new and valid.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) telemetry: u32,
    /// The same seed sends the same.
    #[arg(long, default_value_t = 20_261_121)]
    pub(crate) seed: u64,
}

/// One webhook, in the order of its phase.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) topic: &'static str,
    pub(super) webhook_id: String,
    pub(super) body: Value,
    pub(super) signature: Signature,
    pub(super) expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Right,
    Wrong,
}

/// What the shop must be answered, and what the log must gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// 200, one `activity.recorded`.
    Recorded,
    /// 200, one `activity.withdrawn`.
    Withdrawn,
    /// 200, no event: seen before, or of no interest.
    NoEvent,
    /// 401, no event.
    Refused,
}

/// Everything that will go to the shop's webhook address. Webhooks of one phase may overtake each other; phases may
/// not, so that what must come of them does not depend on the network.
pub(super) struct Plan {
    pub(super) phases: Vec<Vec<Webhook>>,
    /// What must be found in no file afterwards.
    pub(super) personal: Vec<String>,
}

/// Buyers' last names carry this, so that a search through files finds them and nothing else.
const MARK: &str = "Qzx";

const FIRST_NAMES: &[&str] = &[
    "Anna", "Björn", "Chloé", "Daisuke", "Elif", "Fatima", "Gustav", "Hye-jin", "Ines",
];
const PLACES: &[(&str, &str)] = &[
    ("Berlin", "DE"),
    ("Lyon", "FR"),
    ("Porto", "PT"),
    ("Osaka", "JP"),
    ("İzmir", "TR"),
    ("Kuwait City", "KW"),
    ("Malmö", "SE"),
    ("Seoul", "KR"),
    ("Austin", "US"),
];
const PRODUCTS: &[&str] = &[
    "Trail Runner 3",
    "Merino Base Layer",
    "Titanium Mug",
    "Ultralight Tarp",
    "Headlamp 400",
];
/// With how each writes an amount of some twenty units.
const CURRENCIES: &[(&str, &str)] = &[
    ("EUR", "199.00"),
    ("USD", "24.50"),
    ("JPY", "3200"),
    ("KWD", "6.125"),
    ("SEK", "210.00"),
];

/// Larger than 2^53, so that a parser that goes through floating point loses it.
const FIRST_ORDER_ID: u64 = 9_007_199_254_740_993;

impl Plan {
    pub(super) fn new(size: &Size, now: DateTime<Utc>) -> Self {
        let mut random = StdRng::seed_from_u64(size.seed);
        let mut plan = Self {
            phases: vec![Vec::new(), Vec::new(), Vec::new()],
            personal: Vec::new(),
        };
        for number in 0..size.orders {
            let order_id = FIRST_ORDER_ID + u64::from(number) * 2;
            let order = plan.order(&mut random, order_id, number, now);
            let place = number % 50;
            match place {
                // A refund that arrives before its order: the order must not show any more.
                0 => {
                    plan.phases[0].push(refund(&mut random, order_id, Expected::Withdrawn));
                    plan.phases[1].push(create(&mut random, order, Expected::NoEvent));
                }
                // The shop's owner tries the checkout out.
                1 => {
                    let mut test = order;
                    test["test"] = true.into();
                    plan.phases[1].push(create(&mut random, test, Expected::NoEvent));
                }
                _ => {
                    let created = create(&mut random, order.clone(), Expected::Recorded);
                    plan.follow_up(&mut random, place, order_id, &order, &created);
                    plan.phases[1].push(created);
                }
            }
        }
        let forged = plan.order(&mut random, FIRST_ORDER_ID - 2, size.orders, now);
        let mut forged = create(&mut random, forged, Expected::Refused);
        forged.signature = Signature::Wrong;
        plan.phases[1].push(forged);
        plan
    }

    /// What happens to some orders later.
    fn follow_up(
        &mut self,
        random: &mut StdRng,
        place: u32,
        order_id: u64,
        order: &Value,
        created: &Webhook,
    ) {
        match place {
            2..=4 => self.phases[2].push(refund(random, order_id, Expected::Withdrawn)),
            5..=6 => {
                let mut cancelled = order.clone();
                cancelled["cancelled_at"] = order["created_at"].clone();
                cancelled["financial_status"] = "voided".into();
                self.phases[2].push(webhook(
                    random,
                    "orders/cancelled",
                    cancelled,
                    Expected::Withdrawn,
                ));
            }
            // Delivered twice, as Shopify does when an answer was late: the same webhook id.
            7..=10 => self.phases[2].push(Webhook {
                expected: Expected::NoEvent,
                ..created.clone()
            }),
            // Sent again under another webhook id.
            11 => self.phases[2].push(create(random, order.clone(), Expected::NoEvent)),
            _ => {}
        }
    }

    /// An order in the shape of Shopify's Admin API 2026-07, as far as a shop fills it in.
    fn order(&mut self, random: &mut StdRng, id: u64, number: u32, now: DateTime<Utc>) -> Value {
        let first_name = pick(random, FIRST_NAMES);
        let last_name = format!("{MARK}{number:05}son");
        let email =
            format!("{}.{number}@{MARK}mail.example", first_name.to_lowercase()).to_lowercase();
        let (city, country) = pick(random, PLACES);
        let (currency, price) = pick(random, CURRENCIES);
        let created_at = (now - Duration::seconds(random.random_range(0..3600))).to_rfc3339();
        self.personal.extend([last_name.clone(), email.clone()]);
        let address = json!({
            "first_name": first_name, "last_name": last_name, "address1": "1 Long Road", "city": city,
            "country_code": country, "zip": "10115",
        });
        json!({
            "id": id,
            "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
            "name": format!("#{}", 1000 + number),
            "order_number": 1000 + number,
            "email": email,
            "contact_email": email,
            "created_at": created_at,
            "processed_at": created_at,
            "cancelled_at": null,
            "currency": currency,
            "total_price": price,
            "financial_status": "paid",
            "test": false,
            "customer": { "id": id - 1, "email": email, "first_name": first_name, "last_name": last_name },
            "billing_address": address,
            "shipping_address": address,
            "line_items": [{
                "id": id + 1, "title": pick(random, PRODUCTS), "name": "with a variant - Blue / 42",
                "variant_title": "Blue / 42", "quantity": random.random_range(1..4), "price": price,
            }],
        })
    }

    pub(super) fn webhooks(&self) -> impl Iterator<Item = &Webhook> {
        self.phases.iter().flatten()
    }

    pub(super) fn count(&self, expected: Expected) -> u64 {
        self.webhooks()
            .filter(|webhook| webhook.expected == expected)
            .count() as u64
    }

    /// Orders that a page may show at the end: recorded and not withdrawn.
    pub(super) fn shown(&self) -> u64 {
        let withdrawn_later = self.phases[2]
            .iter()
            .filter(|webhook| webhook.expected == Expected::Withdrawn)
            .count();
        self.count(Expected::Recorded) - withdrawn_later as u64
    }
}

fn create(random: &mut StdRng, order: Value, expected: Expected) -> Webhook {
    webhook(random, "orders/create", order, expected)
}

fn refund(random: &mut StdRng, order_id: u64, expected: Expected) -> Webhook {
    let id = random.random::<u32>();
    webhook(
        random,
        "refunds/create",
        json!({ "id": id, "order_id": order_id, "note": null }),
        expected,
    )
}

fn webhook(random: &mut StdRng, topic: &'static str, body: Value, expected: Expected) -> Webhook {
    let webhook_id = uuid::Builder::from_random_bytes(random.random())
        .into_uuid()
        .to_string();
    Webhook {
        topic,
        webhook_id,
        body,
        signature: Signature::Right,
        expected,
    }
}

fn pick<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}

/// What visitors' browsers will send, by batches.
pub(super) struct Traffic {
    pub(super) batches: Vec<Batch>,
    /// New and valid events per notification (by index) and kind.
    pub(super) accepted: BTreeMap<(usize, &'static str), u64>,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
}

/// One request. A batch that is sent again repeats all of an earlier one.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) events: Vec<Observed>,
}

/// One event before it has a token, an id and a time, which depend on when it is sent.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    pub(super) notification: usize,
    pub(super) kind: &'static str,
    pub(super) fault: Option<Fault>,
}

/// What is wrong with an event that must be refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ForgedToken,
    ClockYearsOff,
}

pub(super) const BATCH_EVENTS: u32 = 250;

impl Traffic {
    /// Of every fifty batches one is sent twice, and of every hundred one also holds two events that must be refused.
    pub(super) fn new(size: &Size, notifications: usize) -> Self {
        let mut random = StdRng::seed_from_u64(size.seed ^ 1);
        let mut traffic = Self {
            batches: Vec::new(),
            accepted: BTreeMap::new(),
            duplicates: 0,
            refused: 0,
        };
        let mut left = size.telemetry;
        while left > 0 {
            let valid = left.min(BATCH_EVENTS);
            left -= valid;
            let mut events: Vec<_> = (0..valid)
                .map(|_| traffic.observe(&mut random, notifications))
                .collect();
            let number = traffic.batches.len();
            if number % 100 == 3 {
                for fault in [Fault::ForgedToken, Fault::ClockYearsOff] {
                    events.push(Observed {
                        notification: 0,
                        kind: "click",
                        fault: Some(fault),
                    });
                    traffic.refused += 1;
                }
            }
            if number % 50 == 7 {
                traffic.duplicates += u64::from(valid);
            }
            traffic.batches.push(Batch { events });
        }
        traffic
    }

    /// Which batches are sent a second time.
    pub(super) fn is_resent(number: usize) -> bool {
        number % 50 == 7
    }

    fn observe(&mut self, random: &mut StdRng, notifications: usize) -> Observed {
        let notification = random.random_range(0..notifications);
        let kind = match random.random_range(0..100) {
            0..90 => "impression",
            90..96 => "click",
            96..98 => "dismissal",
            _ => "conversion",
        };
        *self.accepted.entry((notification, kind)).or_default() += 1;
        Observed {
            notification,
            kind,
            fault: None,
        }
    }

    pub(super) fn accepted_total(&self) -> u64 {
        self.accepted.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        orders: 600,
        telemetry: 20_000,
        seed: 7,
    };

    fn plan(size: &Size) -> Plan {
        Plan::new(size, DateTime::from_timestamp(1_790_000_000, 0).unwrap())
    }

    #[test]
    fn the_same_seed_sends_the_same() {
        let bodies = |plan: Plan| {
            plan.webhooks()
                .map(|webhook| webhook.body.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(bodies(plan(&SIZE)), bodies(plan(&SIZE)));
        assert_ne!(bodies(plan(&SIZE)), bodies(plan(&Size { seed: 8, ..SIZE })));
    }

    #[test]
    fn a_plan_holds_everything_that_can_happen_to_an_order() {
        let plan = plan(&SIZE);
        assert_eq!(plan.count(Expected::Refused), 1);
        assert_eq!(plan.count(Expected::Recorded), 600 - 24);
        assert_eq!(plan.count(Expected::Withdrawn), 12 + 36 + 24);
        assert_eq!(plan.count(Expected::NoEvent), 12 + 12 + 48 + 12);
        assert_eq!(plan.shown(), 600 - 24 - 60);
        assert!(
            plan.webhooks()
                .any(|webhook| webhook.body["id"].as_u64() > Some(1 << 53))
        );
    }

    #[test]
    fn traffic_adds_up() {
        let traffic = Traffic::new(&SIZE, 3);
        assert_eq!(traffic.accepted_total(), 20_000);
        assert_eq!(traffic.batches.len(), 80);
        assert_eq!((traffic.duplicates, traffic.refused), (500, 2));
    }
}
