//! What differs between two states.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::mask::{is_envelope, mask_member};

/// A field that differs. What may not be shown is masked.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    /// JSON pointer.
    pub(super) path: String,
    /// Null where there was none.
    pub(super) before: Value,
    pub(super) after: Value,
}

/// Field by field. What is masked is compared all the same.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", "", before, after, &mut found);
    found
}

fn compare(path: &str, name: &str, before: &Value, after: &Value, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let none = Map::new();
    let (before_fields, after_fields) = match (fields(before), fields(after)) {
        (Some(before), Some(after)) => (before, after),
        (Some(fields), None) if after.is_null() => (fields, &none),
        (None, Some(fields)) if before.is_null() => (&none, fields),
        _ => {
            found.push(Change {
                path: path.to_owned(),
                before: mask_member(name, before),
                after: mask_member(name, after),
            });
            return;
        }
    };
    let names: BTreeSet<&String> = before_fields.keys().chain(after_fields.keys()).collect();
    for name in names {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or(Value::Null);
        let (before, after) = (of(before_fields), of(after_fields));
        compare(&format!("{path}/{escaped}"), name, &before, &after, found);
    }
}

/// An envelope is one field.
fn fields(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|members| !is_envelope(members))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::past::mask::mask;

    fn change(path: &str, before: Value, after: Value) -> Change {
        Change {
            path: path.to_owned(),
            before,
            after,
        }
    }

    #[test]
    fn fields_are_compared_one_by_one_and_also_where_there_was_nothing() {
        let shoes = json!({ "site": { "name": "Shoes", "settings": { "items": 3, "hours": 24 } } });
        let boots = json!({ "site": { "name": "Boots", "settings": { "items": 5, "hours": 24 } } });
        assert_eq!(
            changes(&shoes, &boots),
            [
                change("/site/name", json!("Shoes"), json!("Boots")),
                change("/site/settings/items", json!(3), json!(5)),
            ]
        );
        assert_eq!(
            changes(&json!({ "site": null }), &json!({ "site": { "a/b": 1 } })),
            [change("/site/a~1b", Value::Null, json!(1))]
        );
        assert_eq!(changes(&boots, &boots), []);
    }

    #[test]
    fn another_secret_is_a_change_that_shows_neither() {
        let sealed = |text: &str| {
            json!({
                "secret": { "$pii": { "subject": "s", "sealed": text } },
                "keys": { "k": { "hash": text } },
            })
        };
        let found = changes(&sealed("1.AAAA"), &sealed("1.BBBB"));
        let masked = mask(&json!({ "$pii": { "subject": "s", "sealed": "" } }));
        assert_eq!(
            found,
            [
                change("/keys/k/hash", json!("withheld"), json!("withheld")),
                change("/secret", masked.clone(), masked),
            ]
        );
    }
}
