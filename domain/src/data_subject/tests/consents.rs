use cqrs_es::Aggregate as _;

use super::{Scenario, evidence, grant, granted, registered, withdraw, withdrawn};
use crate::data_subject::{ConsentPurpose, DataSubject, DataSubjectEvent};
use crate::scenario::noon;

#[test]
fn a_consent_is_kept_with_its_text_and_how_it_was_given() {
    Scenario::given([registered()])
        .when(grant("2026-02"))
        .then([granted("2026-02", Some(evidence()))]);
}

#[test]
fn whoever_agrees_has_a_record_from_then_on() {
    Scenario::given([])
        .when(grant("2026-02"))
        .then([registered(), granted("2026-02", Some(evidence()))]);
}

#[test]
fn agreeing_again_to_the_same_text_says_nothing_new_and_to_another_does() {
    let given = || Scenario::given([registered(), granted("2026-02", None)]);
    given().when(grant("2026-02")).then_nothing();
    given()
        .when(grant("2026-03"))
        .then([granted("2026-03", Some(evidence()))]);
    Scenario::given([registered(), granted("2026-02", None), withdrawn()])
        .when(grant("2026-02"))
        .then([granted("2026-02", Some(evidence()))]);
}

#[test]
fn whoever_never_agreed_can_object_too_and_needs_no_record_for_it() {
    Scenario::given([])
        .when(withdraw())
        .then([registered(), withdrawn()]);
    Scenario::given([registered()])
        .when(withdraw())
        .then([withdrawn()]);
    Scenario::given([registered(), granted("1", None)])
        .when(withdraw())
        .then([withdrawn()]);
    Scenario::given([registered(), withdrawn()])
        .when(withdraw())
        .then_nothing();
}

#[test]
fn nobody_is_shown_who_objects_to_it_or_to_sharing() {
    let shown = |events: &[DataSubjectEvent]| {
        let mut subject = DataSubject::default();
        for event in events {
            subject.apply(event.clone());
        }
        subject.may_be_shown()
    };
    let of = |purpose| DataSubjectEvent::ConsentWithdrawn {
        purpose,
        at: noon(),
    };
    assert!(shown(&[registered()]));
    assert!(shown(&[registered(), of(ConsentPurpose::Analytics)]));
    assert!(!shown(&[registered(), of(ConsentPurpose::Sharing)]));
    assert!(!shown(&[registered(), withdrawn()]));
    assert!(shown(&[registered(), withdrawn(), granted("1", None)]));
}
