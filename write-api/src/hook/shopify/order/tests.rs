use serde_json::{Value, json};

use super::*;

const ORDER: &[u8] = include_bytes!("../../../../fixtures/shopify/order.json");

fn now() -> DateTime<Utc> {
    "2026-11-20T09:30:05Z".parse().unwrap()
}

/// The fixture with some of its members replaced.
#[track_caller]
fn order_with(members: Value) -> Order {
    let mut order: Value = serde_json::from_slice(ORDER).unwrap();
    for (name, value) in members.as_object().unwrap() {
        order[name] = value.clone();
    }
    platform::json::parse(&serde_json::to_vec(&order).unwrap()).unwrap()
}

#[track_caller]
fn activity_with(members: Value) -> NewActivity {
    order_with(members).into_activity(now()).unwrap()
}

/// First name, last name, e-mail, city, country; `-` for what is not known.
fn buyer_of(activity: &NewActivity) -> String {
    let Some(buyer) = &activity.buyer else {
        return "nobody".to_owned();
    };
    let part = |part: Option<&str>| part.unwrap_or("-").to_owned();
    [
        part(buyer.first_name.as_ref().map(|value| value.as_str())),
        part(buyer.last_name.as_ref().map(|value| value.as_str())),
        part(buyer.email.as_ref().map(|value| value.as_str())),
        part(buyer.city.as_ref().map(|value| value.as_str())),
        part(buyer.country.as_ref().map(|value| value.as_str())),
    ]
    .join(" ")
}

#[test]
fn a_real_order_becomes_an_activity() {
    let activity = activity_with(json!({}));
    assert_eq!(activity.kind, ActivityKind::Order);
    assert_eq!(
        activity.occurred_at,
        "2026-11-20T09:29:58Z".parse::<DateTime<Utc>>().unwrap()
    );
    assert_eq!(activity.product.as_ref().unwrap().as_str(), "Trail Runner");
    assert_eq!(activity.items_count, 3);
    assert_eq!(activity.total.unwrap().to_string(), "199.90 EUR");
    assert_eq!(
        buyer_of(&activity),
        "Anna Schmidt anna.schmidt@example.com Berlin DE"
    );
}

#[test]
fn an_id_above_what_a_javascript_number_holds_survives() {
    for id in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
        assert_eq!(
            order_with(json!({ "id": id })).id.to_string(),
            "9007199254740993"
        );
    }
}

#[test]
fn a_total_has_the_decimals_of_its_currency() {
    for (currency, total, expected) in [
        ("USD", json!("0.29"), Some("0.29 USD")),
        ("JPY", json!("12800"), Some("12800 JPY")),
        ("JPY", json!("12800.00"), Some("12800 JPY")),
        ("KWD", json!("12.345"), Some("12.345 KWD")),
        ("CHF", json!(199.5), Some("199.50 CHF")),
        ("EUR", json!("0.00"), Some("0.00 EUR")),
        ("eur", json!("1.00"), None),
        ("BITCOIN", json!("1.00"), None),
        ("USD", json!("1.999"), None),
        ("USD", json!("-1.00"), None),
        ("USD", json!("lots"), None),
        ("USD", json!(null), None),
    ] {
        let activity = activity_with(json!({ "currency": currency, "total_price": total }));
        let found = activity.total.map(|total| total.to_string());
        assert_eq!(found.as_deref(), expected, "{total} {currency}");
    }
    assert_eq!(activity_with(json!({ "currency": null })).total, None);
}

#[test]
fn what_never_was_a_sale_is_not_recorded() {
    for (members, reason) in [
        (json!({ "test": true }), Reason::TestOrder),
        (
            json!({ "cancelled_at": "2026-11-20T10:31:00+01:00" }),
            Reason::CancelledOrder,
        ),
        (json!({ "financial_status": "voided" }), Reason::VoidedOrder),
        (
            json!({ "financial_status": "refunded" }),
            Reason::RefundedOrder,
        ),
    ] {
        let refused = order_with(members).into_activity(now()).unwrap_err();
        assert_eq!(refused, reason);
    }
    for status in [
        "pending",
        "authorized",
        "partially_paid",
        "partially_refunded",
        "odd",
    ] {
        activity_with(json!({ "financial_status": status }));
    }
    activity_with(json!({ "financial_status": null, "test": null }));
}

