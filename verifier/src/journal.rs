//! What those who wrote have sent, and what they were answered: one JSON object per line, written before a command is
//! sent and after it was answered, by processes that may have been killed in between.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    /// A decision that goes straight into the lane.
    Append {
        tenant: Uuid,
        command: Uuid,
        stream: String,
        expected: i64,
        keyed: bool,
        events: Vec<Uuid>,
    },
    Appended {
        tenant: Uuid,
        command: Uuid,
        outcome: Outcome,
        #[serde(default)]
        version: i64,
        #[serde(default)]
        position: i64,
    },
    /// A request with a key, which is unique within its scope.
    Request {
        scope: Uuid,
        tenant: Uuid,
        key: String,
    },
    /// The same key with another request, which must be refused.
    Reuse { scope: Uuid, key: String },
    Answered {
        scope: Uuid,
        key: String,
        status: u16,
        #[serde(default)]
        reuse: bool,
        id: Option<Uuid>,
        version: Option<i64>,
        position: Option<String>,
    },
    /// A batch of telemetry of one owner.
    Collect {
        batch: u64,
        owner: Uuid,
        tenant: Uuid,
        ids: Vec<Uuid>,
    },
    Collected {
        batch: u64,
        accepted: usize,
        duplicates: usize,
        position: String,
    },
    /// What a reader saw: an unbroken range, and the digest of it.
    Seen {
        log: String,
        from: i64,
        to: i64,
        digest: String,
    },
    /// What a reader saw and must not have seen.
    Anomaly { text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    /// Nothing was appended, for certain.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// A decision that was sent into the lane, perhaps several times under one key.
pub(crate) struct Append {
    pub(crate) stream: String,
    pub(crate) expected: i64,
    pub(crate) keyed: bool,
    pub(crate) events: Vec<Uuid>,
    /// Version and position of every reply that said it was done.
    pub(crate) done: Vec<(i64, i64)>,
    pub(crate) refused: u32,
    pub(crate) sent: u32,
}

/// A keyed request, and every answer that said it was done.
pub(crate) struct Request {
    pub(crate) tenant: Uuid,
    pub(crate) key: String,
    pub(crate) done: Vec<Answer>,
    /// Answers to another request under the same key that said it was done.
    pub(crate) reused: Vec<u16>,
    pub(crate) reuses: u32,
    /// Answers that said it never will be.
    pub(crate) refused: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: Option<Uuid>,
    pub(crate) version: Option<i64>,
    pub(crate) position: Option<Token>,
}

/// A position as it is told to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) log: u8,
    pub(crate) incarnation: Uuid,
    pub(crate) position: i64,
}

pub(crate) struct Batch {
    pub(crate) owner: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) ids: Vec<Uuid>,
    /// The position of every answer that said it was done.
    pub(crate) done: Vec<(usize, usize, Token)>,
}

pub(crate) struct Seen {
    pub(crate) log: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) digest: String,
}

#[derive(Default)]
pub(crate) struct Journal {
    /// By tenant and command id.
    pub(crate) appends: HashMap<(Uuid, Uuid), Append>,
    /// By the command id that scope and key make.
    pub(crate) requests: HashMap<Uuid, Request>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) anomalies: Vec<String>,
}

/// Reads every `*.jsonl` of a folder. The last line of a process that was killed may be torn.
pub(crate) fn read(folder: &Path) -> Result<Journal> {
    let mut journal = Journal::default();
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jsonl")
    });
    files.sort();
    // Sent first, answered afterwards: a key may be used by several processes.
    let mut answers = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        let mut batches = HashMap::new();
        for (number, line) in text[..complete].lines().enumerate() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("{} line {}", path.display(), number + 1))?;
            if let Some(answer) = journal.take(line, &mut batches)? {
                answers.push(answer);
            }
        }
    }
    for answer in answers {
        journal.answer(answer)?;
    }
    Ok(journal)
}

/// What identifies a keyed command in the tables.
pub(crate) fn command_id(scope: &Uuid, key: &str) -> Uuid {
    Uuid::new_v5(scope, key.as_bytes())
}

impl Journal {
    /// Takes in what was sent, and hands back what answers something that may stand in another file.
    fn take(&mut self, line: Line, batches: &mut HashMap<u64, usize>) -> Result<Option<Line>> {
        match line {
            Line::Append {
                tenant,
                command,
                stream,
                expected,
                keyed,
                events,
            } => {
                let append = self
                    .appends
                    .entry((tenant, command))
                    .or_insert_with(|| Append {
                        stream,
                        expected,
                        keyed,
                        events,
                        done: Vec::new(),
                        refused: 0,
                        sent: 0,
                    });
                append.sent += 1;
            }
            Line::Request { scope, tenant, key } => {
                self.requests
                    .entry(command_id(&scope, &key))
                    .or_insert_with(|| Request {
                        tenant,
                        key,
                        done: Vec::new(),
                        reused: Vec::new(),
                        reuses: 0,
                        refused: Vec::new(),
                    });
            }
            Line::Collect {
                batch,
                owner,
                tenant,
                ids,
            } => {
                // Sent again, it is the same batch.
                batches.entry(batch).or_insert_with(|| {
                    self.batches.push(Batch {
                        owner,
                        tenant,
                        ids,
                        done: Vec::new(),
                    });
                    self.batches.len() - 1
                });
            }
            Line::Collected {
                batch,
                accepted,
                duplicates,
                position,
            } => {
                let index = *batches
                    .get(&batch)
                    .context("a batch was answered that was not sent")?;
                self.batches[index]
                    .done
                    .push((accepted, duplicates, Token::parse(&position)?));
            }
            Line::Seen {
                log,
                from,
                to,
                digest,
            } => self.seen.push(Seen {
                log,
                from,
                to,
                digest,
            }),
            Line::Anomaly { text } => self.anomalies.push(text),
            answer @ (Line::Appended { .. } | Line::Answered { .. } | Line::Reuse { .. }) => {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn answer(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Appended {
                tenant,
                command,
                outcome,
                version,
                position,
            } => {
                let append = self
                    .appends
                    .get_mut(&(tenant, command))
                    .context("an append was answered that was not sent")?;
                match outcome {
                    Outcome::Ok => append.done.push((version, position)),
                    Outcome::Refused => append.refused += 1,
                    Outcome::Unknown => {}
                }
            }
            Line::Reuse { scope, key } => self.request(&scope, &key)?.reuses += 1,
            Line::Answered {
                scope,
                key,
                status,
                reuse,
                id,
                version,
                position,
            } => {
                let request = self.request(&scope, &key)?;
                match (status, reuse) {
                    (200..=299, true) => request.reused.push(status),
                    (200..=299, false) => request.done.push(Answer {
                        id,
                        version,
                        position: position.as_deref().map(Token::parse).transpose()?,
                    }),
                    (503, _) | (_, true) => {}
                    (_, false) => request.refused.push(status),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn request(&mut self, scope: &Uuid, key: &str) -> Result<&mut Request> {
        self.requests
            .get_mut(&command_id(scope, key))
            .context("a request was answered that was not sent")
    }
}

impl Token {
    /// Base64url of the log's letter, the incarnation's 16 bytes and the position's 8, big-endian.
    fn parse(text: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).context("a position token")?;
        anyhow::ensure!(bytes.len() == 25, "a position token has 25 bytes");
        Ok(Self {
            log: bytes[0],
            incarnation: Uuid::from_slice(&bytes[1..17])?,
            position: i64::from_be_bytes(bytes[17..].try_into()?),
        })
    }
}
