//! The append lane, the logs, the feed, checkpoints and the vault of personal data.
