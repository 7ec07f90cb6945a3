//! Who may sign tree heads: a chain of keys, each introduced by the one before it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::head::{SignedHead, TreeHead};
use super::note::{Note, NoteError, PublicKey};

const TITLE: &str = "proofline.seal-key";
const NUMBER: &str = "number ";
const KEY: &str = "key ";
const LOG: &str = "log ";
const AFTER: &str = "after ";
const CREATED_AT: &str = "created_at ";

/// That a key signs the heads of an incarnation of the log that are larger than `after`. The first key says so of itself, each
/// further one is introduced by its predecessor, which signs no more from there. A key goes on with another incarnation by
/// its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatement {
    /// 1, 2, 3 …
    pub number: u32,
    pub key: PublicKey,
    pub incarnation: Uuid,
    pub after: u64,
    pub created_at: DateTime<Utc>,
}

impl fmt::Display for KeyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.created_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        writeln!(f, "{TITLE}")?;
        writeln!(f, "{NUMBER}{}", self.number)?;
        writeln!(f, "{KEY}{}", self.key)?;
        writeln!(f, "{LOG}{}", self.incarnation)?;
        writeln!(f, "{AFTER}{}", self.after)?;
        writeln!(f, "{CREATED_AT}{at}")
    }
}

impl FromStr for KeyStatement {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        parse(text)
            .filter(|statement| statement.to_string() == text)
            .ok_or(NoteError::Malformed)
    }
}

fn parse(text: &str) -> Option<KeyStatement> {
    let mut lines = text.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let mut field = |name| lines.next()?.strip_prefix(name);
    Some(KeyStatement {
        number: field(NUMBER)?.parse().ok()?,
        key: field(KEY)?.parse().ok()?,
        incarnation: field(LOG)?.parse().ok()?,
        after: field(AFTER)?.parse().ok()?,
        created_at: DateTime::parse_from_rfc3339(field(CREATED_AT)?)
            .ok()?
            .to_utc(),
    })
}

/// The name that key `number` signs under. Stored; never rename.
pub(super) fn key_name(number: u32) -> String {
    format!("proofline.seal/{number}")
}

/// Why statements are no chain, or a head is not one of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("there is no signing key")]
    Empty,
    #[error("statement {place} about signing keys is malformed")]
    Malformed { place: usize },
    #[error("signing key {number} was not introduced by the key before it")]
    NotIntroduced { number: u32 },
    #[error("{expected} is none of the signing keys, of which the first is {found}")]
    OtherOrigin { expected: String, found: String },
    #[error("no key was to sign a head of log {incarnation} at {size}")]
    NobodyToSign { incarnation: Uuid, size: u64 },
    #[error("the head of log {incarnation} at {size} is not signed by key {number}")]
    NotSigned {
        incarnation: Uuid,
        size: u64,
        number: u32,
    },
}

/// Statements that were checked from the first key on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChain {
    statements: Vec<(KeyStatement, Note)>,
}

impl KeyChain {
    /// Checks the statements, which are in order. Where a key is known, it has to be one of them: whoever knows a later one is not
    /// taken in by who stole an earlier one. Else whoever made the statements is believed about the first.
    pub fn check(notes: Vec<Note>, known: Option<&PublicKey>) -> Result<Self, ChainError> {
        let mut chain = Self::default();
        for (place, note) in notes.into_iter().enumerate() {
            let statement: KeyStatement = note
                .text()
                .parse()
                .map_err(|_| ChainError::Malformed { place })?;
            chain.extend(statement, note)?;
        }
        let has = |key: &PublicKey| {
            chain
                .statements
                .iter()
                .any(|(statement, _)| statement.key == *key)
        };
        match (chain.origin(), known) {
            (None, _) => Err(ChainError::Empty),
            (Some(found), Some(expected)) if !has(expected) => Err(ChainError::OtherOrigin {
                expected: expected.to_string(),
                found: found.to_string(),
            }),
            _ => Ok(chain),
        }
    }

    fn extend(&mut self, statement: KeyStatement, note: Note) -> Result<(), ChainError> {
        let number = statement.number;
        let refused = ChainError::NotIntroduced { number };
        let introduced_by = match self.statements.last() {
            None if number == 1 => &statement.key,
            Some((last, _)) if number == last.number + 1 => &last.key,
            Some((last, _)) if number == last.number && statement.key == last.key => &last.key,
            _ => return Err(refused),
        };
        if statement.key.name() != key_name(number) || !note.is_signed_by(introduced_by) {
            return Err(refused);
        }
        self.statements.push((statement, note));
        Ok(())
    }

    /// The key that everything rests on.
    pub fn origin(&self) -> Option<&PublicKey> {
        self.statements.first().map(|(first, _)| &first.key)
    }

    /// The last statement.
    pub fn last(&self) -> Option<&KeyStatement> {
        self.statements.last().map(|(last, _)| last)
    }

    /// The incarnations of the log that keys were introduced for.
    pub(super) fn incarnations(&self) -> BTreeSet<Uuid> {
        let statements = self.statements.iter();
        statements
            .map(|(statement, _)| statement.incarnation)
            .collect()
    }

