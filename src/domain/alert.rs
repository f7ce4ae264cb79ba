//! What an alert is called and what it is about; the rules that raise one live in `alerts`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ManagerName, ReceiverName, TargetId};
use super::target::Target;

/// The kinds of alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A key is older than its policy's `alert_after`, or may be.
    KeyTooOld,
    /// A slot fell due long ago and is not answered.
    RotationOverdue,
    /// A target's rotation attempts fail.
    RotationFailing,
    /// A target is out of attempts and waits for an operator.
    TargetQuarantined,
    /// A target's key was replaced by an earlier one.
    KeyRegression,
    /// A target that had a readable key says that it is not governed or not encrypted any more.
    TargetNotGoverned,
    /// A target's key has not been read for long.
    ObservationStale,
    /// A manager does not answer.
    ManagerFailing,
    /// A sharded cluster is listed without config servers.
    ConfigServersMissing,
    /// A project that the configuration names, or the key sees, can not be listed.
    ProjectUnread,
    /// The ledger can not be written, so nothing is rotated.
    LedgerUnwritable,
    /// Nothing has failed, and a key will be too old all the same before its next slot falls due.
    KeyWillBeTooOld,
    /// A rotation was begun long ago and no look has settled it.
    RotationPending,
    /// Somebody else changed a key, a short while ago.
    ForeignKeyChange,
    /// A manager answers and refuses our credential: no waiting mends that.
    CredentialsRefused,
    /// No plan was made for long, so nothing is rotated.
    SchedulerStalled,
    /// One who is to be told of alerts can not be reached.
    ReceiverFailing,
    /// An API key has come, a short while ago, that can rotate.
    ApiKeyNew,
    /// The wall clock of the daemon's machine stepped, a short while ago.
    ClockStepped,
    /// A target that had a readable key, or a whole project of them, went from the listings, a short while ago.
    TargetGone,
    /// The whole ledger was checked and does not hold.
    LedgerBroken,
    /// The ledger goes on, and its signed checkpoints can not be written.
    CheckpointBehind,
    /// A changed configuration was refused, and the former one stays in force.
    ConfigRefused,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::KeyTooOld,
        Self::RotationOverdue,
        Self::RotationFailing,
        Self::TargetQuarantined,
        Self::KeyRegression,
        Self::TargetNotGoverned,
        Self::ObservationStale,
        Self::ManagerFailing,
        Self::ConfigServersMissing,
        Self::ProjectUnread,
        Self::LedgerUnwritable,
        Self::KeyWillBeTooOld,
        Self::RotationPending,
        Self::ForeignKeyChange,
        Self::CredentialsRefused,
        Self::SchedulerStalled,
        Self::ReceiverFailing,
        Self::ApiKeyNew,
        Self::ClockStepped,
        Self::TargetGone,
        Self::LedgerBroken,
        Self::CheckpointBehind,
        Self::ConfigRefused,
    ];

    /// The word in the ledger, the API and the label `alert`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyTooOld => "key_too_old",
            Self::RotationOverdue => "rotation_overdue",
            Self::RotationFailing => "rotation_failing",
            Self::TargetQuarantined => "target_quarantined",
            Self::KeyRegression => "key_regression",
            Self::TargetNotGoverned => "target_not_governed",
            Self::ObservationStale => "observation_stale",
            Self::ManagerFailing => "manager_failing",
            Self::ConfigServersMissing => "config_servers_missing",
            Self::ProjectUnread => "project_unread",
            Self::LedgerUnwritable => "ledger_unwritable",
            Self::KeyWillBeTooOld => "key_will_be_too_old",
            Self::RotationPending => "rotation_pending",
            Self::ForeignKeyChange => "foreign_key_change",
            Self::CredentialsRefused => "credentials_refused",
            Self::SchedulerStalled => "scheduler_stalled",
            Self::ReceiverFailing => "receiver_failing",
            Self::ApiKeyNew => "api_key_new",
            Self::ClockStepped => "clock_stepped",
            Self::TargetGone => "target_gone",
            Self::LedgerBroken => "ledger_broken",
            Self::CheckpointBehind => "checkpoint_behind",
            Self::ConfigRefused => "config_refused",
        }
    }
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSubject {
    /// One target.
    Target(TargetId),
    /// One manager.
    Manager(ManagerName),
    /// One cluster, as `manager/project-id/cluster name`.
    Cluster(String),
    /// One project, as `manager/project`, by the name or id that the configuration or the server gives it.
    Project(String),
    /// One who is told of alerts.
    Receiver(ReceiverName),
    /// One API key, as `manager/key-id`.
    ApiKey(String),
    /// The daemon itself.
    Daemon,
}

impl AlertSubject {
    /// The project of a target, by its id.
    pub fn project_of(target: &Target) -> Self {
        Self::Project(format!("{}/{}", target.manager, target.project_id))
    }
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(id) => id.fmt(f),
            Self::Manager(name) => name.fmt(f),
            Self::Cluster(name) | Self::Project(name) | Self::ApiKey(name) => name.fmt(f),
            Self::Receiver(name) => name.fmt(f),
            Self::Daemon => f.pad("rekeyd"),
        }
    }
}
