//! What holds a secret shows nothing of it, whatever is logged: every type of ours is looked at, so that a new one can't be
//! left out.

use std::path::{Path, PathBuf};

/// Types that show what they hold.
const TELLING: &[&str] = &["Zeroizing<", "PgConnectOptions"];
/// Names of fields that hold secrets, or addresses that passwords may stand in, as far as they are plain text or bytes.
const SECRET: &[&str] = &[
    "secret",
    "password",
    "pepper",
    "private_key",
    "credential",
    "api_key",
    "seed",
    "url",
    "token",
];
const PLAIN: &[&str] = &["String", "Vec<u8>", "[u8", "Url", "Box<str>"];
/// Not secret, though their names say so: type and field.
const KNOWN: &[(&str, &str)] = &[
    // A shop page's own, and public.
    ("ServedItem", "token"),
];

#[test]
fn no_type_derives_debug_that_would_show_a_secret() {
    let mut found = Vec::new();
    let mut types = 0;
    for file in sources() {
        let source = std::fs::read_to_string(&file).unwrap();
        for shown in derived(&source) {
            types += 1;
            for field in shown.fields {
                if tells(shown.name, field) {
                    found.push(format!("{}: {} {{ {field} }}", file.display(), shown.name));
                }
            }
        }
    }
    assert!(types > 300, "only {types} types were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_telling_type_is_told_from_a_quiet_one() {
    let source = "#[derive(Clone, Debug)]\npub struct A {\n    /// Its url.\n    pub database_url: Option<String>,\n    port: u16,\n}\n\n\
                  #[derive(Clone)]\nstruct B(Zeroizing<[u8; 32]>);\n\n#[derive(\n    Clone,\n    Debug,\n)]\n#[serde(x)]\nstruct C(Zeroizing<String>);\n";
    let told: Vec<(&str, &str)> = derived(source)
        .flat_map(|shown| {
            shown
                .fields
                .into_iter()
                .map(move |field| (shown.name, field))
        })
        .filter(|(name, field)| tells(name, field))
        .collect();
    assert_eq!(
        told,
        [
            ("A", "database_url: Option<String>"),
            ("C", "Zeroizing<String>")
        ]
    );
}

/// A type that derives `Debug`.
struct Shown<'a> {
    name: &'a str,
    /// As they are written, without visibility.
    fields: Vec<&'a str>,
}

fn tells(name: &str, field: &str) -> bool {
    if TELLING.iter().any(|telling| field.contains(telling)) {
        return true;
    }
    let Some((field, of)) = field.split_once(": ") else {
        return false;
    };
    let is_plain = PLAIN.iter().any(|plain| {
        let of = of.trim_start_matches("Option<");
        of.starts_with(plain)
    });
    let is_secret = SECRET
        .iter()
        .any(|secret| field == *secret || field.ends_with(&format!("_{secret}")));
    is_plain && is_secret && !KNOWN.contains(&(name, field))
}

/// As rustfmt leaves them: attributes, the head, a field a line, and what ends it at the margin of the head.
fn derived(source: &str) -> impl Iterator<Item = Shown<'_>> {
    source.match_indices("#[derive(").filter_map(|(at, _)| {
        let (derives, rest) = source[at + "#[derive(".len()..].split_once(")]")?;
        let is_shown = derives.split(',').any(|name| name.trim() == "Debug");
        let mut lines = rest.lines().map(str::trim_start).skip(1);
        let head = lines.find(|line| words(line).any(|word| word == "struct" || word == "enum"))?;
        let mut named = words(head).skip_while(|word| *word != "struct" && *word != "enum");
        let name = named.nth(1)?;
        let body = &rest[rest.find(head)? + head.len()..];
        let fields = match head.strip_suffix(';') {
            Some(tuple) => vec![tuple.split_once('(')?.1.trim_end_matches(')')],
            None => body
                .lines()
                .skip(1)
                .map(str::trim)
                .take_while(|line| *line != "}")
                .map(field)
                .collect(),
        };
        is_shown.then_some(Shown { name, fields })
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Without visibility and comma.
fn field(line: &str) -> &str {
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.split_once(' ').map_or(rest, |(_, field)| field),
        None => line,
    };
    if line.starts_with("//") {
        ""
    } else {
        line.trim_end_matches(',')
    }
}

/// Every file of ours that is not a test's.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for member in std::fs::read_dir(root).unwrap() {
        let folder = member.unwrap().path();
        if !folder.ends_with("tests") {
            collect(&folder.join("src"), &mut found);
        }
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
