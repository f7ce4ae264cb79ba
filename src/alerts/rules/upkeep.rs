//! What is wrong with the daemon's own ledger and configuration, and the words.

use jiff::Timestamp;

use super::{Alert, alert, length};
use crate::domain::{AlertKind, AlertSubject};
use crate::ports::{Check, Refusal, Situation};

/// What the daemon knows of its ledger and its configuration. Where it knows nothing yet, what is on record stands: a restart
/// mends nothing, and whoever reads the record without the daemon can know no more.
pub(super) fn upkeep(situation: &Situation) -> impl Iterator<Item = Alert> {
    let upkeep = situation.upkeep.as_ref();
    let broken = upkeep.and_then(|upkeep| match &upkeep.check {
        Check::Pending => None,
        Check::Whole { .. } => Some(None),
        Check::Broken { why } | Check::Unchecked { why } => Some(Some(why.as_str())),
    });
    let found = match upkeep.map(|upkeep| &upkeep.check) {
        Some(Check::Unchecked { .. }) => "cannot be checked since",
        Some(Check::Broken { .. }) => "was damaged or tampered with, as was found at",
        Some(Check::Pending | Check::Whole { .. }) | None => "does not hold or could not be checked, as was found at",
    };
    let behind = upkeep.map(|upkeep| upkeep.anchor.failure.as_deref());
    let refusal = upkeep.map(|upkeep| upkeep.refused.as_ref());
    let broken = fault(situation, AlertKind::LedgerBroken, broken).map(|(since, why)| {
        let words = format!(
            "The ledger {found} {since:.0}{why}. Next: copy the state directory and the checkpoint file before anything \
             else; then `rekeyd audit verify`."
        );
        (AlertKind::LedgerBroken, since, words)
    });
    let behind = fault(situation, AlertKind::CheckpointBehind, behind).map(|(since, why)| {
        let words = format!(
            "No signed checkpoint can be written since {since:.0}, for {}{why}. What is recorded meanwhile could be rewritten \
             unnoticed. Next: mend the disk that the checkpoint file is on; if the two do not agree, see what `rekeyd audit \
             verify` says.",
            length(since, situation.now)
        );
        (AlertKind::CheckpointBehind, since, words)
    });
    let refused = refusal.map(|refusal| refusal.map(Refusal::words));
    let refused = fault(situation, AlertKind::ConfigRefused, refused).map(|(since, why)| {
        let next = match refusal.flatten() {
            Some(Refusal::Wrong(_)) => "mend what `rekeyd check` says of it, and `rekeyd reload`",
            Some(Refusal::WantsRestart(_)) => {
                "restart the daemon, which is safe at any moment, or take the change back"
            }
            Some(Refusal::Hindered(_)) => "mend that, and `rekeyd reload`",
            None => "mend what `rekeyd check` says of it, and `rekeyd reload`; if it says nothing, a restart is wanted",
        };
        let words = format!(
            "A changed configuration was refused at {since:.0}{why}; the former one stays in force. Next: {next}."
        );
        (AlertKind::ConfigRefused, since, words)
    });
    let daemon = |(kind, since, words)| alert(kind, AlertSubject::Daemon, "rekeyd".to_owned(), Some(since), words);
    [broken, behind, refused].into_iter().flatten().map(daemon)
}

/// Since when something is wrong, and why, if it is. It begins when it is put on record: while the ledger cannot be written,
/// that is what is told. `known`: why it is wrong, if it is; none where that is not known.
fn fault(situation: &Situation, kind: AlertKind, known: Option<Option<&str>>) -> Option<(Timestamp, String)> {
    let recorded = situation.fleet.alerts.get(&(kind, AlertSubject::Daemon)).copied();
    match known {
        None => Some((recorded?, String::new())),
        // Of a long list of mistakes the first will do.
        Some(why) => {
            let why = why?.lines().next().unwrap_or_default();
            Some((recorded.unwrap_or(situation.now), format!(": {why}")))
        }
    }
}
