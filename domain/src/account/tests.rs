use std::collections::BTreeSet;

use cqrs_es::Aggregate;

use super::{Account, AccountCommand, AccountError, AccountEvent, Scope};
use crate::credential::ApiKeyHash;
use crate::error::{DomainError, ErrorKind};
use crate::ids::ApiKeyId;
use crate::scenario::{id, morning, noon, walk};
use crate::text::{AccountName, Label};

type Scenario = crate::scenario::Scenario<Account>;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).unwrap()
}

fn key_id() -> ApiKeyId {
    id(0xA1)
}

fn scopes() -> BTreeSet<Scope> {
    [Scope::Read, Scope::Write].into()
}

fn hash(byte: u8) -> ApiKeyHash {
    ApiKeyHash::from_bytes([byte; 32])
}

fn opened() -> AccountEvent {
    AccountEvent::Opened {
        name: name("Läufer & Söhne"),
        at: morning(),
    }
}

fn issued(key_id: ApiKeyId) -> AccountEvent {
    AccountEvent::ApiKeyIssued {
        key_id,
        label: Label::parse("Console").unwrap(),
        hash: hash(0x0F),
        scopes: scopes(),
        at: morning(),
    }
}

fn revoked(key_id: ApiKeyId) -> AccountEvent {
    AccountEvent::ApiKeyRevoked {
        key_id,
        at: morning(),
    }
}

fn open(text: &str) -> AccountCommand {
    AccountCommand::Open {
        name: name(text),
        at: noon(),
    }
}

fn issue(key_id: ApiKeyId) -> AccountCommand {
    issue_with(key_id, 0x0F, scopes())
}

fn issue_with(key_id: ApiKeyId, hash_byte: u8, scopes: BTreeSet<Scope>) -> AccountCommand {
    AccountCommand::IssueApiKey {
        key_id,
        label: Label::parse("Console").unwrap(),
        hash: hash(hash_byte),
        scopes,
        at: noon(),
    }
}

fn revoke(key_id: ApiKeyId) -> AccountCommand {
    AccountCommand::RevokeApiKey { key_id, at: noon() }
}

fn at_noon(event: AccountEvent) -> AccountEvent {
    let at = noon();
    match event {
        AccountEvent::Opened { name, .. } => AccountEvent::Opened { name, at },
        AccountEvent::ApiKeyIssued {
            key_id,
            label,
            hash,
            scopes,
            ..
        } => AccountEvent::ApiKeyIssued {
            key_id,
            label,
            hash,
            scopes,
            at,
        },
        AccountEvent::ApiKeyRevoked { key_id, .. } => AccountEvent::ApiKeyRevoked { key_id, at },
    }
}

#[test]
fn an_account_is_opened() {
    Scenario::given([])
        .when(open("Läufer & Söhne"))
        .then([at_noon(opened())]);
}

#[test]
fn opening_an_account_again_under_its_name_changes_nothing() {
    Scenario::given([opened()])
        .when(open("Läufer & Söhne"))
        .then_nothing();
}

#[test]
fn an_open_account_cannot_be_opened_under_another_name() {
    Scenario::given([opened()])
        .when(open("Another"))
        .then_err(AccountError::AlreadyOpened);
}

#[test]
fn an_open_account_issues_api_keys() {
    Scenario::given([opened()])
        .when(issue(key_id()))
        .then([at_noon(issued(key_id()))]);
    Scenario::given([opened(), issued(key_id())])
        .when(issue(id(0xA2)))
        .then([at_noon(issued(id(0xA2)))]);
}

#[test]
fn an_account_that_is_not_open_has_no_api_keys() {
    Scenario::given([])
        .when(issue(key_id()))
        .then_err(AccountError::NotOpened);
    Scenario::given([])
        .when(revoke(key_id()))
        .then_err(AccountError::NotOpened);
}

#[test]
fn an_api_key_without_scopes_is_refused() {
    Scenario::given([opened()])
        .when(issue_with(key_id(), 0x0F, BTreeSet::new()))
        .then_err(AccountError::NoScopes);
}

#[test]
fn issuing_the_same_api_key_again_changes_nothing() {
    Scenario::given([opened(), issued(key_id())])
        .when(issue(key_id()))
        .then_nothing();
}

