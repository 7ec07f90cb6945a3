use cqrs_es::Aggregate;

use super::{
    Activity, ActivityCommand, ActivityError, ActivityEvent, ActivityKind, ActivityStatus,
    WithdrawalReason,
};
use crate::error::{DomainError, ErrorKind};
use crate::ids::{SiteId, SubjectId};
use crate::money::{Currency, Money};
use crate::person::{Buyer, City, CountryCode, Email, FirstName, LastName};
use crate::pii::Pii;
use crate::scenario::{id, morning, noon, site_id, walk};
use crate::text::{ExternalId, ProductTitle};

type Scenario = crate::scenario::Scenario<Activity>;

fn subject() -> SubjectId {
    id(0xB0)
}

fn anna() -> Buyer {
    Buyer {
        first_name: Some(FirstName::parse("Anna").unwrap()),
        last_name: Some(LastName::parse("Schmidt").unwrap()),
        email: Some(Email::parse("Anna@example.com").unwrap()),
        city: Some(City::parse("Berlin").unwrap()),
        country: Some(CountryCode::parse("DE").unwrap()),
    }
}

fn order_of(buyer: Pii<Buyer>) -> ActivityEvent {
    ActivityEvent::Recorded {
        site_id: site_id(),
        integration_id: Some(id(0x17)),
        external_id: Some(ExternalId::parse("9007199254740993").unwrap()),
        kind: ActivityKind::Order,
        occurred_at: morning(),
        buyer: Some(buyer),
        product: Some(ProductTitle::parse("Trail Runner").unwrap()),
        items_count: 2,
        total: Some(Money::try_new(19_900, Currency::parse("EUR").unwrap()).unwrap()),
        at: noon(),
    }
}

fn recorded() -> ActivityEvent {
    order_of(Pii::new(subject(), anna()))
}

fn sign_up_recorded() -> ActivityEvent {
    ActivityEvent::Recorded {
        site_id: site_id(),
        integration_id: None,
        external_id: None,
        kind: ActivityKind::SignUp,
        occurred_at: morning(),
        buyer: None,
        product: None,
        items_count: 0,
        total: None,
        at: noon(),
    }
}

fn withdrawn(reason: WithdrawalReason) -> ActivityEvent {
    ActivityEvent::Withdrawn {
        site_id: site_id(),
        integration_id: Some(id(0x17)),
        reason,
        at: noon(),
    }
}

fn removed_by_hand() -> ActivityEvent {
    ActivityEvent::Withdrawn {
        site_id: site_id(),
        integration_id: None,
        reason: WithdrawalReason::Removed,
        at: noon(),
    }
}

fn buyer_forgotten() -> ActivityEvent {
    ActivityEvent::BuyerForgotten {
        site_id: site_id(),
        at: noon(),
    }
}

fn record_at(site_id: SiteId) -> ActivityCommand {
    ActivityCommand::Record {
        site_id,
        integration_id: Some(id(0x17)),
        external_id: Some(ExternalId::parse("9007199254740993").unwrap()),
        kind: ActivityKind::Order,
        occurred_at: morning(),
        buyer: Some(Pii::new(subject(), anna())),
        product: Some(ProductTitle::parse("Trail Runner").unwrap()),
        items_count: 2,
        total: Some(Money::try_new(19_900, Currency::parse("EUR").unwrap()).unwrap()),
        at: noon(),
    }
}

fn record() -> ActivityCommand {
    record_at(site_id())
}

fn record_sign_up() -> ActivityCommand {
    ActivityCommand::Record {
        site_id: site_id(),
        integration_id: None,
        external_id: None,
        kind: ActivityKind::SignUp,
        occurred_at: morning(),
        buyer: None,
        product: None,
        items_count: 0,
        total: None,
        at: noon(),
    }
}

fn withdraw_at(site_id: SiteId, reason: WithdrawalReason) -> ActivityCommand {
    ActivityCommand::Withdraw {
        site_id,
        integration_id: Some(id(0x17)),
        reason,
        at: noon(),
    }
}

fn withdraw(reason: WithdrawalReason) -> ActivityCommand {
    withdraw_at(site_id(), reason)
}

#[test]
fn an_order_is_recorded_with_all_that_the_shop_told() {
    Scenario::given([]).when(record()).then([recorded()]);
}

#[test]
fn an_activity_of_an_unknown_person_is_recorded() {
    Scenario::given([])
        .when(record_sign_up())
        .then([sign_up_recorded()]);
}

#[test]
fn a_repeated_webhook_records_nothing() {
    Scenario::given([recorded()]).when(record()).then_nothing();
}

#[test]
fn an_activity_is_known_by_its_id_whatever_is_said_of_it_later() {
    Scenario::given([recorded()])
        .when(record_sign_up())
        .then_nothing();
}

