//! `docs/problems.md`, cut into one section per problem type.

use super::ProblemKind;

const PROBLEMS: &str = include_str!("../../../docs/problems.md");

/// The section of `docs/problems.md` about this problem type, in Markdown.
#[must_use]
pub fn description(kind: ProblemKind) -> &'static str {
    sections()
        .find(|(slug, _)| *slug == kind.slug())
        .map_or("", |(_, section)| section)
}

/// `(slug, whole section)`: a section starts with `## slug`.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    let starts = PROBLEMS
        .match_indices("\n## ")
        .map(|(newline, _)| newline + 1);
    let ends = PROBLEMS
        .match_indices("\n## ")
        .skip(1)
        .map(|(newline, _)| newline + 1)
        .chain([PROBLEMS.len()]);
    starts.zip(ends).map(|(start, end)| {
        let section = PROBLEMS[start..end].trim_end();
        let heading = section.lines().next().unwrap_or_default();
        (heading.trim_start_matches("## ").trim(), section)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_and_the_enum_name_the_same_problems() {
        let documented: Vec<&str> = sections().map(|(slug, _)| slug).collect();
        let defined: Vec<&str> = ProblemKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(
            documented, defined,
            "docs/problems.md and ProblemKind differ"
        );
    }

    #[test]
    fn each_section_states_the_status_and_title_of_its_kind() {
        for kind in ProblemKind::ALL {
            let section = description(*kind);
            let line = format!("**{}**: {}.", kind.status().as_u16(), kind.title());
            assert!(section.contains(&line), "{}: no line {line:?}", kind.slug());
            assert!(
                section.contains("What to do:"),
                "{}: no advice",
                kind.slug()
            );
        }
    }
}
