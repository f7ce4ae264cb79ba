//! What the service manager is told: readiness, a status, signs of life. Without one, nobody hears it.
//!
//! A sign of life is sent when the loop has planned, or seen that its plan still holds, and at no other time: a daemon whose
//! loop stands still is started anew.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::domain::Standing;
use crate::engine::Engine;
use crate::ports::{Clock, Gauge, Situation};

/// Ready without having heard of every manager after this: half of what systemd gives a start.
const CONTACT_WITHIN: Duration = Duration::from_secs(45);
/// Plans can be made many times a second; signs of life are not needed so often.
const SIGN_AFTER: Duration = Duration::from_secs(1);

/// Says that the daemon is ready as soon as each manager has answered or failed, then follows the plans until `closing`.
pub(super) async fn run(engine: Arc<Engine>, clock: Arc<dyn Clock>, closing: CancellationToken) {
    tell(&[NotifyState::Status("waiting for the first answer of every manager")]);
    let mut sweeps = engine.sweeps();
    tokio::select! {
        () = engine.contacted() => {}
        () = clock.sleep(CONTACT_WITHIN) => {}
        () = closing.cancelled() => return stopping(),
    }
    let mut told = words(&engine.read());
    tell(&[NotifyState::Ready, NotifyState::Status(&told)]);
    tracing::info!("ready: {told}");
    loop {
        tokio::select! {
            changed = sweeps.changed() => if changed.is_err() { return },
            () = closing.cancelled() => return stopping(),
        }
        tell(&[NotifyState::Watchdog]);
        let now = words(&engine.read());
        if now != told {
            tell(&[NotifyState::Status(&now)]);
            told = now;
        }
        tokio::select! {
            () = clock.sleep(SIGN_AFTER) => {}
            () = closing.cancelled() => return stopping(),
        }
    }
}

/// The configuration is being read again.
pub(super) fn reloading() {
    // Asked for the time of the message by systemd 253 and later, and taken as unknown by earlier ones.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It has been read, whatever came of it.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: rotations in hand may finish")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told: {error}");
    }
}

/// The state of affairs in one line.
fn words(situation: &Situation) -> String {
    let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let targets = situation.fleet.targets.values();
    let managed = targets.clone().filter(|record| record.standing() == Standing::Managed).count();
    let failing = situation.fleet.managers.values().filter(|manager| manager.outage.is_some()).count();
    let frozen = situation.fleet.freezes.values();
    let unwritable = situation.unwritable.is_some().then(|| "the ledger cannot be written".to_owned());
    let parts = [
        unwritable,
        Some(format!("{managed} targets managed")),
        count(targets.clone().filter(|record| record.rotation.is_some()).count(), "rotating"),
        count(targets.clone().filter(|record| record.quarantine.is_some()).count(), "quarantined"),
        count(failing, "managers failing"),
        count(situation.fleet.standing_pauses(situation.now).count(), "pauses"),
        count(frozen.filter(|ordered| ordered.freeze.span.contains(situation.now)).count(), "ordered freezes"),
        count(situation.fleet.alerts.len(), "alerts"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
