//! Tree heads: what the log's first events were when somebody signed for them. As text a checkpoint of C2SP
//! (<https://c2sp.org/tlog-checkpoint>) with the time in an extension line:
//!
//! ```text
//! proofline.events/0192f0c1-2345-7abc-8def-0123456789ab
//! 4096
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! signed_at 2026-11-21T12:00:00.000Z
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::merkle::Hash;
use super::note::{Note, NoteError};

const ORIGIN: &str = "proofline.events/";
const SIGNED_AT: &str = "signed_at ";

/// The root of the tree over the first `size` events of an incarnation of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    pub incarnation: Uuid,
    pub size: u64,
    pub root: Hash,
    /// By the clock of who signed, to the millisecond.
    pub signed_at: DateTime<Utc>,
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{ORIGIN}{}", self.incarnation)?;
        writeln!(f, "{}", self.size)?;
        writeln!(f, "{}", STANDARD.encode(self.root))?;
        let at = self.signed_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        writeln!(f, "{SIGNED_AT}{at}")
    }
}

impl FromStr for TreeHead {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        parse(text)
            // One text for each head, so that equal heads are equal bytes.
            .filter(|head| head.to_string() == text)
            .ok_or(NoteError::Malformed)
    }
}

fn parse(text: &str) -> Option<TreeHead> {
    let mut lines = text.lines();
    let head = TreeHead {
        incarnation: lines.next()?.strip_prefix(ORIGIN)?.parse().ok()?,
        size: lines.next()?.parse().ok()?,
        root: STANDARD.decode(lines.next()?).ok()?.try_into().ok()?,
        signed_at: DateTime::parse_from_rfc3339(lines.next()?.strip_prefix(SIGNED_AT)?)
            .ok()?
            .to_utc(),
    };
    lines.next().is_none().then_some(head)
}

/// A head and the note that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    pub head: TreeHead,
    pub note: Note,
}

impl FromStr for SignedHead {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let note: Note = text.parse()?;
        let head = note.text().parse()?;
        Ok(Self { head, note })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> TreeHead {
        TreeHead {
            incarnation: Uuid::from_u128(7),
            size: 4096,
            root: [9; 32],
            signed_at: DateTime::from_timestamp_millis(1_790_000_000_123).unwrap(),
        }
    }

    #[test]
    fn a_head_survives_its_text() {
        assert_eq!(head().to_string().parse(), Ok(head()));
    }

    #[test]
    fn a_head_has_one_text_only() {
        let text = head().to_string();
        for other in [
            text.replace("4096", "04096"),
            text.replace(".123Z", ".123000Z"),
            text.replace("Z\n", "Z\nmore\n"),
            text.replace(ORIGIN, "elsewhere/"),
            text.trim_end().to_owned(),
            String::new(),
        ] {
            assert_eq!(
                other.parse::<TreeHead>(),
                Err(NoteError::Malformed),
                "{other}"
            );
        }
    }
}
