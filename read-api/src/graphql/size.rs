//! How large a document is once its fragments stand where they are named. The library finds out by putting them there, which a
//! few lines can make take for ever: three fragments that each name the next one three times are 27.

use std::collections::HashMap;

use async_graphql::ServerError;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// Far more than the limits on fields let through.
const SELECTIONS_MAX: u64 = 20_000;

pub(super) fn check(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut sizes = Sizes {
        document,
        fragments: HashMap::new(),
    };
    let all = document.operations.iter();
    let size = all.fold(0_u64, |size, (_, operation)| {
        size.saturating_add(sizes.of(&operation.node.selection_set.node))
    });
    if size <= SELECTIONS_MAX {
        Ok(())
    } else {
        Err(ServerError::new("The document is too large.", None))
    }
}

/// Each fragment is looked at once.
struct Sizes<'a> {
    document: &'a ExecutableDocument,
    /// While one is looked at it counts as too large, since one that names itself has no end.
    fragments: HashMap<&'a str, u64>,
}

impl<'a> Sizes<'a> {
    fn of(&mut self, selections: &'a SelectionSet) -> u64 {
        let sizes = selections.items.iter().map(|item| match &item.node {
            Selection::Field(field) => self.of(&field.node.selection_set.node),
            Selection::InlineFragment(inline) => self.of(&inline.node.selection_set.node),
            Selection::FragmentSpread(spread) => self.of_fragment(&spread.node.fragment_name.node),
        });
        sizes.fold(0, |sum, size| sum.saturating_add(size).saturating_add(1))
    }

    fn of_fragment(&mut self, name: &str) -> u64 {
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return 0; // the library says so
        };
        if let Some(size) = self.fragments.get(name.as_str()) {
            return *size;
        }
        self.fragments.insert(name, u64::MAX);
        let size = self.of(&fragment.node.selection_set.node);
        self.fragments.insert(name, size);
        size
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn is_taken(document: &str) -> bool {
        check(&parse_query(document).unwrap()).is_ok()
    }

    #[test]
    fn fragments_count_wherever_they_are_named() {
        let chain = |links: usize| {
            let fragment = |n| {
                format!(
                    "fragment F{n} on Query {{ ...F{0} ...F{0} ...F{0} }} ",
                    n + 1
                )
            };
            let fragments: String = (0..links).map(fragment).collect();
            format!("{{ ...F0 }} {fragments} fragment F{links} on Query {{ __typename }}")
        };
        assert!(is_taken(
            "{ audit { nodes { actor ...E } } } fragment E on AuditEntry { sentence }"
        ));
        assert!(is_taken(&chain(7)));
        assert!(!is_taken(&chain(30)));
        assert!(!is_taken(
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
        ));
        assert!(is_taken("{ ...Nowhere }"));
    }
}
