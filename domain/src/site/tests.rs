use cqrs_es::Aggregate;

use super::{Site, SiteCommand, SiteError, SiteEvent, SiteSettings};
use crate::credential::EmbedKey;
use crate::error::{DomainError, ErrorKind};
use crate::host::Hostname;
use crate::ids::AccountId;
use crate::region::DataRegion;
use crate::scenario::{id, noon, walk};
use crate::text::SiteName;

type Scenario = crate::scenario::Scenario<Site>;

fn account_id() -> AccountId {
    id(0xAC)
}

fn name(text: &str) -> SiteName {
    SiteName::parse(text).unwrap()
}

fn domain(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn region(text: &str) -> DataRegion {
    DataRegion::parse(text).unwrap()
}

fn wide() -> SiteSettings {
    SiteSettings::try_new(50, 720).unwrap()
}

fn registered() -> SiteEvent {
    SiteEvent::Registered {
        account_id: account_id(),
        name: name("Trail Shop"),
        domain: domain("shop.example.com"),
        embed_key: EmbedKey::from_bytes([0xAB; 16]),
        data_region: Some(region("eu")),
        settings: SiteSettings::default(),
        at: noon(),
    }
}

/// Nobody was promised where data may lie.
fn registered_before_regions() -> SiteEvent {
    SiteEvent::Registered {
        account_id: account_id(),
        name: name("Trail Shop"),
        domain: domain("shop.example.com"),
        embed_key: EmbedKey::from_bytes([0xAB; 16]),
        data_region: None,
        settings: SiteSettings::default(),
        at: noon(),
    }
}

fn renamed(text: &str) -> SiteEvent {
    SiteEvent::Renamed {
        name: name(text),
        at: noon(),
    }
}

fn settings_changed(settings: SiteSettings) -> SiteEvent {
    SiteEvent::SettingsChanged {
        settings,
        at: noon(),
    }
}

fn register() -> SiteCommand {
    SiteCommand::Register {
        account_id: account_id(),
        name: name("Trail Shop"),
        domain: domain("shop.example.com"),
        embed_key: EmbedKey::from_bytes([0xAB; 16]),
        data_region: Some(region("eu")),
        at: noon(),
    }
}

/// A registration that differs from [`register`] in one fact each.
fn other_registrations() -> [SiteCommand; 5] {
    let registration = |account: u8, site_name: &str, host: &str, key_byte: u8, kept: &str| {
        SiteCommand::Register {
            account_id: id(account),
            name: name(site_name),
            domain: domain(host),
            embed_key: EmbedKey::from_bytes([key_byte; 16]),
            data_region: Some(region(kept)),
            at: noon(),
        }
    };
    [
        registration(0xAD, "Trail Shop", "shop.example.com", 0xAB, "eu"),
        registration(0xAC, "Another", "shop.example.com", 0xAB, "eu"),
        registration(0xAC, "Trail Shop", "www.example.com", 0xAB, "eu"),
        registration(0xAC, "Trail Shop", "shop.example.com", 0xCD, "eu"),
        registration(0xAC, "Trail Shop", "shop.example.com", 0xAB, "us"),
    ]
}

fn change(new_name: Option<&str>, settings: Option<SiteSettings>) -> SiteCommand {
    SiteCommand::Change {
        name: new_name.map(name),
        settings,
        at: noon(),
    }
}

#[test]
fn a_site_is_registered_with_the_default_settings() {
    Scenario::given([]).when(register()).then([registered()]);
}

#[test]
fn registering_a_site_again_with_the_same_facts_changes_nothing() {
    Scenario::given([registered()])
        .when(register())
        .then_nothing();
}

#[test]
fn registering_a_site_again_after_it_changed_neither_fails_nor_changes_it_back() {
    Scenario::given([registered(), renamed("Other"), settings_changed(wide())])
        .when(register())
        .then_nothing();
}

#[test]
fn a_registered_site_cannot_be_registered_with_other_facts() {
    for other in other_registrations() {
        Scenario::given([registered()])
            .when(other)
            .then_err(SiteError::AlreadyRegistered);
    }
}

#[test]
fn what_is_not_registered_cannot_be_changed() {
    for command in [
        change(None, None),
        change(Some("Trail & Road"), None),
        change(None, Some(wide())),
    ] {
        Scenario::given([])
            .when(command)
            .then_err(SiteError::NotRegistered);
    }
}

#[test]
fn a_site_is_renamed() {
    Scenario::given([registered()])
        .when(change(Some("Trail & Road"), None))
        .then([renamed("Trail & Road")]);
}

#[test]
fn a_sites_settings_are_changed() {
    Scenario::given([registered()])
        .when(change(None, Some(wide())))
        .then([settings_changed(wide())]);
}

#[test]
fn name_and_settings_are_changed_together() {
    Scenario::given([registered()])
        .when(change(Some("Trail & Road"), Some(wide())))
        .then([renamed("Trail & Road"), settings_changed(wide())]);
}

#[test]
fn only_what_differs_is_changed() {
    Scenario::given([registered()])
        .when(change(Some("Trail Shop"), Some(wide())))
        .then([settings_changed(wide())]);
    Scenario::given([registered(), settings_changed(wide())])
        .when(change(Some("Trail & Road"), Some(wide())))
        .then([renamed("Trail & Road")]);
}

#[test]
fn a_change_to_what_is_already_so_changes_nothing() {
    for command in [
        change(None, None),
        change(Some("Trail Shop"), None),
        change(None, Some(SiteSettings::default())),
        change(Some("Trail Shop"), Some(SiteSettings::default())),
    ] {
        Scenario::given([registered()]).when(command).then_nothing();
    }
}

#[test]
fn a_site_can_be_changed_back() {
    Scenario::given([registered(), renamed("Other")])
        .when(change(Some("Trail Shop"), None))
        .then([renamed("Trail Shop")]);
}

#[test]
fn a_site_knows_what_it_is_now() {
    let mut site = Site::default();
    assert_eq!(site.registered(), None);
    for event in [registered(), renamed("Other"), settings_changed(wide())] {
        site.apply(event);
    }
    let now = site.registered().unwrap();
    assert_eq!(now.account_id, account_id());
    assert_eq!(now.name, name("Other"));
    assert_eq!(now.settings, wide());
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let mut commands = vec![
        register(),
        change(None, None),
        change(Some("Trail & Road"), None),
        change(Some("Trail Shop"), Some(wide())),
        change(None, Some(SiteSettings::default())),
    ];
    commands.extend(other_registrations());
    walk::<Site>(&commands, 5);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    for (error, code, kind) in [
        (
            SiteError::NotRegistered,
            "site_not_registered",
            ErrorKind::NotFound,
        ),
        (
            SiteError::AlreadyRegistered,
            "site_already_registered",
            ErrorKind::Conflict,
        ),
        (
            SiteError::UnknownRegion,
            "site_unknown_region",
            ErrorKind::Invalid,
        ),
    ] {
        assert_eq!((error.code(), error.kind()), (code, kind));
        assert!(error.to_string().ends_with('.'), "{error}");
    }
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    crate::golden::check(
        Site::TYPE,
        SiteEvent::TYPES,
        &[
            ("registered.v1", registered()),
            ("registered.minimal.v1", registered_before_regions()),
            ("renamed.v1", renamed("Trail & Road")),
            ("settings_changed.v1", settings_changed(wide())),
        ],
    );
}
