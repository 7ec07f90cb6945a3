//! Metrics are named by one rule, and docs/operations.md lists every one of them.

use std::collections::BTreeSet;
use std::path::Path;

const MACROS: [&str; 3] = ["counter!(", "gauge!(", "histogram!("];

#[test]
fn every_metric_is_named_by_the_rule_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.is_dir() && !source.starts_with(root.join("tests")) {
            collect(&source, &mut used);
        }
    }
    assert!(used.len() > 15, "metrics are found: {used:?}");
    for name in &used {
        let unit = name.rsplit('_').next().unwrap();
        let well_named = name.starts_with("proofline_")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !["count", "ms", "millis"].contains(&unit);
        assert!(well_named, "{name}");
    }
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `proofline_"))
        .map(|rest| format!("proofline_{}", rest.split('`').next().unwrap()))
        .collect();
    assert_eq!(
        used, documented,
        "the table in docs/operations.md is complete and current"
    );
    let alerts = std::fs::read_to_string(root.join("docs/alerts.yml")).unwrap();
    for word in alerts.split(|c: char| !c.is_ascii_lowercase() && c != '_') {
        let name = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(word);
        assert!(
            !name.starts_with("proofline_") || used.contains(name),
            "an alert asks for {name}, which nobody shows"
        );
    }
}

/// What the macros of `metrics` name, in every source file below.
fn collect(directory: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, used);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            // Examples in documentation show the mechanism, not ours.
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            for name in MACROS.iter().flat_map(|name| code.split(name).skip(1)) {
                let Some(quoted) = name.trim_start().strip_prefix('"') else {
                    continue;
                };
                used.insert(quoted.split('"').next().unwrap().to_owned());
            }
        }
    }
}