#[test]
fn a_recorded_activity_is_withdrawn_for_each_reason() {
    for reason in WithdrawalReason::ALL {
        Scenario::given([recorded()])
            .when(withdraw(*reason))
            .then([withdrawn(*reason)]);
    }
}

#[test]
fn a_refund_that_overtakes_its_order_is_remembered() {
    Scenario::given([])
        .when(withdraw(WithdrawalReason::Refunded))
        .then([withdrawn(WithdrawalReason::Refunded)]);
}

#[test]
fn an_order_that_comes_after_its_refund_stays_withdrawn_and_leaves_nothing_personal() {
    Scenario::given([withdrawn(WithdrawalReason::Refunded)])
        .when(record())
        .then_nothing();
}

#[test]
fn an_order_repeated_after_its_refund_stays_withdrawn() {
    Scenario::given([recorded(), withdrawn(WithdrawalReason::Refunded)])
        .when(record())
        .then_nothing();
}

#[test]
fn withdrawing_again_changes_nothing_whatever_the_reason() {
    for given in [
        vec![withdrawn(WithdrawalReason::Refunded)],
        vec![recorded(), withdrawn(WithdrawalReason::Refunded)],
    ] {
        for reason in WithdrawalReason::ALL {
            Scenario::given(given.clone())
                .when(withdraw(*reason))
                .then_nothing();
        }
    }
}

#[test]
fn the_buyer_of_a_recorded_activity_is_forgotten_once() {
    let forget = || ActivityCommand::ForgetBuyer { at: noon() };
    Scenario::given([recorded()])
        .when(forget())
        .then([buyer_forgotten()]);
    Scenario::given([recorded(), buyer_forgotten()])
        .when(forget())
        .then_nothing();
}

#[test]
fn of_an_activity_that_is_not_shown_there_is_nobody_to_forget() {
    for given in [
        vec![],
        vec![sign_up_recorded()],
        vec![recorded(), removed_by_hand()],
    ] {
        Scenario::given(given)
            .when(ActivityCommand::ForgetBuyer { at: noon() })
            .then_nothing();
    }
}

#[test]
fn another_sites_activity_is_not_found() {
    for given in [recorded(), withdrawn(WithdrawalReason::Refunded)] {
        for command in [
            record_at(id(0x52)),
            withdraw_at(id(0x52), WithdrawalReason::Removed),
        ] {
            Scenario::given([given.clone()])
                .when(command)
                .then_err(ActivityError::OfAnotherSite);
        }
    }
}

#[test]
fn an_activity_knows_its_status_and_nothing_of_the_person() {
    let mut activity = Activity::default();
    assert_eq!(activity.status(), ActivityStatus::Unknown);
    activity.apply(recorded());
    let site_id = site_id();
    assert_eq!(activity.status(), ActivityStatus::Recorded { site_id });
    let snapshot = serde_json::to_string(&activity).unwrap();
    for personal in ["Anna", "Schmidt", "example.com", "Berlin"] {
        assert!(!snapshot.contains(personal), "{snapshot}");
    }
    activity.apply(removed_by_hand());
    assert_eq!(activity.status(), ActivityStatus::Withdrawn { site_id });
}

#[test]
fn neither_command_nor_event_shows_the_person() {
    let shown = format!("{:?} {:?}", record(), recorded());
    for personal in ["Anna", "Schmidt", "example.com", "Berlin"] {
        assert!(!shown.contains(personal), "{shown}");
    }
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let commands = [
        record(),
        record_sign_up(),
        record_at(id(0x52)),
        withdraw(WithdrawalReason::Refunded),
        withdraw(WithdrawalReason::Removed),
        withdraw_at(id(0x52), WithdrawalReason::Cancelled),
        ActivityCommand::ForgetBuyer { at: noon() },
    ];
    walk::<Activity>(&commands, 4);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    let error = ActivityError::OfAnotherSite;
    assert_eq!(error.code(), "activity_of_another_site");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    let sealed = Pii::Sealed {
        subject: subject(),
        sealed: "c2VhbGVk".to_owned(),
    };
    let erased = Pii::Erased { subject: subject() };
    let unnamed = Pii::new(subject(), Buyer::default());
    crate::golden::check(
        Activity::TYPE,
        ActivityEvent::TYPES,
        &[
            ("recorded.v1", recorded()),
            ("recorded.sealed.v1", order_of(sealed)),
            ("recorded.erased.v1", order_of(erased)),
            ("recorded.unnamed_buyer.v1", order_of(unnamed)),
            ("recorded.minimal.v1", sign_up_recorded()),
            ("withdrawn.v1", withdrawn(WithdrawalReason::Refunded)),
            ("withdrawn.minimal.v1", removed_by_hand()),
            ("buyer_forgotten.v1", buyer_forgotten()),
        ],
    );
}
