use cqrs_es::Aggregate;

use super::{Integration, IntegrationCommand, IntegrationError, IntegrationEvent, Platform};
use crate::credential::WebhookSecret;
use crate::error::{DomainError, ErrorKind};
use crate::host::Hostname;
use crate::ids::SubjectId;
use crate::pii::Pii;
use crate::scenario::{id, noon, site_id, walk};

type Scenario = crate::scenario::Scenario<Integration>;

const SECRET: &str = "shpss_0123456789abcdef";

fn subject() -> SubjectId {
    id(0x5E)
}

fn known(secret: &str) -> Pii<WebhookSecret> {
    Pii::new(subject(), WebhookSecret::parse(secret).unwrap())
}

fn sealed() -> Pii<WebhookSecret> {
    Pii::Sealed {
        subject: subject(),
        sealed: "c2VhbGVk".to_owned(),
    }
}

fn erased() -> Pii<WebhookSecret> {
    Pii::Erased { subject: subject() }
}

fn connected(webhook_secret: Pii<WebhookSecret>) -> IntegrationEvent {
    IntegrationEvent::Connected {
        site_id: site_id(),
        platform: Platform::Shopify,
        shop_domain: Hostname::parse("trail.myshopify.com").unwrap(),
        webhook_secret,
        at: noon(),
    }
}

fn connect() -> IntegrationCommand {
    connect_with(0x51, "trail.myshopify.com", SECRET)
}

fn connect_with(site: u8, shop_domain: &str, secret: &str) -> IntegrationCommand {
    IntegrationCommand::Connect {
        site_id: id(site),
        platform: Platform::Shopify,
        shop_domain: Hostname::parse(shop_domain).unwrap(),
        webhook_secret: known(secret),
        at: noon(),
    }
}

/// A connection that differs from [`connect`] in one fact each.
fn other_connections() -> [IntegrationCommand; 3] {
    [
        connect_with(0x52, "trail.myshopify.com", SECRET),
        connect_with(0x51, "road.myshopify.com", SECRET),
        connect_with(0x51, "trail.myshopify.com", "shpss_other"),
    ]
}

#[test]
fn a_shop_is_connected() {
    Scenario::given([])
        .when(connect())
        .then([connected(known(SECRET))]);
}

#[test]
fn connecting_the_same_shop_again_changes_nothing() {
    Scenario::given([connected(known(SECRET))])
        .when(connect())
        .then_nothing();
}

#[test]
fn a_connected_integration_cannot_be_connected_otherwise() {
    for other in other_connections() {
        Scenario::given([connected(known(SECRET))])
            .when(other)
            .then_err(IntegrationError::AlreadyConnected);
    }
}

#[test]
fn an_integration_whose_secret_is_erased_cannot_be_connected_again() {
    Scenario::given([connected(erased())])
        .when(connect())
        .then_err(IntegrationError::AlreadyConnected);
}

#[test]
fn a_connected_integration_knows_what_a_webhook_needs() {
    let mut integration = Integration::default();
    assert_eq!(integration.connected(), None);
    integration.apply(connected(known(SECRET)));
    let shop = integration.connected().unwrap();
    assert_eq!(shop.site_id, site_id());
    assert_eq!(shop.platform, Platform::Shopify);
    assert_eq!(shop.shop_domain.as_str(), "trail.myshopify.com");
    assert_eq!(shop.webhook_secret.known().unwrap().expose(), SECRET);
}

#[test]
fn neither_command_nor_event_nor_state_shows_the_secret() {
    let mut integration = Integration::default();
    integration.apply(connected(known(SECRET)));
    let shown = format!(
        "{:?} {:?} {integration:?}",
        connect(),
        connected(known(SECRET))
    );
    assert!(!shown.contains("shpss"), "{shown}");
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let mut commands = vec![connect()];
    commands.extend(other_connections());
    walk::<Integration>(&commands, 4);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    let error = IntegrationError::AlreadyConnected;
    assert_eq!(error.code(), "integration_already_connected");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    crate::golden::check(
        Integration::TYPE,
        IntegrationEvent::TYPES,
        &[
            ("connected.v1", connected(known(SECRET))),
            ("connected.sealed.v1", connected(sealed())),
            ("connected.erased.v1", connected(erased())),
        ],
    );
}
