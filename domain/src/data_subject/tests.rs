mod consents;

use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::Aggregate;

use super::{
    ANSWERED_WITHIN, Access, Consent, ConsentPurpose, DataSubject, DataSubjectCommand,
    DataSubjectError, DataSubjectEvent, Erasure,
};
use crate::error::{DomainError, ErrorKind};
use crate::ids::SubjectId;
use crate::pii::Pii;
use crate::scenario::{id, noon, walk};
use crate::text::{CaseReference, ConsentEvidence, ConsentText, Label};

type Scenario = crate::scenario::Scenario<DataSubject>;

const DISPLAY: ConsentPurpose = ConsentPurpose::Display;

fn due() -> DateTime<Utc> {
    noon() + ANSWERED_WITHIN
}

fn other_id() -> SubjectId {
    id(0xB1)
}

fn evidence() -> Pii<ConsentEvidence> {
    let evidence = ConsentEvidence::parse("Checkbox at checkout, order 1001").unwrap();
    Pii::new(id(0xB0), evidence)
}

fn registered() -> DataSubjectEvent {
    DataSubjectEvent::Registered { at: noon() }
}

fn linked() -> DataSubjectEvent {
    let identity = other_id();
    DataSubjectEvent::IdentityLinked {
        identity,
        at: noon(),
    }
}

fn unlinked() -> DataSubjectEvent {
    let identity = other_id();
    DataSubjectEvent::IdentityUnlinked {
        identity,
        at: noon(),
    }
}

fn text() -> ConsentText {
    ConsentText::parse("I agree that my first name and city are shown to other customers.").unwrap()
}

fn granted(version: &str, evidence: Option<Pii<ConsentEvidence>>) -> DataSubjectEvent {
    DataSubjectEvent::ConsentGranted {
        purpose: DISPLAY,
        text_version: Label::parse(version).unwrap(),
        text: text(),
        evidence,
        at: noon(),
    }
}

fn withdrawn() -> DataSubjectEvent {
    DataSubjectEvent::ConsentWithdrawn {
        purpose: DISPLAY,
        at: noon(),
    }
}

fn access_requested() -> DataSubjectEvent {
    DataSubjectEvent::AccessRequested {
        due_at: due(),
        at: noon(),
    }
}

fn in_a_week() -> DateTime<Utc> {
    noon() + TimeDelta::days(7)
}

fn access_fulfilled() -> DataSubjectEvent {
    DataSubjectEvent::AccessFulfilled {
        expires_at: in_a_week(),
        at: noon(),
    }
}

fn erasure_requested() -> DataSubjectEvent {
    DataSubjectEvent::ErasureRequested {
        due_at: due(),
        at: noon(),
    }
}

fn erasure_withdrawn() -> DataSubjectEvent {
    DataSubjectEvent::ErasureWithdrawn { at: noon() }
}

fn withdraw_erasure() -> DataSubjectCommand {
    DataSubjectCommand::WithdrawErasureRequest { at: noon() }
}

fn case(number: &str) -> CaseReference {
    CaseReference::parse(number).unwrap()
}

fn held() -> DataSubjectEvent {
    DataSubjectEvent::LegalHoldPlaced {
        case: case("court/4711"),
        at: noon(),
    }
}

fn released() -> DataSubjectEvent {
    DataSubjectEvent::LegalHoldReleased { at: noon() }
}

fn erased(identities: impl Into<Vec<SubjectId>>) -> DataSubjectEvent {
    DataSubjectEvent::Erased {
        identities: identities.into(),
        at: noon(),
    }
}

const CERTIFICATE: &str = "proofline erasure\n\n\u{2014} proofline.seal/1 c2lnbmVk\n";

fn certified() -> DataSubjectEvent {
    DataSubjectEvent::ErasureCertified {
        certificate: CERTIFICATE.to_owned(),
        at: noon(),
    }
}

fn register() -> DataSubjectCommand {
    DataSubjectCommand::Register { at: noon() }
}

fn link() -> DataSubjectCommand {
    DataSubjectCommand::LinkIdentity {
        identity: other_id(),
        at: noon(),
    }
}

fn unlink() -> DataSubjectCommand {
    DataSubjectCommand::UnlinkIdentity {
        identity: other_id(),
        at: noon(),
    }
}

fn grant(version: &str) -> DataSubjectCommand {
    DataSubjectCommand::GrantConsent {
        purpose: DISPLAY,
        text_version: Label::parse(version).unwrap(),
        text: text(),
        evidence: Some(evidence()),
        at: noon(),
    }
}

fn withdraw() -> DataSubjectCommand {
    DataSubjectCommand::WithdrawConsent {
        purpose: DISPLAY,
        at: noon(),
    }
}

fn request_access() -> DataSubjectCommand {
    DataSubjectCommand::RequestAccess { at: noon() }
}

fn fulfil_access() -> DataSubjectCommand {
    DataSubjectCommand::FulfilAccess {
        expires_at: in_a_week(),
        at: noon(),
    }
}

