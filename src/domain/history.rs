//! What became of single attempts and keys, as the record keeps it for people: rows to read, nothing to act on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Stage;
use super::failure::Failure;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
