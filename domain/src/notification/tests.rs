use cqrs_es::Aggregate;

use super::{
    Notification, NotificationCommand, NotificationError, NotificationEvent, NotificationStatus,
};
use crate::error::{DomainError, ErrorKind};
use crate::message::MessageTemplate;
use crate::scenario::{id, noon, site_id, walk};
use crate::text::NotificationName;

type Scenario = crate::scenario::Scenario<Notification>;

const MESSAGE: &str = "{first_name} from {city} bought {product}";

fn drafted() -> NotificationEvent {
    NotificationEvent::Drafted {
        site_id: site_id(),
        name: NotificationName::parse("Recent orders").unwrap(),
        message: MessageTemplate::parse(MESSAGE).unwrap(),
        at: noon(),
    }
}

fn published() -> NotificationEvent {
    NotificationEvent::Published {
        site_id: site_id(),
        at: noon(),
    }
}

fn paused() -> NotificationEvent {
    NotificationEvent::Paused {
        site_id: site_id(),
        at: noon(),
    }
}

fn resumed() -> NotificationEvent {
    NotificationEvent::Resumed {
        site_id: site_id(),
        at: noon(),
    }
}

fn archived() -> NotificationEvent {
    NotificationEvent::Archived {
        site_id: site_id(),
        at: noon(),
    }
}

fn draft() -> NotificationCommand {
    draft_with(0x51, "Recent orders", MESSAGE)
}

fn draft_with(site: u8, name: &str, message: &str) -> NotificationCommand {
    NotificationCommand::Draft {
        site_id: id(site),
        name: NotificationName::parse(name).unwrap(),
        message: MessageTemplate::parse(message).unwrap(),
        at: noon(),
    }
}

fn publish() -> NotificationCommand {
    NotificationCommand::Publish { at: noon() }
}

fn pause() -> NotificationCommand {
    NotificationCommand::Pause { at: noon() }
}

fn resume() -> NotificationCommand {
    NotificationCommand::Resume { at: noon() }
}

fn archive() -> NotificationCommand {
    NotificationCommand::Archive { at: noon() }
}

fn a_draft() -> Scenario {
    Scenario::given([drafted()])
}

fn a_published_one() -> Scenario {
    Scenario::given([drafted(), published()])
}

fn a_paused_one() -> Scenario {
    Scenario::given([drafted(), published(), paused()])
}

fn a_resumed_one() -> Scenario {
    Scenario::given([drafted(), published(), paused(), resumed()])
}

fn an_archived_one() -> Scenario {
    Scenario::given([drafted(), published(), archived()])
}

#[test]
fn a_notification_is_drafted() {
    Scenario::given([]).when(draft()).then([drafted()]);
}

#[test]
fn drafting_the_same_again_changes_nothing_whatever_became_of_it() {
    for given in [
        a_draft(),
        a_published_one(),
        a_paused_one(),
        a_resumed_one(),
        an_archived_one(),
    ] {
        given.when(draft()).then_nothing();
    }
}

#[test]
fn a_drafted_notification_cannot_be_drafted_with_other_content() {
    for other in [
        draft_with(0x52, "Recent orders", MESSAGE),
        draft_with(0x51, "Other", MESSAGE),
        draft_with(0x51, "Recent orders", "{product} sold"),
    ] {
        for given in [a_draft(), an_archived_one()] {
            given
                .when(other.clone())
                .then_err(NotificationError::AlreadyDrafted);
        }
    }
}

#[test]
fn what_was_never_drafted_is_not_found() {
    for command in [publish(), pause(), resume(), archive()] {
        Scenario::given([])
            .when(command)
            .then_err(NotificationError::NotDrafted);
    }
}

#[test]
fn a_draft_is_published() {
    a_draft().when(publish()).then([published()]);
}

#[test]
fn publishing_a_published_notification_changes_nothing() {
    a_published_one().when(publish()).then_nothing();
    a_resumed_one().when(publish()).then_nothing();
}

#[test]
fn a_paused_notification_is_not_published_but_resumed() {
    a_paused_one()
        .when(publish())
        .then_err(NotificationError::Paused);
}

#[test]
fn an_archived_notification_cannot_be_published() {
    an_archived_one()
        .when(publish())
        .then_err(NotificationError::Archived);
}

#[test]
fn a_published_notification_is_paused() {
    a_published_one().when(pause()).then([paused()]);
    a_resumed_one().when(pause()).then([paused()]);
}

#[test]
fn pausing_a_paused_notification_changes_nothing() {
    a_paused_one().when(pause()).then_nothing();
}

#[test]
fn a_draft_cannot_be_paused() {
    a_draft()
        .when(pause())
        .then_err(NotificationError::NotPublished);
}

#[test]
fn an_archived_notification_cannot_be_paused() {
    an_archived_one()
        .when(pause())
        .then_err(NotificationError::Archived);
}

#[test]
fn a_paused_notification_is_resumed() {
    a_paused_one().when(resume()).then([resumed()]);
}

#[test]
fn resuming_a_published_notification_changes_nothing() {
    a_published_one().when(resume()).then_nothing();
    a_resumed_one().when(resume()).then_nothing();
}

#[test]
fn a_draft_cannot_be_resumed() {
    a_draft()
        .when(resume())
        .then_err(NotificationError::NotPublished);
}

#[test]
fn an_archived_notification_cannot_be_resumed() {
    an_archived_one()
        .when(resume())
        .then_err(NotificationError::Archived);
}

#[test]
fn a_notification_is_archived_from_any_state() {
    for given in [
        a_draft(),
        a_published_one(),
        a_paused_one(),
        a_resumed_one(),
    ] {
        given.when(archive()).then([archived()]);
    }
}

#[test]
fn archiving_an_archived_notification_changes_nothing() {
    an_archived_one().when(archive()).then_nothing();
}

#[test]
fn a_notification_knows_its_status() {
    let mut notification = Notification::default();
    assert_eq!(notification.drafted(), None);
    for (event, status) in [
        (drafted(), NotificationStatus::Draft),
        (published(), NotificationStatus::Published),
        (paused(), NotificationStatus::Paused),
        (resumed(), NotificationStatus::Published),
        (archived(), NotificationStatus::Archived),
    ] {
        assert_eq!(event.site_id(), site_id());
        notification.apply(event);
        assert_eq!(notification.drafted().unwrap().status, status);
    }
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let commands = [
        draft(),
        draft_with(0x51, "Other", MESSAGE),
        publish(),
        pause(),
        resume(),
        archive(),
    ];
    walk::<Notification>(&commands, 6);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    use ErrorKind::{Conflict, NotFound};
    use NotificationError::{AlreadyDrafted, Archived, NotDrafted, NotPublished, Paused};
    for (error, code, kind) in [
        (NotDrafted, "notification_not_drafted", NotFound),
        (AlreadyDrafted, "notification_already_drafted", Conflict),
        (NotPublished, "notification_not_published", Conflict),
        (Paused, "notification_paused", Conflict),
        (Archived, "notification_archived", Conflict),
    ] {
        assert_eq!((error.code(), error.kind()), (code, kind));
        assert!(error.to_string().ends_with('.'), "{error}");
    }
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    crate::golden::check(
        Notification::TYPE,
        NotificationEvent::TYPES,
        &[
            ("drafted.v1", drafted()),
            ("published.v1", published()),
            ("paused.v1", paused()),
            ("resumed.v1", resumed()),
            ("archived.v1", archived()),
        ],
    );
}