#[test]
fn a_guest_is_known_by_the_addresses() {
    let guest = json!({ "customer": null });
    assert_eq!(
        buyer_of(&activity_with(guest)),
        "Jürgen Schmidt anna.schmidt@example.com Berlin DE"
    );
    let shipped_only = json!({ "customer": null, "billing_address": null });
    assert_eq!(
        buyer_of(&activity_with(shipped_only)),
        "Anna Schmidt anna.schmidt@example.com Berlin DE"
    );
    let digital = json!({ "customer": null, "shipping_address": null });
    assert_eq!(
        buyer_of(&activity_with(digital)),
        "Jürgen Schmidt anna.schmidt@example.com Potsdam DE"
    );
}

#[test]
fn nobody_is_made_up_of_two_people_or_two_places() {
    let members = json!({
        "customer": { "first_name": null, "last_name": "Kim", "email": null },
        "shipping_address": { "first_name": "Anna", "city": "  ", "country_code": "fr" },
    });
    assert_eq!(
        buyer_of(&activity_with(members)),
        "- Kim anna.schmidt@example.com - FR"
    );
}

#[test]
fn an_order_of_which_nothing_is_known_is_still_an_order() {
    let bare: Order = platform::json::parse(br#"{"id":1}"#).unwrap();
    let activity = bare.into_activity(now()).unwrap();
    assert_eq!(buyer_of(&activity), "nobody");
    assert_eq!((activity.occurred_at, activity.items_count), (now(), 0));
    assert_eq!((activity.product, activity.total), (None, None));
}

#[test]
fn odd_names_are_clipped_or_dropped_and_never_refused() {
    let long = "x".repeat(300);
    let members = json!({
        "customer": { "first_name": "An\u{0}na\n", "last_name": long, "email": "no address" },
        "email": "spaces in@example.com",
        "contact_email": "anna@example.com",
        "shipping_address": { "city": "\u{202E}nilreB", "country_code": "Germany" },
        "line_items": [{ "title": "\u{200B}", "quantity": 1 }, { "title": long, "quantity": 1 }],
    });
    let activity = activity_with(members);
    let clipped = format!("{}…", "x".repeat(99));
    assert_eq!(
        buyer_of(&activity),
        format!("An na {clipped} anna@example.com nilreB -")
    );
    let product = activity.product.unwrap();
    assert_eq!(product.as_str().chars().count(), ProductTitle::CHARS_MAX);
}

#[test]
fn members_of_other_types_count_as_absent() {
    let members = json!({
        "email": 5, "contact_email": {}, "customer": "Anna", "billing_address": [], "shipping_address": 1,
        "processed_at": 1_795_000_000, "created_at": "yesterday", "cancelled_at": false, "test": "yes",
        "financial_status": 7, "currency": ["EUR"], "total_price": {},
        "line_items": [null, 5, { "title": 5, "quantity": "2" }, { "title": "Shoe", "quantity": 4 }],
    });
    let activity = activity_with(members);
    assert_eq!(buyer_of(&activity), "nobody");
    assert_eq!((activity.occurred_at, activity.items_count), (now(), 4));
    assert_eq!(activity.product.unwrap().as_str(), "Shoe");
    assert_eq!(
        activity_with(json!({ "line_items": "none" })).items_count,
        0
    );
}

#[test]
fn quantities_do_not_overflow() {
    let items = json!([{ "quantity": u64::MAX }, { "quantity": u64::MAX }, { "quantity": -1 }]);
    assert_eq!(
        activity_with(json!({ "line_items": items })).items_count,
        u32::MAX
    );
}

#[test]
fn an_order_is_never_in_the_future_and_an_imported_one_stays_in_the_past() {
    for (processed, created, expected) in [
        (
            json!("2026-11-20T12:00:00Z"),
            json!(null),
            "2026-11-20T09:30:05Z",
        ),
        (
            json!("2019-05-01T00:00:00.1234567Z"),
            json!(null),
            "2019-05-01T00:00:00.123456Z",
        ),
        (
            json!(null),
            json!("2026-11-20T04:30:00-05:00"),
            "2026-11-20T09:30:00Z",
        ),
        (
            json!("soon"),
            json!("2026-11-20T09:00:00Z"),
            "2026-11-20T09:00:00Z",
        ),
    ] {
        let activity = activity_with(json!({ "processed_at": processed, "created_at": created }));
        assert_eq!(
            activity.occurred_at,
            expected.parse::<DateTime<Utc>>().unwrap()
        );
    }
}