fn request_erasure() -> DataSubjectCommand {
    DataSubjectCommand::RequestErasure { at: noon() }
}

fn hold(number: &str) -> DataSubjectCommand {
    DataSubjectCommand::PlaceLegalHold {
        case: case(number),
        at: noon(),
    }
}

fn release() -> DataSubjectCommand {
    DataSubjectCommand::ReleaseLegalHold { at: noon() }
}

fn erase() -> DataSubjectCommand {
    DataSubjectCommand::Erase { at: noon() }
}

fn certify() -> DataSubjectCommand {
    DataSubjectCommand::CertifyErasure {
        certificate: CERTIFICATE.to_owned(),
        at: noon(),
    }
}

#[test]
fn a_record_is_opened_once_and_nothing_is_done_without_one() {
    Scenario::given([]).when(register()).then([registered()]);
    Scenario::given([registered()])
        .when(register())
        .then_nothing();
    for command in [
        link(),
        request_access(),
        request_erasure(),
        release(),
        erase(),
    ] {
        Scenario::given([])
            .when(command)
            .then_err(DataSubjectError::NotRegistered);
    }
}

#[test]
fn a_request_has_28_days_and_asking_again_does_not_prolong_them() {
    Scenario::given([registered()])
        .when(request_access())
        .then([access_requested()]);
    Scenario::given([registered()])
        .when(request_erasure())
        .then([erasure_requested()]);
    assert_eq!(due().to_rfc3339(), "2026-03-29T12:00:00+00:00");
    let later = |at| DataSubjectCommand::RequestErasure { at };
    Scenario::given([registered(), erasure_requested()])
        .when(later(noon() + TimeDelta::days(3)))
        .then_nothing();
}

#[test]
fn access_is_given_where_it_was_asked_for_and_can_be_asked_for_again() {
    Scenario::given([registered()])
        .when(fulfil_access())
        .then_err(DataSubjectError::NoAccessRequest);
    Scenario::given([registered(), access_requested()])
        .when(fulfil_access())
        .then([access_fulfilled()]);
    Scenario::given([registered(), access_requested(), access_fulfilled()])
        .when(request_access())
        .then([access_requested()]);
}

#[test]
fn what_was_handed_out_is_not_handed_out_twice_while_it_can_be_fetched() {
    let given = || Scenario::given([registered(), access_requested(), access_fulfilled()]);
    given().when(fulfil_access()).then_nothing();
    let late = in_a_week() + TimeDelta::seconds(1);
    given()
        .when(DataSubjectCommand::FulfilAccess {
            expires_at: late + TimeDelta::days(7),
            at: late,
        })
        .then_err(DataSubjectError::NoAccessRequest);
}

#[test]
fn an_erasure_takes_every_identity_with_it() {
    Scenario::given([registered(), linked(), erasure_requested()])
        .when(erase())
        .then([erased([other_id()])]);
}

#[test]
fn what_was_unlinked_is_not_erased_and_can_be_linked_again() {
    let unlinked = || Scenario::given([registered(), linked(), unlinked(), erasure_requested()]);
    unlinked().when(erase()).then([erased([])]);
    unlinked().when(link()).then([linked()]);
}

#[test]
fn only_what_is_linked_and_neither_held_nor_erased_is_unlinked() {
    Scenario::given([registered(), linked()])
        .when(unlink())
        .then([self::unlinked()]);
    for given in [vec![registered()], vec![registered(), linked(), unlinked()]] {
        Scenario::given(given).when(unlink()).then_nothing();
    }
    Scenario::given([registered(), linked(), held()])
        .when(unlink())
        .then_err(DataSubjectError::LegalHold);
    Scenario::given([
        registered(),
        linked(),
        erasure_requested(),
        erased([other_id()]),
    ])
    .when(unlink())
    .then_err(DataSubjectError::Erased);
}

#[test]
fn nobody_is_erased_who_did_not_ask_or_who_is_held() {
    Scenario::given([registered()])
        .when(erase())
        .then_err(DataSubjectError::NoErasureRequest);
    for given in [
        [registered(), held(), erasure_requested()],
        [registered(), erasure_requested(), held()],
    ] {
        Scenario::given(given)
            .when(erase())
            .then_err(DataSubjectError::LegalHold);
    }
    Scenario::given([registered(), erasure_requested(), held(), released()])
        .when(erase())
        .then([erased([])]);
}

#[test]
fn a_request_can_be_withdrawn_until_it_is_carried_out_and_made_again() {
    Scenario::given([registered(), erasure_requested(), held()])
        .when(withdraw_erasure())
        .then([erasure_withdrawn()]);
    Scenario::given([registered()])
        .when(withdraw_erasure())
        .then_nothing();
    Scenario::given([registered(), erasure_requested(), erasure_withdrawn()])
        .when(request_erasure())
        .then([erasure_requested()]);
    Scenario::given([registered(), erasure_requested(), erasure_withdrawn()])
        .when(erase())
        .then_err(DataSubjectError::NoErasureRequest);
    Scenario::given([registered(), erasure_requested(), erased([])])
        .when(withdraw_erasure())
        .then_err(DataSubjectError::Erased);
}

