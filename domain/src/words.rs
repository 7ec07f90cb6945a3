//! Events and aggregates in plain words, for whoever looks back: [`Event::sentence`](crate::Event::sentence) and
//! [`State::facts`](crate::State::facts). Each aggregate's words stand beside it.
//!
//! **Rule:** nobody is named and no secret is told, whether the envelope is open or not: a person is "a buyer".

/// Something that is so about an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// For instance `domain`. An aggregate has each name once.
    pub name: String,
    pub value: String,
}

impl Fact {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// A fact that differs between two states; `None` where it was not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFact {
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// In the order of the facts before; what is new comes after.
pub fn changed_facts(before: Vec<Fact>, after: Vec<Fact>) -> Vec<ChangedFact> {
    let mut changed = Vec::with_capacity(before.len());
    changed.extend(before.into_iter().map(|fact| ChangedFact {
        name: fact.name,
        before: Some(fact.value),
        after: None,
    }));
    for Fact { name, value } in after {
        match changed.iter_mut().find(|fact| fact.name == name) {
            Some(fact) => fact.after = Some(value),
            None => changed.push(ChangedFact {
                name,
                before: None,
                after: Some(value),
            }),
        }
    }
    changed.retain(|fact| fact.before != fact.after);
    changed
}

/// Between quotation marks, so that a text can't be taken for the words around it.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// `1 item`, `2 items`.
pub(crate) fn counted(number: u32, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_does_not_end_within_a_text() {
        assert_eq!(quoted(r#"A" was "B"#), r#""A\" was \"B""#);
    }

    #[test]
    fn facts_that_differ_went_or_came_are_told_and_no_others() {
        let facts = |told: &[(&str, &str)]| {
            let facts = told.iter().map(|(name, value)| Fact::new(*name, *value));
            facts.collect::<Vec<_>>()
        };
        let changed = |name: &str, before: Option<&str>, after: Option<&str>| ChangedFact {
            name: name.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let shoes = facts(&[("name", "Shoes"), ("domain", "a"), ("embed key", "k")]);
        let boots = facts(&[("domain", "a"), ("status", "live"), ("name", "Boots")]);
        assert_eq!(
            changed_facts(shoes.clone(), boots),
            [
                changed("name", Some("Shoes"), Some("Boots")),
                changed("embed key", Some("k"), None),
                changed("status", None, Some("live")),
            ]
        );
        assert_eq!(changed_facts(shoes.clone(), shoes), []);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [0, 1, 2].map(|number| counted(number, "hour")),
            ["0 hours", "1 hour", "2 hours"]
        );
    }
}
