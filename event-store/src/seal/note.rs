//! Signed notes: a text that people read, and lines below it that say who signed it. The format of C2SP
//! (<https://c2sp.org/signed-note>), with Ed25519 (RFC 8032) as the only algorithm.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// In front of a signature's line.
const MARK: &str = "\u{2014} ";
/// Ed25519 in key ids and in the texts of keys.
const ALGORITHM: u8 = 1;

/// A public key under a name. As text: the name, the key's id in hexadecimal, and the algorithm with the key in base64,
/// joined by plus signs.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

/// A text and its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signed {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// Why a text is no note, or no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("not a signed note")]
    Malformed,
    #[error("not a public key")]
    Key,
}

impl PublicKey {
    /// A name has neither blanks nor plus signs.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, NoteError> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(NoteError::Key);
        }
        Ok(Self {
            name: name.to_owned(),
            key: VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key)?,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', ALGORITHM]);
        hasher.update(self.key.as_bytes());
        let hash: [u8; 32] = hasher.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.id();
        let key = [&[ALGORITHM], &self.key.as_bytes()[..]].concat();
        write!(
            f,
            "{}+{a:02x}{b:02x}{c:02x}{d:02x}+{}",
            self.name,
            STANDARD.encode(key)
        )
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let Some((&ALGORITHM, key)) = key.split_first() else {
            return Err(NoteError::Key);
        };
        let parsed = Self::new(name, key.try_into().map_err(|_| NoteError::Key)?)?;
        // The id is part of the text, so a slip of the pen is noticed.
        if parsed.to_string() == text.trim() {
            Ok(parsed)
        } else {
            Err(NoteError::Key)
        }
    }
}

impl Note {
    /// A note without signatures. The text ends with a line break and has no blank line at its end.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || text.ends_with("\n\n") || text == "\n" {
            return Err(NoteError::Malformed);
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    pub fn signed(mut self, name: &str, key: &SigningKey) -> Result<Self, NoteError> {
        let public = PublicKey::new(name, key.verifying_key().as_bytes())?;
        self.signatures.push(Signed {
            name: name.to_owned(),
            key_id: public.id(),
            signature: key.sign(self.text.as_bytes()).to_bytes().to_vec(),
        });
        Ok(self)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signatures
            .iter()
            .filter(|signed| signed.name == key.name && signed.key_id == key.id())
            .filter_map(|signed| Signature::from_slice(&signed.signature).ok())
            .any(|signature| {
                key.key
                    .verify_strict(self.text.as_bytes(), &signature)
                    .is_ok()
            })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signed in &self.signatures {
            let bytes = [&signed.key_id[..], &signed.signature].concat();
            writeln!(f, "{MARK}{} {}", signed.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(whole: &str) -> Result<Self, NoteError> {
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let mut note = Self::new(format!("{text}\n"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        for line in lines.split('\n') {
            let (name, encoded) = line
                .strip_prefix(MARK)
                .and_then(|line| line.split_once(' '))
                .ok_or(NoteError::Malformed)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
            let (key_id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
            note.signatures.push(Signed {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            });
        }
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note that another implementation signed.
    const FOREIGN_KEY: &str =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const FOREIGN_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn public(name: &str, key: &SigningKey) -> PublicKey {
        PublicKey::new(name, key.verifying_key().as_bytes()).unwrap()
    }

    fn note() -> Note {
        Note::new("log\n1\n".to_owned())
            .unwrap()
            .signed("log", &key())
            .unwrap()
    }

    #[test]
    fn a_note_survives_its_text_and_is_its_signers() {
        let read: Note = note().to_string().parse().unwrap();
        assert_eq!(read, note());
        assert!(read.is_signed_by(&public("log", &key())));
    }

    #[test]
    fn another_key_another_name_or_another_text_is_not_signed() {
        let other = SigningKey::from_bytes(&[8; 32]);
        assert!(!note().is_signed_by(&public("log", &other)));
        assert!(!note().is_signed_by(&public("other", &key())));
        let altered: Note = note().to_string().replace("1\n", "2\n").parse().unwrap();
        assert!(!altered.is_signed_by(&public("log", &key())));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let whole = note().to_string();
        for text in [
            "",
            "log\n1\n",
            "log\n\n",
            whole.trim_end(),
            &whole.replace(MARK, "- "),
            &whole.replace("log ", "log"),
        ] {
            assert_eq!(text.parse::<Note>(), Err(NoteError::Malformed), "{text:?}");
        }
        for text in ["", "\n", "a", "a\n\n"] {
            assert_eq!(Note::new(text.to_owned()), Err(NoteError::Malformed));
        }
    }

    #[test]
    fn a_key_survives_its_text_and_a_slip_in_it_is_noticed() {
        let key = public("log", &key());
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        let slipped = key.to_string().replacen("log+", "lag+", 1);
        assert_eq!(slipped.parse::<PublicKey>(), Err(NoteError::Key));
        for text in ["", "a+b", "a+b+c", "a b+00000000+AQ=="] {
            assert_eq!(text.parse::<PublicKey>(), Err(NoteError::Key), "{text}");
        }
    }

    #[test]
    fn a_note_of_another_implementation_is_read() {
        let key: PublicKey = FOREIGN_KEY.parse().unwrap();
        let note: Note = FOREIGN_NOTE.parse().unwrap();
        assert!(note.is_signed_by(&key));
        assert_eq!(note.to_string(), FOREIGN_NOTE);
    }
}