#[test]
fn one_case_holds_at_a_time() {
    Scenario::given([registered(), held()])
        .when(hold("court/4711"))
        .then_nothing();
    Scenario::given([registered(), held()])
        .when(hold("court/4712"))
        .then_err(DataSubjectError::OtherLegalHold);
    Scenario::given([registered(), held()])
        .when(release())
        .then([released()]);
    Scenario::given([registered()])
        .when(release())
        .then_nothing();
}

#[test]
fn nothing_new_is_said_of_an_erased_person() {
    for command in [link(), grant("1"), request_access(), hold("court/4711")] {
        Scenario::given([registered(), erasure_requested(), erased([])])
            .when(command)
            .then_err(DataSubjectError::Erased);
    }
    Scenario::given([
        registered(),
        access_requested(),
        erasure_requested(),
        erased([]),
    ])
    .when(fulfil_access())
    .then_err(DataSubjectError::Erased);
}

#[test]
fn an_erasure_is_certified_once_and_only_when_it_is_done() {
    for given in [vec![registered()], vec![registered(), erasure_requested()]] {
        Scenario::given(given)
            .when(certify())
            .then_err(DataSubjectError::NotErased);
    }
    Scenario::given([registered(), erasure_requested(), erased([])])
        .when(certify())
        .then([certified()]);
}

#[test]
fn a_person_is_known_by_state_and_by_nothing_personal() {
    let mut subject = DataSubject::default();
    for event in [
        registered(),
        linked(),
        granted("1", Some(evidence())),
        access_requested(),
        held(),
        erasure_requested(),
    ] {
        subject.apply(event);
    }
    assert_eq!(subject.identities().len(), 1);
    assert!(matches!(
        subject.consents()[&DISPLAY],
        Consent::Granted { .. }
    ));
    assert_eq!(subject.access(), Access::Requested { due_at: due() });
    assert_eq!(subject.erasure(), Erasure::Requested { due_at: due() });
    assert_eq!(subject.legal_hold(), Some(&case("court/4711")));
    let snapshot = serde_json::to_string(&subject).unwrap();
    assert!(!snapshot.contains("checkout"), "{snapshot}");
    let shown = format!("{:?} {:?}", grant("1"), granted("1", Some(evidence())));
    assert!(!shown.contains("checkout"), "{shown}");
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let commands = [
        register(),
        link(),
        grant("1"),
        withdraw(),
        request_access(),
        fulfil_access(),
        request_erasure(),
        withdraw_erasure(),
        hold("court/4711"),
        release(),
        erase(),
        certify(),
    ];
    walk::<DataSubject>(&commands, 5);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    use DataSubjectError::{
        Erased, LegalHold, NoAccessRequest, NoErasureRequest, NotErased, OtherLegalHold,
    };
    let absent = DataSubjectError::NotRegistered;
    assert_eq!(
        (absent.code(), absent.kind()),
        ("subject_not_registered", ErrorKind::NotFound)
    );
    for (error, code) in [
        (Erased, "subject_erased"),
        (NoAccessRequest, "no_access_request"),
        (NoErasureRequest, "no_erasure_request"),
        (LegalHold, "legal_hold"),
        (OtherLegalHold, "other_legal_hold"),
        (NotErased, "subject_not_erased"),
    ] {
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Conflict));
        assert!(error.to_string().ends_with('.'), "{error}");
    }
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    let sealed = Pii::Sealed {
        subject: id(0xB0),
        sealed: "c2VhbGVk".to_owned(),
    };
    let gone = Pii::Erased { subject: id(0xB0) };
    crate::golden::check(
        DataSubject::TYPE,
        DataSubjectEvent::TYPES,
        &[
            ("registered.v1", registered()),
            ("identity_linked.v1", linked()),
            // Of another than is linked, so that the table of words still has somebody who is.
            (
                "identity_unlinked.v1",
                DataSubjectEvent::IdentityUnlinked {
                    identity: id(0xB2),
                    at: noon(),
                },
            ),
            ("consent_granted.v1", granted("2026-02", Some(evidence()))),
            (
                "consent_granted.sealed.v1",
                granted("2026-02", Some(sealed)),
            ),
            ("consent_granted.erased.v1", granted("2026-02", Some(gone))),
            ("consent_granted.minimal.v1", granted("2026-02", None)),
            ("consent_withdrawn.v1", withdrawn()),
            ("access_requested.v1", access_requested()),
            ("access_fulfilled.v1", access_fulfilled()),
            ("erasure_requested.v1", erasure_requested()),
            ("erasure_withdrawn.v1", erasure_withdrawn()),
            ("legal_hold_placed.v1", held()),
            ("legal_hold_released.v1", released()),
            ("erased.v1", erased([other_id()])),
            ("erasure_certified.v1", certified()),
        ],
    );
}
