//! The ledger's hash chain, exact enough that a stranger can verify a ledger without this program.
//!
//! # The chain, version 1
//! The table `ledger` of the database `rekeyd.db` holds one row for each record, `seq` from 1 without a gap. The row's
//! `hash` is the SHA-256 of these bytes, one after another:
//!
//! | bytes | length |
//! | --- | --- |
//! | the ASCII text `rekeyd-ledger-v1` | 16 |
//! | `prev_hash` | 32 |
//! | `seq`, unsigned, big-endian | 8 |
//! | `at`, microseconds since 1970-01-01 00:00 UTC, signed (two's complement), big-endian | 8 |
//! | for each of `kind`, `actor`, `target`, `rotation`, `payload`, in this order: | |
//! | - its length in bytes, unsigned, big-endian | 4 |
//! | - its bytes, the UTF-8 of the column's text as it stands | as many |
//!
//! `target` and `rotation` are empty texts where a record is about none. `prev_hash` is the `hash` of the record before;
//! of the first record it is the `id` in the one row of the table `ledger_identity`, 32 bytes drawn at random when the
//! ledger was made. The head of the ledger is the `seq` and `hash` of its last record.
//!
//! A chain cannot show that its tail was cut off, nor that all of it was written anew: its head must be kept elsewhere.

use jiff::Timestamp;
use rusqlite::Row;
use sha2::{Digest, Sha256};

use super::columns::Micros;
use crate::domain::{Entry, Event, UnknownEvent};
use crate::ports::Head;

const DOMAIN: &[u8; 16] = b"rekeyd-ledger-v1";

/// One record of the ledger, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1 without a gap.
    pub seq: u64,
    /// When it happened; whole microseconds.
    pub at: Timestamp,
    /// What happened, as one word.
    pub kind: String,
    /// By whose hand, as one word.
    pub actor: String,
    /// The id of the target that it is about; empty for none.
    pub target: String,
    /// The rotation of that target, `slot.attempt`; empty for none.
    pub rotation: String,
    /// The details, a JSON object.
    pub payload: String,
    /// The hash of the record before; of the first one, the ledger's id.
    pub prev_hash: [u8; 32],
    /// Its own hash.
    pub hash: [u8; 32],
}

impl Record {
    /// The record that appends an entry to a ledger.
    ///
    /// The entry's times must be [whole microseconds](Entry::in_microseconds).
    pub fn following(head: &Head, entry: &Entry) -> Self {
        let (kind, payload) = entry.event.to_record();
        let mut record = Self {
            seq: head.seq + 1,
            at: entry.at,
            kind,
            actor: entry.actor.to_string(),
            target: entry.event.target().map(|target| target.as_str().to_owned()).unwrap_or_default(),
            rotation: entry.event.transition().map(|step| step.id.to_string()).unwrap_or_default(),
            payload,
            prev_hash: head.hash,
            hash: [0; 32],
        };
        record.hash = record.expected_hash();
        record
    }

    /// The hash that its other fields demand.
    pub fn expected_hash(&self) -> [u8; 32] {
        let texts = [&self.kind, &self.actor, &self.target, &self.rotation, &self.payload].map(String::as_str);
        let mut bytes = Vec::with_capacity(128 + self.payload.len());
        lay_out(&mut bytes, &self.prev_hash, self.seq, self.at, texts);
        Sha256::digest(&bytes).into()
    }

    /// As the ledger's head, if it is the last.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    /// What happened.
    ///
    /// # Errors
    /// If this version does not know such an event.
    pub fn event(&self) -> Result<Event, UnknownEvent> {
        Event::from_record(&self.kind, &self.payload)
    }

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            at: row.get::<_, Micros>("at")?.0,
            kind: row.get("kind")?,
            actor: row.get("actor")?,
            target: row.get("target")?,
            rotation: row.get("rotation")?,
            payload: row.get("payload")?,
            prev_hash: row.get("prev_hash")?,
            hash: row.get("hash")?,
        })
    }
}

/// Appends the bytes that a record's hash is made of; `texts` are kind, actor, target, rotation and payload.
pub(super) fn lay_out(bytes: &mut Vec<u8>, prev_hash: &[u8; 32], seq: u64, at: Timestamp, texts: [&str; 5]) {
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(prev_hash);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&at.as_microsecond().to_be_bytes());
    for text in texts {
        let length = u32::try_from(text.len()).expect("SQLite holds no text of four gigabytes");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Actor, RotationId};

    /// The chain's format is a promise to strangers: this value was computed from the spec by other means
    /// (printf and sha256sum).
    #[test]
    fn the_hash_is_the_one_that_the_spec_demands() {
        let entry = Entry {
            at: Timestamp::from_microsecond(1_767_225_600_000_001).unwrap(),
            actor: Actor::Schedule,
            event: Event::RotationSending {
                target: "emea/5f/6a".into(),
                rotation: RotationId { slot: 4, attempt: 2 },
                looked_at: None,
            },
        };
        let record = Record::following(&Head { seq: 7, hash: [0xab; 32] }, &entry);
        assert_eq!(record.payload, r#"{"rotation":"4.2","target":"emea/5f/6a"}"#);
        let hex = crate::domain::hex(&record.hash);
        assert_eq!(hex, "1fe4d150bdb1c3d451b7f5ac3058b6d6574c0e44a70dfa615e67a61475690854");
    }

    /// Lengths stand before the texts: letters cannot move from one field to the next.
    #[test]
    fn fields_do_not_run_into_each_other() {
        let one = Record {
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            kind: "ab".into(),
            actor: "c".into(),
            target: String::new(),
            rotation: String::new(),
            payload: "{}".into(),
            prev_hash: [0; 32],
            hash: [0; 32],
        };
        let other = Record { kind: "a".into(), actor: "bc".into(), ..one.clone() };
        assert_ne!(one.expected_hash(), other.expected_hash());
    }
}
