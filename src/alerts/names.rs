//! What an alert is called outside of the house: as the rules for Prometheus call it, and where its runbook is.

use crate::domain::AlertKind;

/// The name of the rule in `config/prometheus/` that tells the same, and of the section in `docs/runbook.md`.
pub const fn rule(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::KeyTooOld => "RekeydKeyTooOld",
        AlertKind::KeyWillBeTooOld => "RekeydKeyWillBeTooOld",
        AlertKind::RotationOverdue => "RekeydRotationOverdue",
        AlertKind::RotationFailing => "RekeydRotationFailing",
        AlertKind::RotationPending => "RekeydRotationPending",
        AlertKind::TargetQuarantined => "RekeydTargetQuarantined",
        AlertKind::KeyRegression => "RekeydKeyRegression",
        AlertKind::ForeignKeyChange => "RekeydForeignKeyChange",
        AlertKind::TargetNotGoverned => "RekeydTargetNotGoverned",
        AlertKind::ObservationStale => "RekeydObservationStale",
        AlertKind::ManagerFailing => "RekeydManagerFailing",
        AlertKind::CredentialsRefused => "RekeydCredentialsRefused",
        AlertKind::ConfigServersMissing => "RekeydConfigServersMissing",
        AlertKind::ProjectUnread => "RekeydProjectUnread",
        AlertKind::LedgerUnwritable => "RekeydLedgerNotWritable",
        AlertKind::SchedulerStalled => "RekeydSchedulerStalled",
        AlertKind::ReceiverFailing => "RekeydReceiverFailing",
        AlertKind::ApiKeyNew => "RekeydApiKeyNew",
        AlertKind::ClockStepped => "RekeydClockStepped",
        AlertKind::TargetGone => "RekeydTargetGone",
        AlertKind::LedgerBroken => "RekeydLedgerBroken",
        AlertKind::CheckpointBehind => "RekeydCheckpointBehind",
        AlertKind::ConfigRefused => "RekeydConfigNotLoaded",
    }
}

/// The address of the runbook's section, where the runbook itself is at `base`.
pub fn runbook(base: &str, kind: AlertKind) -> String {
    format!("{base}#{}", rule(kind).to_lowercase())
}
