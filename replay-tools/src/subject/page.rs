//! An export as a page for people.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::export::Export;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    dt{font-weight:bold}dd{margin:0 0 .5rem 1rem}section{border-top:1px solid #ccc;padding-top:1rem}\
    .from{color:#555;font-size:.9rem}";

/// A page that loads nothing.
pub(super) fn page(export: &Export) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "What is held about you" }
                style { (STYLE) }
            }
            body {
                h1 { "What is held about you" }
                p {
                    "Made at " (export.made_at.to_rfc3339()) ", complete up to position " (export.position)
                    " of log " (export.log) ". You are called " (export.subject)
                    @for identity in &export.identities { " and " (identity) }
                    " there."
                }
                h2 { "What happened" }
                @for event in &export.events {
                    section {
                        p { (event.said) }
                        p.from {
                            "Recorded at " (event.recorded_at.to_rfc3339()) " by " (event.actor) ", position "
                            (event.position) ", " (event.event_type) " of " (event.aggregate_type) " "
                            (event.aggregate_id) "."
                        }
                        (value(&event.data))
                    }
                }
                h2 { "What was made of it" }
                @if export.read_models.is_empty() { p { "Nothing." } }
                @for model in &export.read_models {
                    @for row in &model.rows {
                        section {
                            p.from { "A row of " (model.table) "." }
                            (value(row))
                        }
                    }
                }
                h2 { "Where else one could look" }
                @for other in export.elsewhere {
                    section { p { b { (other.place) } ": " (other.why) } }
                }
            }
        }
    };
    page.into_string()
}

fn value(of: &Value) -> Markup {
    match of {
        Value::Object(members) => html! {
            dl {
                @for (name, member) in members {
                    dt { (name.replace('_', " ")) }
                    dd { (value(member)) }
                }
            }
        },
        Value::Array(items) => html! { ul { @for item in items { li { (value(item)) } } } },
        Value::String(text) => html! { (text) },
        Value::Null => html! { "nothing" },
        Value::Bool(_) | Value::Number(_) => html! { (of.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_person_wrote_is_text_and_nothing_else() {
        let shown =
            value(&json!({ "first_name": "<script>alert(1)</script>", "tags": ["a&b", null, 7] }));
        assert_eq!(
            shown.into_string(),
            "<dl><dt>first name</dt><dd>&lt;script&gt;alert(1)&lt;/script&gt;</dd>\
             <dt>tags</dt><dd><ul><li>a&amp;b</li><li>nothing</li><li>7</li></ul></dd></dl>"
        );
    }
}
