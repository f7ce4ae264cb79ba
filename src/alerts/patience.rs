//! How long a condition holds before anybody is told: what passes by itself in the meantime wakes nobody.

use crate::domain::{AlertKind, Period};

/// How long; none where it is told at once. The rules in `config/prometheus/` wait as long, by a test.
pub const fn patience(kind: AlertKind) -> Option<Period> {
    match kind {
        // A restart of an Ops Manager, with all that it warms up.
        AlertKind::ManagerFailing => Some(Period::minutes(15)),
        AlertKind::CredentialsRefused | AlertKind::ReceiverFailing => Some(Period::minutes(5)),
        // A cluster or a project that is being set up is not all there at once.
        AlertKind::ConfigServersMissing | AlertKind::ProjectUnread => Some(Period::minutes(60)),
        AlertKind::SchedulerStalled => Some(Period::minutes(2)),
        AlertKind::LedgerUnwritable => Some(Period::minutes(1)),
        // These say what is on record, or count from a limit of their own.
        AlertKind::KeyTooOld
        | AlertKind::KeyWillBeTooOld
        | AlertKind::RotationOverdue
        | AlertKind::RotationFailing
        | AlertKind::RotationPending
        | AlertKind::TargetQuarantined
        | AlertKind::KeyRegression
        | AlertKind::ForeignKeyChange
        | AlertKind::TargetNotGoverned
        | AlertKind::ObservationStale
        | AlertKind::ApiKeyNew
        | AlertKind::ClockStepped => None,
    }
}
