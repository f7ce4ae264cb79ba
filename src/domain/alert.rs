//! What an alert is called and what it is about; the rules that raise one live in `alerts`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ApiKeyId, ManagerName, ProjectId, ReceiverName, TargetId};
use super::target::Target;

/// The kinds of alert.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    /// A project that the configuration names, or the key sees, cannot be listed.
    ProjectUnread,
    /// The ledger cannot be written, so nothing is rotated.
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
    /// One who is to be told of alerts cannot be reached.
    ReceiverFailing,
    /// An API key has come, a short while ago, that can rotate.
    ApiKeyNew,
    /// The wall clock of the daemon's machine stepped, a short while ago.
    ClockStepped,
    /// A target that had a readable key, or a whole project of them, went from the listings, a short while ago.
    TargetGone,
    /// The whole ledger was checked and does not hold.
    LedgerBroken,
    /// The ledger goes on, and its signed checkpoints cannot be written.
    CheckpointBehind,
    /// A changed configuration was refused, and the former one stays in force.
    ConfigRefused,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The word in the ledger, the API and the label `alert`.
    pub fn as_str(self) -> &'static str {
        self.into()
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
    /// One project, as `manager/project-id`, or as `manager/project name` where no more than its name may be known.
    Project(String),
    /// One who is told of alerts.
    Receiver(ReceiverName),
    /// One API key, as `manager/key-id`.
    ApiKey(String),
    /// The daemon itself.
    Daemon,
}

impl AlertSubject {
    /// A project, by its id.
    pub fn project_by_id(manager: &ManagerName, id: &ProjectId) -> Self {
        Self::Project(format!("{manager}/{id}"))
    }

    /// A project, by what the configuration or the server calls it.
    pub fn project_by_name(manager: &ManagerName, name: &str) -> Self {
        Self::Project(format!("{manager}/{name}"))
    }

    /// A cluster, by its project's id and its own name.
    pub fn cluster(manager: &ManagerName, project: &ProjectId, name: &str) -> Self {
        Self::Cluster(format!("{manager}/{project}/{name}"))
    }

    /// An API key.
    pub fn api_key(manager: &ManagerName, id: &ApiKeyId) -> Self {
        Self::ApiKey(format!("{manager}/{id}"))
    }

    /// The target, and all that it is a part of: an alert about any of them concerns the target.
    pub fn around(target: &Target) -> [Self; 5] {
        let manager = &target.manager;
        [
            Self::Target(target.id()),
            Self::cluster(manager, &target.project_id, &target.cluster),
            Self::project_by_id(manager, &target.project_id),
            Self::project_by_name(manager, &target.project),
            Self::Manager(manager.clone()),
        ]
    }

    /// The manager that it belongs to; none for a receiver and the daemon. No manager's name has a slash in it.
    pub fn manager(&self) -> Option<&str> {
        match self {
            Self::Target(_) | Self::Manager(_) | Self::Cluster(_) | Self::Project(_) | Self::ApiKey(_) => {
                self.parts().1.split('/').next()
            }
            Self::Receiver(_) | Self::Daemon => None,
        }
    }

    /// The persisted word of its kind, and its id; the daemon needs none.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Target(id) => ("target", id.as_str()),
            Self::Manager(name) => ("manager", name.as_str()),
            Self::Cluster(path) => ("cluster", path),
            Self::Project(path) => ("project", path),
            Self::Receiver(name) => ("receiver", name.as_str()),
            Self::ApiKey(path) => ("api_key", path),
            Self::Daemon => ("daemon", ""),
        }
    }

    /// The one with these [`Self::parts`], if this version knows its kind.
    pub fn from_parts(kind: &str, id: String) -> Option<Self> {
        Some(match kind {
            "target" => Self::Target(TargetId::new(id)),
            "manager" => Self::Manager(ManagerName::new(id)),
            "cluster" => Self::Cluster(id),
            "project" => Self::Project(id),
            "receiver" => Self::Receiver(ReceiverName::new(id)),
            "api_key" => Self::ApiKey(id),
            "daemon" => Self::Daemon,
            _ => return None,
        })
    }
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            ("daemon", _) => f.pad("rekeyd"),
            (_, id) => f.pad(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    /// Promise: what a table holds is read back as the same subject, under the word that the ledger has for it; a word of a
    /// later version is nobody else's.
    #[test]
    fn the_parts_of_a_subject_lead_back_to_it() {
        let others = [AlertSubject::Receiver("oncall".into()), AlertSubject::Daemon];
        let api_key = AlertSubject::api_key(&"emea".into(), &"5d".into());
        for subject in AlertSubject::around(&sample::target()).into_iter().chain([api_key]).chain(others) {
            let (kind, id) = subject.parts();
            assert_eq!(AlertSubject::from_parts(kind, id.to_owned()), Some(subject.clone()));
            assert!(serde_json::to_string(&subject).unwrap().contains(&format!("\"{kind}\"")), "{subject:?}");
            assert_eq!(subject.manager().unwrap_or("emea"), "emea", "{subject:?}");
        }
        assert_eq!(AlertSubject::from_parts("witness", "emea".to_owned()), None);
    }
}
