//! How long a condition holds before anybody is told: what passes by itself in the meantime is shown, and wakes nobody.

use jiff::Timestamp;

use super::Alert;
use crate::domain::{AlertKind, Period};

/// Whether it is time to tell of an alert that fires. One that is dated in the future, since a clock that ran ahead was set back,
/// has lasted long enough: nobody knows how long it will be before the clock is there again.
pub(super) fn has_lasted(alert: &Alert, now: Timestamp) -> bool {
    let (Some(patience), Some(since)) = (patience(alert.kind), alert.since) else { return true };
    now < since || patience.after(since) <= now
}

/// How long; none where it is told at once. The rules in `config/prometheus/` wait as long, by a test.
pub const fn patience(kind: AlertKind) -> Option<Period> {
    match kind {
        // A restart of an Ops Manager, with all that it warms up.
        AlertKind::ManagerFailing => Some(Period::minutes(15)),
        AlertKind::CredentialsRefused | AlertKind::ReceiverFailing => Some(Period::minutes(5)),
        // A disk that comes back, a mistake that is seen by who made it.
        AlertKind::CheckpointBehind | AlertKind::ConfigRefused => Some(Period::minutes(5)),
        // A cluster or a project that is being set up is not all there at once.
        AlertKind::ConfigServersMissing | AlertKind::ProjectUnread => Some(Period::minutes(60)),
        AlertKind::SchedulerStalled => Some(Period::minutes(2)),
        AlertKind::LedgerUnwritable => Some(Period::minutes(1)),
        // These say what is on record, or count from a limit of their own. What is gone three listings have not named.
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
        | AlertKind::TargetGone
        | AlertKind::ClockStepped
        | AlertKind::LedgerBroken => None,
    }
}
