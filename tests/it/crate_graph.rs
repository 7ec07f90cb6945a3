//! The crate graph of docs/ARCHITECTURE.md is the only one allowed.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which of our crates each of our crates may use.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let everything = [
        "commands",
        "domain",
        "engines",
        "event-store",
        "key-providers",
        "migrations",
        "platform",
        "projections",
        "proofline",
        "read-api",
        "replay-tools",
        "write-api",
    ];
    // Judges what the others wrote, so nobody but the tests may lean on it.
    let tested: Vec<&str> = everything.into_iter().chain(["verifier"]).collect();
    [
        ("domain", &[][..]),
        ("event-store", &[]),
        ("platform", &[]),
        ("migrations", &[]),
        ("engines", &[]),
        ("verifier", &[]),
        ("key-providers", &["event-store"]),
        ("commands", &["domain", "event-store"]),
        ("projections", &["domain", "event-store"]),
        ("write-api", &["commands", "domain", "platform"]),
        ("read-api", &["projections", "domain", "platform"]),
        (
            "replay-tools",
            &[
                "commands",
                "projections",
                "domain",
                "event-store",
                "key-providers",
                "migrations",
                "platform",
            ],
        ),
        ("proofline", &everything),
        ("tests", &tested),
    ]
    .into_iter()
    .map(|(name, uses)| {
        (
            name,
            uses.iter().copied().filter(|used| *used != name).collect(),
        )
    })
    .collect()
}

#[test]
fn crates_use_each_other_only_along_the_allowed_edges() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let allowed = allowed();
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(
        ours,
        allowed.keys().copied().collect(),
        "a crate was added or removed: give it its edges"
    );
    for package in &metadata.packages {
        let used: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name.as_str())
            .filter(|name| ours.contains(name))
            .collect();
        let permitted = &allowed[package.name.as_str()];
        let forbidden: Vec<_> = used.difference(permitted).collect();
        assert!(
            forbidden.is_empty(),
            "{} must not use {forbidden:?}",
            package.name
        );
    }
}

#[test]
fn the_domain_uses_nothing_that_does_io() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let uses = |name: &str| -> BTreeSet<String> {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == name)
            .unwrap();
        package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name.clone())
            .collect()
    };
    let pure = ["chrono", "cqrs-es", "serde", "thiserror", "uuid"].map(str::to_owned);
    assert!(
        uses("domain").is_subset(&pure.into()),
        "{:?}",
        uses("domain")
    );
}
