//! The smallest thing that has a master key of its own, and why one may not be rotated.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ClusterId, ManagerName, PolicyName, ProjectId, TargetId, TargetName};
use super::period::Period;

/// One replica set's backup, as its manager describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The manager that governs it.
    pub manager: ManagerName,
    /// The project's id.
    pub project_id: ProjectId,
    /// The project's name.
    pub project: String,
    /// The id by which its key is asked for and rotated.
    pub cluster_id: ClusterId,
    /// The name of the deployment that it belongs to.
    pub cluster: String,
    /// The replica set's own name.
    pub replica_set: String,
    /// Its part in the deployment.
    pub role: Role,
    /// How it is rotated and confirmed.
    pub mechanism: Mechanism,
}

impl Target {
    /// What identifies it for ever.
    pub fn id(&self) -> TargetId {
        TargetId::from_parts(&self.manager, &self.project_id, &self.cluster_id)
    }

    /// What people call it.
    pub fn name(&self) -> TargetName {
        TargetName::new([self.manager.as_str(), &self.project, &self.cluster, &self.replica_set].join("/"))
    }

    /// Whether both belong to one deployment, whose members rotate one after another.
    pub fn is_member_with(&self, other: &Self) -> bool {
        self.manager == other.manager && self.project_id == other.project_id && self.cluster == other.cluster
    }
}

/// A target's part in its deployment. Config servers come last in a cluster's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// A replica set of its own.
    ReplicaSet,
    /// A shard of a sharded cluster.
    Shard,
    /// The config servers of a sharded cluster.
    ConfigServer,
}

impl Role {
    /// The word for it in output and labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a target is rotated and confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mechanism {
    /// PUT and GET of Ops Manager's `encryptionKey`.
    BackupKey,
}

impl Mechanism {
    /// The word for it in output and labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What the manager's listing says about a target's fitness for rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Its backup runs and is encrypted, or nothing speaks against it.
    Eligible,
    /// It has no backup configuration.
    NoBackup,
    /// Its backup is in another state than started.
    BackupNotStarted {
        /// The state that the server named, for example `STOPPED`.
        status: String,
    },
    /// Its backup is not encrypted.
    NotEncrypted,
    /// The configuration leaves it out.
    Excluded {
        /// The glob that matched.
        pattern: String,
    },
    /// The server calls it something that is not known here.
    UnknownType {
        /// The server's word.
        type_name: String,
    },
}

/// By which policy a target is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governance {
    /// The policy.
    pub policy: PolicyName,
    /// A key older than this is too old.
    pub alert_after: Period,
}

/// Why the server would not speak of this target's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Another mechanism governs it.
    OtherMechanism {
        /// The server's error code.
        code: String,
    },
    /// It is not encrypted, in the sense of this mechanism.
    NotEncrypted {
        /// The server's error code.
        code: String,
    },
}

/// Whether a target is rotated, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is.
    Managed,
    /// The listing speaks against it.
    Listed(&'a Listing),
    /// The server refused to speak of its key.
    Refused(&'a Refusal),
    /// Several listings in a row did not name it.
    Gone,
}

impl Standing<'_> {
    /// One word for labels and for machines.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Managed | Self::Listed(Listing::Eligible) => "managed",
            Self::Listed(Listing::NoBackup) => "no_backup",
            Self::Listed(Listing::BackupNotStarted { .. }) => "backup_not_started",
            Self::Listed(Listing::NotEncrypted) | Self::Refused(Refusal::NotEncrypted { .. }) => "not_encrypted",
            Self::Listed(Listing::Excluded { .. }) => "excluded",
            Self::Listed(Listing::UnknownType { .. }) => "unknown_type",
            Self::Refused(Refusal::OtherMechanism { .. }) => "other_mechanism",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed | Self::Listed(Listing::Eligible) => write!(f, "managed"),
            Self::Listed(Listing::NoBackup) => write!(f, "it has no backup configuration"),
            Self::Listed(Listing::BackupNotStarted { status }) => write!(f, "its backup is {status}, not STARTED"),
            Self::Listed(Listing::NotEncrypted) => write!(f, "its backup is not encrypted"),
            Self::Listed(Listing::Excluded { pattern }) => write!(f, "excluded by \"{pattern}\""),
            Self::Listed(Listing::UnknownType { type_name }) => write!(f, "its type {type_name} is not known"),
            Self::Refused(Refusal::OtherMechanism { code }) => {
                write!(f, "its key is governed by the deployment's own encryption setting ({code})")
            }
            Self::Refused(Refusal::NotEncrypted { code }) => write!(f, "its backup is not encrypted ({code})"),
            Self::Gone => write!(f, "the manager no longer lists it"),
        }
    }
}

/// A target as one listing showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The target.
    pub target: Target,
    /// What the listing says about it.
    pub listing: Listing,
}

/// A sharded cluster whose listing names no config server replica set: it cannot be called covered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The project's id.
    pub project_id: ProjectId,
    /// The project's name.
    pub project: String,
    /// The sharded cluster's name.
    pub cluster: String,
}

/// How the configuration names a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectSelector {
    /// By its id.
    Id(ProjectId),
    /// By its name.
    Name(String),
}

impl ProjectSelector {
    /// Whether it names this project.
    pub fn selects(&self, id: &ProjectId, name: &str) -> bool {
        match self {
            Self::Id(wanted) => wanted == id,
            Self::Name(wanted) => wanted == name,
        }
    }
}

impl fmt::Display for ProjectSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
