//! Consistency boundaries across streams: tags on events, and conditions on what must not have happened.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::vault::Root;

/// What an event is about besides its stream, for instance `site_domain:shop.example.com`. Its text is stored nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// An event that a command excludes: one after a position that has all of the tags and one of the types. The command is
/// refused if there is one when it is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    pub tag: Tag,
    /// Further tags that the event has as well.
    pub also: Vec<Tag>,
    /// Stored names of event types; none stands for all.
    pub types: Vec<String>,
    pub after: i64,
}

/// The secret that tags are hashed under: the same in every process of a deployment, for ever.
#[derive(Clone)]
pub struct TagKey(Zeroizing<[u8; 32]>);

/// A tag as it is stored. Stored; the hash is never changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TagHash([u8; 16]);

/// [`Excluded`] as `es.find_match` takes it.
#[derive(Serialize)]
struct Alternative<'a> {
    after: i64,
    tags: Vec<String>,
    types: &'a [String],
}

impl Tag {
    pub fn new(name: &str, value: &str) -> Self {
        Self(format!("{name}:{value}"))
    }
}

impl TagKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The one that derives from the root. The label is part of what it is; never rename.
    pub fn of(root: &Root) -> Self {
        Self::new(root.derive("event-tag"))
    }

    /// The first 16 bytes of HMAC-SHA-256.
    pub(crate) fn hash(&self, tag: &Tag) -> TagHash {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(tag.0.as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        TagHash(std::array::from_fn(|index| bytes[index]))
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey(…)")
    }
}

impl TagHash {
    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Excluded {
    pub(super) fn tags(&self) -> impl Iterator<Item = &Tag> {
        std::iter::once(&self.tag).chain(&self.also)
    }
}

/// A command's condition for the call; `None` where it excludes nothing.
pub(super) fn encode(excluded: &[Excluded], key: &TagKey) -> Option<String> {
    let alternatives: Vec<_> = excluded
        .iter()
        .map(|one| Alternative {
            after: one.after,
            tags: one.tags().map(|tag| key.hash(tag).to_hex()).collect(),
            types: &one.types,
        })
        .collect();
    (!alternatives.is_empty()).then(|| serde_json::json!(alternatives).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored with events: another result would not find them again. Computed with another implementation of HMAC.
    #[test]
    fn a_tags_hash_stays_what_it_is_and_depends_on_the_key() {
        let tag = Tag::new("site_domain", "shop.example.com");
        assert_eq!(
            TagKey::new([3; 32]).hash(&tag).to_hex(),
            "bbdeb696468c4c9f0a9280be753c3b3f"
        );
        assert_ne!(
            TagKey::new([4; 32]).hash(&tag).to_hex(),
            TagKey::new([3; 32]).hash(&tag).to_hex()
        );
    }

    #[test]
    fn a_condition_names_hashes_and_no_text() {
        let excluded = Excluded {
            tag: Tag::new("site_domain", "shop.example.com"),
            also: vec![Tag::new("b", "2")],
            types: vec!["site.registered".to_owned()],
            after: 7,
        };
        let encoded = encode(&[excluded], &TagKey::new([3; 32])).unwrap();
        assert!(!encoded.contains("example"), "{encoded}");
        assert!(
            encoded.starts_with(r#"[{"after":7,"tags":["bbdeb696468c4c9f0a9280be753c3b3f","#),
            "{encoded}"
        );
        assert_eq!(encode(&[], &TagKey::new([3; 32])), None);
    }
}
