//! What became of single attempts and keys, as the record keeps it for people: rows to read, nothing to act on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{KeyChange, Stage};
use super::failure::Failure;
use super::hex::hex;
use super::ids::{ClusterId, KeyId, ManagerName, ProjectId, TargetId, TargetName};
use super::rotation::{How, RotationId, State};
use super::target::Mechanism;

/// One attempt to answer a slot, with its target as it is described today.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the table, whose file says what they hold")]
pub struct RotationRow {
    pub target: TargetId,
    pub name: TargetName,
    pub manager: ManagerName,
    pub project_id: ProjectId,
    pub cluster_id: ClusterId,
    pub mechanism: Mechanism,
    pub id: RotationId,
    /// Who began it, as one word.
    pub actor: String,
    pub state: State,
    /// Set when done.
    pub how: Option<How>,
    pub due_at: Timestamp,
    /// When it was first recorded: its intent, or its end if it never came to one.
    pub began_at: Timestamp,
    pub key_before: Option<KeyId>,
    /// Set when done.
    pub key_after: Option<KeyId>,
    pub intended_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub accepted_at: Option<Timestamp>,
    /// Set when done, failed, unconfirmed or withdrawn.
    pub ended_at: Option<Timestamp>,
    /// What it was doing when it failed.
    pub stage: Option<Stage>,
    /// The newest failure of the attempt; one that was done may have lost a reply before.
    pub failure: Option<Failure>,
    pub retry_at: Option<Timestamp>,
    /// Why it was withdrawn.
    pub why: Option<String>,
    /// The newest ledger record about it.
    pub seq: u64,
}

/// One time that a target took a key into use; a key that came back has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The key.
    pub id: KeyId,
    /// The earliest that it may have come into use. None if it was there before us.
    pub not_before: Option<Timestamp>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When another was seen in its place; none for the present key.
    pub replaced_at: Option<Timestamp>,
    /// How it came.
    pub came: KeyOrigin,
}

/// How a key came into use; the words of the table `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KeyOrigin {
    /// It was there when its target was first looked at.
    FirstSeen,
    /// A rotation of ours, seen through.
    Rotated,
    /// A slot's precheck found it: somebody else had rotated.
    FoundChanged,
    /// A rotation of ours whose outcome was unknown for a while.
    Recovered,
    /// It appeared, and no rotation of ours explains it.
    Foreign,
    /// It had been in use before and came back.
    Regression,
}

impl KeyOrigin {
    /// The persisted word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<How> for KeyOrigin {
    fn from(how: How) -> Self {
        match how {
            How::Rotated => Self::Rotated,
            How::FoundChanged => Self::FoundChanged,
            How::Recovered => Self::Recovered,
        }
    }
}

impl From<KeyChange> for KeyOrigin {
    fn from(change: KeyChange) -> Self {
        match change {
            KeyChange::Foreign => Self::Foreign,
            KeyChange::Regression => Self::Regression,
        }
    }
}

impl RotationRow {
    /// As one JSON object, for the commands, the API and the evidence alike.
    pub fn to_json(&self) -> Value {
        json!({
            "target": self.name,
            "target_id": self.target,
            "manager": self.manager,
            "project_id": self.project_id,
            "cluster_id": self.cluster_id,
            "mechanism": self.mechanism,
            "actor": self.actor,
            "slot": self.id.slot,
            "attempt": self.id.attempt,
            "due_at": self.due_at,
            "key_before": self.key_before,
            "key_after": self.key_after,
            "state": self.state,
            "how": self.how,
            "begun_at": self.began_at,
            "intended_at": self.intended_at,
            "sent_at": self.sent_at,
            "accepted_at": self.accepted_at,
            "done_at": self.ended_at.filter(|_| self.state == State::Done),
            "ended_at": self.ended_at,
            "stage": self.stage,
            "failure": self.failure,
            "why": self.why,
            "retry_at": self.retry_at,
            "ledger_seq": self.seq,
        })
    }
}

/// One record of the ledger as it stands, with the name that its target has today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as one word.
    pub kind: String,
    /// By whose hand, as one word.
    pub actor: String,
    /// The id of the target that it is about; empty for none.
    pub target: String,
    /// That target's name today.
    pub name: Option<TargetName>,
    /// The rotation of that target, `slot.attempt`; empty for none.
    pub rotation: String,
    /// The details: a JSON object, the very text that was hashed.
    pub payload: String,
    /// The hash of the record before.
    pub prev_hash: [u8; 32],
    /// Its own hash.
    pub hash: [u8; 32],
}

impl LedgerRow {
    /// As one JSON object with all that its hash was made of, so that whoever has it can verify it.
    pub fn to_json(&self) -> Value {
        json!({
            "seq": self.seq,
            "at": self.at,
            "at_us": self.at.as_microsecond(),
            "kind": self.kind,
            "actor": self.actor,
            "target": self.target,
            "name": self.name,
            "rotation": self.rotation,
            "payload": self.payload,
            "prev_hash": hex(&self.prev_hash),
            "hash": hex(&self.hash),
        })
    }
}

/// One time that a target took a key into use, in the life of that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLife {
    /// Where.
    pub target: TargetId,
    /// That target's name.
    pub name: TargetName,
    /// When and how.
    pub used: KeyUse,
    /// The rotation that brought it, `slot.attempt`.
    pub rotation: Option<String>,
    /// The key that took its place.
    pub replaced_by: Option<KeyId>,
}

impl KeyLife {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "target": self.name,
            "target_id": self.target,
            "key": self.used.id,
            "came": self.used.came,
            "rotation": self.rotation,
            "not_before": self.used.not_before,
            "first_seen": self.used.first_seen,
            "last_seen": self.used.last_seen,
            "replaced_at": self.used.replaced_at,
            "replaced_by": self.replaced_by,
        })
    }
}
