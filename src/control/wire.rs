//! What is said on the socket, as JSON. Both ends are this program, but not always of the same version: a field may be
//! added, never changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{KeyId, TargetId, TargetName};

/// `POST /v1/rotate`: answer the slots of these targets now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateOrder {
    /// Which targets.
    pub targets: Vec<TargetId>,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
    /// In spite of pauses and of the hours of the policy.
    #[serde(default)]
    pub overrides: bool,
}

/// `POST /v1/observe`: look at the keys of these targets now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserveOrder {
    /// What the person typed, for the record.
    pub scope: String,
    /// Which targets.
    pub targets: Vec<TargetId>,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/rearm`: let these quarantined targets be tried again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RearmOrder {
    /// Which targets.
    pub targets: Vec<TargetId>,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/pause`: send nothing to targets whose names match, until a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PauseOrder {
    /// A glob of target names.
    pub scope: String,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/resume`: end the pause with this scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumeOrder {
    /// The scope as it was given.
    pub scope: String,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/freeze`: rotate nothing of the targets whose names match, from one time to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FreezeOrder {
    /// What people will call it.
    pub name: String,
    /// A glob of target names.
    pub scope: String,
    /// When it begins; none for now.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// When it ends by itself.
    pub end: Timestamp,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/thaw`: end an ordered freeze, or take back one that has not begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThawOrder {
    /// Its name.
    pub name: String,
    /// Why, for the record.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// `POST /v1/reload`: read the configuration again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReloadOrder {
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
}

/// The configuration is in force as the files have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// What has changed, in words.
    pub changes: Vec<String>,
}

/// `GET /v1/pauses`: one pause that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// A glob of target names.
    pub scope: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// By whose order.
    pub by: String,
    /// How many targets it holds up.
    pub targets: usize,
}

/// `GET /v1/freezes`: one freeze that stands or is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// What people call it.
    pub name: String,
    /// A glob of target names.
    pub scope: String,
    /// When it begins, or began.
    pub start: Timestamp,
    /// When it ends by itself.
    pub end: Timestamp,
    /// Why.
    pub reason: String,
    /// By whose order; none if it stands in the configuration.
    pub by: Option<String>,
    /// How many targets it holds.
    pub targets: usize,
}

/// `GET /v1/targets?match=GLOB`, and the answer to most orders: one target as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetState {
    /// Its name.
    pub target: TargetName,
    /// Its id.
    pub id: TargetId,
    /// How it stands, for programs.
    pub standing: Standing,
    /// What is to be done with it now and why, in words.
    pub words: String,
    /// The ordinal of the slot that is to be answered next: it grows when the key changes.
    pub slot: u64,
    /// When the slot falls, or fell, due.
    pub due_at: Option<Timestamp>,
    /// When it is rotated, as the policy says.
    pub every: Option<String>,
    /// The key in use.
    pub key: Option<KeyId>,
    /// When the key was last seen in use.
    pub key_seen_at: Option<Timestamp>,
    /// Why the key can not be read, while it can not.
    pub unread: Option<String>,
    /// Whether a rotation now has been ordered.
    pub requested: bool,
    /// When a rotation was last done.
    pub last_rotation_at: Option<Timestamp>,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is being rotated, or would be as soon as there is room.
    Moving,
    /// Its slot is not due.
    Resting,
    /// It is due and waits for something that passes by itself.
    Waiting,
    /// It is due, and a pause, a freeze, the windows of its policy or a member that failed hold it up.
    Held,
    /// Its key was never read.
    Unknown,
    /// Only an operator can let it go on.
    Quarantined,
    /// It is not rotated.
    NotManaged,
}