    /// Whether one of the two goes on where the other one ends.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.statements
            .iter()
            .zip(&other.statements)
            .all(|(own, others)| own == others)
    }

    /// Whether one of the keys signed the note.
    pub fn has_signed(&self, note: &Note) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|(statement, _)| note.is_signed_by(&statement.key))
    }

    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.statements.iter().map(|(_, note)| note)
    }

    /// The statement about whoever signs the log's head of this size.
    fn signer(&self, head: &TreeHead) -> Option<&KeyStatement> {
        self.statements
            .iter()
            .map(|(statement, _)| statement)
            .rfind(|statement| {
                statement.incarnation == head.incarnation && statement.after < head.size
            })
    }

    /// Whether a head was signed by the key that was to sign it.
    pub fn check_head(&self, signed: &SignedHead) -> Result<(), ChainError> {
        let TreeHead {
            incarnation, size, ..
        } = signed.head;
        let signer = self
            .signer(&signed.head)
            .ok_or(ChainError::NobodyToSign { incarnation, size })?;
        if signed.note.is_signed_by(&signer.key) {
            Ok(())
        } else {
            Err(ChainError::NotSigned {
                incarnation,
                size,
                number: signer.number,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    const LOG_1: Uuid = Uuid::from_u128(1);
    const LOG_2: Uuid = Uuid::from_u128(2);

    fn seed(number: u32) -> SigningKey {
        SigningKey::from_bytes(&[number as u8; 32])
    }

    fn public(number: u32) -> PublicKey {
        PublicKey::new(&key_name(number), seed(number).verifying_key().as_bytes()).unwrap()
    }

    fn says(number: u32, incarnation: Uuid, after: u64, by: u32) -> Note {
        let statement = KeyStatement {
            number,
            key: public(number),
            incarnation,
            after,
            created_at: DateTime::UNIX_EPOCH,
        };
        Note::new(statement.to_string())
            .unwrap()
            .signed(&key_name(by), &seed(by))
            .unwrap()
    }

    fn chain() -> KeyChain {
        let notes = vec![
            says(1, LOG_1, 0, 1),
            says(2, LOG_1, 100, 1),
            says(2, LOG_2, 0, 2),
        ];
        KeyChain::check(notes, Some(&public(1))).unwrap()
    }

    fn head(incarnation: Uuid, size: u64, by: u32) -> SignedHead {
        let head = TreeHead {
            incarnation,
            size,
            root: [0; 32],
            signed_at: DateTime::UNIX_EPOCH,
        };
        let note = Note::new(head.to_string()).unwrap();
        SignedHead {
            head,
            note: note.signed(&key_name(by), &seed(by)).unwrap(),
        }
    }

    #[test]
    fn each_head_is_signed_by_the_key_of_its_time() {
        let chain = chain();
        for (incarnation, size, by) in [
            (LOG_1, 1, 1),
            (LOG_1, 100, 1),
            (LOG_1, 101, 2),
            (LOG_2, 1, 2),
        ] {
            assert_eq!(chain.check_head(&head(incarnation, size, by)), Ok(()));
            assert_eq!(
                chain.check_head(&head(incarnation, size, 3 - by)),
                Err(ChainError::NotSigned {
                    incarnation,
                    size,
                    number: by
                })
            );
        }
        let elsewhere = Uuid::from_u128(3);
        assert!(matches!(
            chain.check_head(&head(elsewhere, 1, 2)),
            Err(ChainError::NobodyToSign { .. })
        ));
    }

    #[test]
    fn a_key_that_nobody_introduced_is_refused() {
        for (notes, number) in [
            (vec![says(1, LOG_1, 0, 2)], 1),
            (vec![says(2, LOG_1, 0, 2)], 2),
            (vec![says(1, LOG_1, 0, 1), says(2, LOG_1, 9, 2)], 2),
            (vec![says(1, LOG_1, 0, 1), says(3, LOG_1, 9, 1)], 3),
            (
                vec![
                    says(1, LOG_1, 0, 1),
                    says(2, LOG_1, 9, 1),
                    says(1, LOG_2, 0, 1),
                ],
                1,
            ),
        ] {
            assert_eq!(
                KeyChain::check(notes, None),
                Err(ChainError::NotIntroduced { number })
            );
        }
    }

    #[test]
    fn a_chain_from_another_first_key_is_refused_by_who_knows_it() {
        let notes = vec![says(2, LOG_1, 0, 2)];
        assert!(KeyChain::check(notes, None).is_err());
        assert!(matches!(
            KeyChain::check(vec![says(1, LOG_1, 0, 1)], Some(&public(2))),
            Err(ChainError::OtherOrigin { .. })
        ));
        assert_eq!(KeyChain::check(vec![], None), Err(ChainError::Empty));
    }

    #[test]
    fn a_statement_survives_its_text() {
        let note = says(7, LOG_2, 4096, 6);
        let statement: KeyStatement = note.text().parse().unwrap();
        assert_eq!(statement.to_string(), note.text());
        assert!(
            note.text()
                .replace("7", "07")
                .parse::<KeyStatement>()
                .is_err()
        );
    }
}
