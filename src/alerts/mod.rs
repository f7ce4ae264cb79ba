//! What a person should be told, as pure rules over the state of affairs; and in `delivery` the telling.

mod advice;
pub mod delivery;
mod names;
mod patience;
mod rules;
mod transitions;
mod words;

use jiff::Timestamp;

use crate::domain::{AlertKind, AlertSubject};

pub use advice::{About, against};
pub use names::{rule, runbook};
pub use patience::patience;
pub use rules::fire;
pub use transitions::transitions;
pub use words::length;

/// One thing that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Of what kind.
    pub kind: AlertKind,
    /// What it is about; together with the kind this identifies an alert.
    pub subject: AlertSubject,
    /// What people call the subject.
    pub name: String,
    /// How loud.
    pub severity: Severity,
    /// When its condition came true; none where that is not known.
    pub since: Option<Timestamp>,
    /// What is wrong, since when, and the next step: one line for a person at three in the morning.
    pub words: String,
}

/// How loud an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Look at it in working hours; a louder one follows if nobody does.
    Warning,
    /// A promise is broken, or will be without a person.
    Critical,
}

impl Severity {
    /// The word in the API and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// How loud an alert of this kind is.
    pub const fn of(kind: AlertKind) -> Self {
        match kind {
            AlertKind::KeyTooOld
            | AlertKind::TargetQuarantined
            | AlertKind::KeyRegression
            | AlertKind::TargetNotGoverned
            | AlertKind::CredentialsRefused
            | AlertKind::LedgerUnwritable
            | AlertKind::LedgerBroken
            | AlertKind::SchedulerStalled => Self::Critical,
            // What these end in, if they last, is a key that is too old.
            AlertKind::KeyWillBeTooOld
            | AlertKind::RotationOverdue
            | AlertKind::RotationFailing
            | AlertKind::RotationPending
            | AlertKind::ForeignKeyChange
            | AlertKind::ObservationStale
            | AlertKind::ManagerFailing
            | AlertKind::ConfigServersMissing
            | AlertKind::ProjectUnread
            | AlertKind::ReceiverFailing
            | AlertKind::ApiKeyNew
            | AlertKind::TargetGone
            | AlertKind::ClockStepped
            | AlertKind::CheckpointBehind
            | AlertKind::ConfigRefused => Self::Warning,
        }
    }
}
