//! What is said on the socket, as JSON. Both ends are this program, but not always of the same version: a field may be
//! added, never changed.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::{KeyId, KeyOrigin, TargetId, TargetName};
use crate::ports::{Anchor, Check, Refusal, Upkeep};

/// An order, with what the record wants of every order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reasoned<T> {
    /// Why: a ticket, a sentence.
    pub reason: String,
    /// Who logged in, if the command knows.
    #[serde(default)]
    pub login: Option<String>,
    /// What is to be done.
    #[serde(flatten)]
    pub order: T,
}

/// What can be ordered.
pub trait Orderable: Serialize {
    /// The last part of its path.
    const ROUTE: &'static str;
    /// What comes back.
    type Answer: DeserializeOwned;

    /// Where it is posted to.
    fn path() -> String {
        format!("/v1/{}", Self::ROUTE)
    }
}

/// `POST /v1/rotate`: answer the slots of these targets now. The answer: the targets that were fit, as they stand now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateOrder {
    /// Which targets.
    pub targets: Vec<TargetId>,
    /// In spite of pauses and of the hours of the policy.
    #[serde(default)]
    pub overrides: bool,
}

/// `POST /v1/observe`: look at the keys of these targets now. The answer: the targets that will be looked at, as they stood before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserveOrder {
    /// What the person typed, for the record.
    pub scope: String,
    /// Which targets.
    pub targets: Vec<TargetId>,
}

/// `POST /v1/rearm`: let these quarantined targets be tried again. The answer: those that were quarantined, as they stood before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RearmOrder {
    /// Which targets.
    pub targets: Vec<TargetId>,
}

/// `POST /v1/pause`: send nothing to targets whose names match, until a time. The answer: all that stand now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PauseOrder {
    /// A glob of target names.
    pub scope: String,
    /// When it ends by itself.
    pub until: Timestamp,
}

/// `POST /v1/resume`: end the pause with this scope. The answer: those that still stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumeOrder {
    /// The scope as it was given.
    pub scope: String,
}

/// `POST /v1/freeze`: rotate nothing of the targets whose names match, from one time to another. The answer: all that there are now.
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
}

/// `POST /v1/thaw`: end an ordered freeze, or take back one that has not begun. The answer: those that are left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThawOrder {
    /// Its name.
    pub name: String,
}

macro_rules! orderable {
    ($($order:ty => $route:literal, $answer:ty;)*) => {$(
        impl Orderable for $order {
            const ROUTE: &'static str = $route;
            type Answer = $answer;
        }
    )*};
}

orderable! {
    RotateOrder => "rotate", Vec<TargetState>;
    ObserveOrder => "observe", Vec<TargetState>;
    RearmOrder => "rearm", Vec<TargetState>;
    PauseOrder => "pause", Vec<Paused>;
    ResumeOrder => "resume", Vec<Paused>;
    FreezeOrder => "freeze", Vec<Frozen>;
    ThawOrder => "thaw", Vec<Frozen>;
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
    pub standing: Readiness,
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
    /// How the key came into use; none if it was never read.
    #[serde(default)]
    pub came: Option<KeyOrigin>,
    /// When the key was last seen in use.
    pub key_seen_at: Option<Timestamp>,
    /// Why the key cannot be read, while it cannot.
    pub unread: Option<String>,
    /// Whether a rotation now has been ordered.
    pub requested: bool,
    /// When a rotation was last done.
    pub last_rotation_at: Option<Timestamp>,
}

/// `GET /v1/daemon`: what the daemon knows of itself and the record does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonState {
    /// When it started.
    pub started_at: Timestamp,
    /// Since when, and why, the ledger cannot be written.
    pub unwritable: Option<(Timestamp, String)>,
    /// When it last made a plan, or found it as good as new; none before the first.
    pub last_sweep: Option<Timestamp>,
    /// How long ago that was, or how long the first is overdue, in seconds.
    pub since_sweep_s: u64,
    /// What it knows of its ledger and its configuration; none from an earlier version.
    #[serde(default)]
    pub upkeep: Option<UpkeepState>,
}

/// What the daemon found of its ledger and its configuration. Where something is wrong, the words say what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpkeepState {
    /// So many records of the ledger were found to hold since the start; none as long as that is not known.
    pub whole: Option<u64>,
    /// Why the ledger was found not to hold.
    pub broken: Option<String>,
    /// Why it could not be checked.
    pub unchecked: Option<String>,
    /// Why no checkpoint can be written.
    pub behind: Option<String>,
    /// Why the newest reading of the configuration was refused.
    pub refused: Option<Refusal>,
}

impl From<Upkeep> for UpkeepState {
    fn from(Upkeep { check, anchor, refused }: Upkeep) -> Self {
        let (whole, broken, unchecked) = match check {
            Check::Pending => (None, None, None),
            Check::Whole { records } => (Some(records), None, None),
            Check::Broken { why } => (None, Some(why), None),
            Check::Unchecked { why } => (None, None, Some(why)),
        };
        Self { whole, broken, unchecked, behind: anchor.failure, refused }
    }
}

impl From<UpkeepState> for Upkeep {
    fn from(UpkeepState { whole, broken, unchecked, behind, refused }: UpkeepState) -> Self {
        let check = match (whole, broken, unchecked) {
            (_, Some(why), _) => Check::Broken { why },
            (_, None, Some(why)) => Check::Unchecked { why },
            (Some(records), None, None) => Check::Whole { records },
            (None, None, None) => Check::Pending,
        };
        Self { check, anchor: Anchor { failure: behind, ..Anchor::default() }, refused }
    }
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
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

impl Readiness {
    /// Whether a rotation now makes sense; whether it can begin at once is the planner's affair.
    pub fn can_rotate(self) -> bool {
        match self {
            Self::Moving | Self::Resting | Self::Waiting | Self::Held => true,
            Self::Unknown | Self::Quarantined | Self::NotManaged => false,
        }
    }
}