#[test]
fn issuing_the_same_api_key_again_does_not_undo_its_revocation() {
    Scenario::given([opened(), issued(key_id()), revoked(key_id())])
        .when(issue(key_id()))
        .then_nothing();
}

#[test]
fn another_api_key_cannot_take_an_id_even_of_a_revoked_one() {
    for given in [
        vec![opened(), issued(key_id())],
        vec![opened(), issued(key_id()), revoked(key_id())],
    ] {
        for other in [
            issue_with(key_id(), 0xFF, scopes()),
            issue_with(key_id(), 0x0F, [Scope::Read].into()),
        ] {
            Scenario::given(given.clone())
                .when(other)
                .then_err(AccountError::ApiKeyIdTaken);
        }
    }
}

#[test]
fn an_account_has_at_most_a_hundred_valid_api_keys() {
    let full = || std::iter::once(opened()).chain((0..100).map(|n| issued(id(n))));
    Scenario::given(full())
        .when(issue(id(200)))
        .then_err(AccountError::TooManyApiKeys { max: 100 });
    Scenario::given(full()).when(issue(id(7))).then_nothing();
    Scenario::given(full().chain([revoked(id(7))]))
        .when(issue(id(200)))
        .then([at_noon(issued(id(200)))]);
}

#[test]
fn an_api_key_is_revoked() {
    Scenario::given([opened(), issued(key_id())])
        .when(revoke(key_id()))
        .then([at_noon(revoked(key_id()))]);
}

#[test]
fn revoking_a_revoked_api_key_changes_nothing() {
    Scenario::given([opened(), issued(key_id()), revoked(key_id())])
        .when(revoke(key_id()))
        .then_nothing();
}

#[test]
fn an_unknown_api_key_cannot_be_revoked() {
    Scenario::given([opened(), issued(id(0xA2))])
        .when(revoke(key_id()))
        .then_err(AccountError::UnknownApiKey);
}

#[test]
fn only_a_valid_api_key_is_found() {
    let mut account = Account::default();
    assert_eq!(account.name(), None);
    account.apply(opened());
    assert_eq!(account.name(), Some(&name("Läufer & Söhne")));
    assert_eq!(account.api_key(key_id()), None);
    account.apply(issued(key_id()));
    let key = account.api_key(key_id()).unwrap();
    assert_eq!((&key.hash, &key.scopes), (&hash(0x0F), &scopes()));
    account.apply(revoked(key_id()));
    assert_eq!(account.api_key(key_id()), None);
}

#[test]
fn repeating_what_is_done_yields_no_events_in_any_state() {
    let commands = [
        open("Läufer & Söhne"),
        open("Another"),
        issue(key_id()),
        issue(id(0xA2)),
        issue_with(key_id(), 0xFF, scopes()),
        issue_with(id(0xA3), 0x0F, BTreeSet::new()),
        revoke(key_id()),
        revoke(id(0xA2)),
    ];
    walk::<Account>(&commands, 5);
}

#[test]
fn each_refusal_has_its_code_and_kind() {
    use ErrorKind::{Conflict, Invalid, NotFound};
    for (error, code, kind) in [
        (AccountError::NotOpened, "account_not_opened", NotFound),
        (
            AccountError::AlreadyOpened,
            "account_already_opened",
            Conflict,
        ),
        (AccountError::NoScopes, "api_key_no_scopes", Invalid),
        (AccountError::ApiKeyIdTaken, "api_key_id_taken", Conflict),
        (AccountError::UnknownApiKey, "unknown_api_key", NotFound),
        (
            AccountError::TooManyApiKeys { max: 100 },
            "too_many_api_keys",
            Conflict,
        ),
    ] {
        assert_eq!((error.code(), error.kind()), (code, kind));
        assert!(error.to_string().ends_with('.'), "{error}");
    }
}

#[test]
fn golden_files_are_read_and_written_as_they_stand() {
    crate::golden::check(
        Account::TYPE,
        AccountEvent::TYPES,
        &[
            ("opened.v1", at_noon(opened())),
            ("api_key_issued.v1", at_noon(issued(key_id()))),
            ("api_key_revoked.v1", at_noon(revoked(key_id()))),
        ],
    );
}
