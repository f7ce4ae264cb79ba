//! The log line of each recorded entry: a message that is readable alone, and its values as fields.

use std::collections::BTreeSet;

use crate::domain::{
    Caller, Entry, Event, Failure, Governance, Grant, KeyChange, ManagerName, Standing, TargetId, TargetName,
};

/// The target that an entry is about.
pub(super) struct Subject<'a> {
    pub(super) id: &'a TargetId,
    pub(super) name: &'a TargetName,
    pub(super) manager: &'a ManagerName,
}

/// Logs `entry` as exactly one line. `subject` is its target, where it has one that is known.
pub(super) fn write(entry: &Entry, subject: Option<&Subject<'_>>) {
    let manager = subject.map(|subject| subject.manager.as_str());
    // A target whose name is not known is called by its id.
    let who = match (subject, entry.event.target()) {
        (Some(subject), _) => subject.name.to_string(),
        (None, Some(id)) => id.to_string(),
        (None, None) => String::new(),
    };
    /// Writes the event with the fields that every line has, those given, and the message.
    macro_rules! line {
        ($level:ident, { $($fields:tt)* }, $($message:tt)+) => {
            tracing::event!(
                tracing::Level::$level,
                event = entry.event.kind(),
                actor = %entry.actor,
                target = subject.map(|subject| subject.name.as_str()),
                target_id = subject.map(|subject| subject.id.as_str()),
                $($fields)*
                $($message)+
            )
        };
    }
    /// The same for a failure, with its parts as fields.
    macro_rules! failure {
        ($level:ident, $failure:expr, { $($fields:tt)* }, $($message:tt)+) => {{
            let Failure { reason, verdict: _, scope: _, status, code, retry_after_s, detail } = $failure;
            line!(
                $level,
                {
                    reason = reason.as_str(),
                    status = *status,
                    code = code.as_deref(),
                    retry_after_s = *retry_after_s,
                    detail = detail.as_str(),
                    $($fields)*
                },
                $($message)+
            )
        }};
    }
    match &entry.event {
        Event::DaemonStarted { version, pid, host } => {
            line!(INFO, { version, pid, host, }, "rekeyd {version} started on {host}");
        }
        Event::DaemonStopped { parked } => {
            line!(INFO, { parked, }, "stopped; {parked} rotations wait to be settled");
        }
        Event::LedgerRecovered { since, error } => {
            line!(
                WARN, { since = %since, error, },
                "the ledger can be written again; since {since:.0} it could not: {error}"
            );
        }
        Event::ClockStepped { by_s } => {
            line!(WARN, { by_s, }, "the wall clock stepped by {by_s} s");
        }
        Event::PolicySet { policy, words } => {
            line!(INFO, { policy = policy.as_str(), words, }, "policy {policy}: {words}");
        }
        Event::ConfigReloaded { changes, by } => {
            line!(
                INFO, { changes = changes.join("; "), caller = by.as_ref().map(Caller::name), },
                "the configuration was read again: {}",
                if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join("; ") }
            );
        }
        Event::ConfigRefused { error, by } => {
            line!(
                ERROR, { error, caller = by.as_ref().map(Caller::name), },
                "the configuration was read again and refused, the former one stays in force: {error}"
            );
        }
        Event::PauseSet { scope, until, reason, by } => {
            line!(
                WARN, { scope, until = %until, why = reason, caller = by.name(), caller_pid = by.pid, },
                "{} pauses {scope} until {until:.0}: {reason}", by.name()
            );
        }
        Event::PauseEnded { scope, reason, by } => {
            line!(
                INFO, { scope, why = reason.as_deref(), caller = by.as_ref().map(Caller::name), },
                "the pause of {scope} is over: {}", reason.as_deref().unwrap_or("its time has come")
            );
        }
        Event::FreezeSet { name, scope, start, end, reason, by } => {
            line!(
                WARN,
                { freeze = name, scope, start = %start, end = %end, why = reason, caller = by.name(), caller_pid = by.pid, },
                "{} orders freeze {name} of {scope} from {start:.0} until {end:.0}: {reason}", by.name()
            );
        }
        Event::FreezeEnded { name, reason, by } => {
            line!(
                INFO,
                { freeze = name, why = reason.as_deref(), caller = by.as_ref().map(Caller::name), },
                "freeze {name} is over: {}", reason.as_deref().unwrap_or("its time has come")
            );
        }
        Event::LookRequested { scope, targets, reason, by } => {
            line!(
                INFO, { scope, targets, why = reason, caller = by.name(), caller_pid = by.pid, },
                "{} asks for a look at {targets} keys of {scope}: {reason}", by.name()
            );
        }
        Event::CheckpointKeySet { key } => {
            line!(INFO, { key, }, "from here on checkpoints are signed by {key}");
        }
        Event::TargetFound { description, listing } => {
            line!(
                INFO, { manager, role = description.role.as_str(), standing = %Standing::Listed(listing), },
                "{who}: found; {}", Standing::Listed(listing)
            );
        }
        Event::TargetChanged { description, listing } => {
            line!(
                INFO, { manager, role = description.role.as_str(), standing = %Standing::Listed(listing), },
                "{who}: its description changed; {}", Standing::Listed(listing)
            );
        }
        Event::TargetGone { listings, .. } => {
            line!(WARN, { manager, listings, }, "{who}: gone, {listings} listings did not name it");
        }
        Event::TargetReturned { .. } => line!(INFO, { manager, }, "{who}: listed again"),
        Event::TargetGoverned { governance: Some(Governance { policy, alert_after }), .. } => {
            line!(
                INFO, { manager, policy = policy.as_str(), alert_after_s = alert_after.as_secs(), },
                "{who}: governed by policy {policy}, its key may grow {alert_after} old"
            );
        }
        Event::TargetGoverned { governance: None, .. } => {
            line!(WARN, { manager, }, "{who}: no policy governs it any more");
        }
        Event::TargetRefused { refusal, .. } => {
            line!(
                WARN, { manager, standing = %Standing::Refused(refusal), },
                "{who}: not rotated any more, {}", Standing::Refused(refusal)
            );
        }
        Event::TargetReadable { .. } => {
            line!(INFO, { manager, }, "{who}: its key can be read again");
        }
        Event::KeySeen { key, .. } => {
            line!(INFO, { manager, key = key.as_str(), }, "{who}: first sight of key {key}, its age unknown");
        }
        Event::KeyChanged { change, before, after, last_seen, suspect, .. } => match (change, suspect) {
            (KeyChange::Foreign, None) => {
                line!(
                    WARN, {
                        manager, key_before = before.as_str(), key_after = after.as_str(), last_seen = %last_seen,
                    },
                    "{who}: somebody else changed its key from {before} to {after}"
                );
            }
            (KeyChange::Foreign, Some(suspect)) => {
                line!(
                    WARN, {
                        manager, key_before = before.as_str(), key_after = after.as_str(), last_seen = %last_seen,
                        suspect = %suspect,
                    },
                    "{who}: its key changed from {before} to {after}: rotation {suspect}, given up before, may have acted late"
                );
            }
            (KeyChange::Regression, _) => {
                line!(
                    ERROR, {
                        manager, key_before = before.as_str(), key_after = after.as_str(), last_seen = %last_seen,
                    },
                    "{who}: its key {before} was replaced by the earlier key {after}"
                );
            }
        },
        Event::KeyRedated { first_seen, .. } => {
            line!(
                WARN, { manager, first_seen = %first_seen, },
                "{who}: its key was dated by a clock that ran ahead; now dated {first_seen:.0}"
            );
        }
        Event::ObservationFailing { failure, .. } => {
            failure!(WARN, failure, { manager, }, "{who}: its key cannot be read: {failure}");
        }
        Event::ObservationRecovered { .. } => {
            line!(INFO, { manager, }, "{who}: its key can be read again");
        }
        Event::RotationIntended { rotation, due_at, key_before, .. } => {
            line!(
                INFO, { manager, rotation = %rotation, due_at = %due_at, key_before = key_before.as_str(), },
                "{who}: rotation {rotation} begins, due since {due_at:.0}"
            );
        }
        Event::RotationSending { rotation, .. } => {
            line!(INFO, { manager, rotation = %rotation, }, "{who}: rotation {rotation} is being sent");
        }
        Event::RotationAccepted { rotation, status, .. } => {
            line!(
                INFO, { manager, rotation = %rotation, status, },
                "{who}: rotation {rotation} accepted with {status}, not proved yet"
            );
        }
        Event::RotationReplyLost { rotation, failure, .. } => {
            failure!(
                WARN, failure, { manager, rotation = %rotation, },
                "{who}: the outcome of rotation {rotation} is unknown: {failure}"
            );
        }
        Event::RotationDone { rotation, due_at, how, key_before, key_after, last_seen, .. } => {
            line!(
                INFO, {
                    manager, rotation = %rotation, due_at = %due_at, how = how.as_str(),
                    key_before = key_before.as_str(), key_after = key_after.as_str(), last_seen = %last_seen,
                },
                "{who}: rotation {rotation} done ({}), new key {key_after}", how.as_str()
            );
        }
        Event::RotationFailed { rotation, due_at, failure, retry_at, .. } => {
            failure!(
                WARN, failure, { manager, rotation = %rotation, due_at = %due_at, retry_at = %retry_at, },
                "{who}: rotation {rotation} failed: {failure}; not again before {retry_at:.0}"
            );
        }
        Event::RotationUnconfirmed { rotation, failure, retry_at, .. } => {
            failure!(
                WARN, failure, { manager, rotation = %rotation, retry_at = %retry_at, },
                "{who}: rotation {rotation} was not confirmed in time: {failure}; not again before {retry_at:.0}"
            );
        }
        Event::RotationWithdrawn { rotation, why, .. } => {
            line!(
                INFO, { manager, rotation = %rotation, why, },
                "{who}: rotation {rotation} given up before anything was sent: {why}"
            );
        }
        Event::SlotMissed { slot, due_at, windows, opened_at, closed_at, why, .. } => {
            line!(
                WARN, {
                    manager, slot, due_at = %due_at, windows, opened_at = %opened_at, closed_at = %closed_at,
                    why = why.as_str(),
                },
                "{who}: due since {due_at:.0}, it missed {windows} of its windows, the last until {closed_at:.0}: {why}"
            );
        }
        Event::SlotHeld { slot, due_at, freeze, reason, until, .. } => {
            line!(
                INFO, {
                    manager, slot, due_at = %due_at, freeze = freeze.as_str(), reason = reason.as_str(),
                    until = %until,
                },
                "{who}: due since {due_at:.0}, it is held by freeze {freeze} until {until:.0}: {reason}"
            );
        }
        Event::TargetQuarantined { attempts, failure, .. } => {
            failure!(
                ERROR, failure, { manager, attempts, },
                "{who}: quarantined after {attempts} attempts, waits for an operator: {failure}"
            );
        }
        Event::TargetRearmed { reason, by, .. } => {
            line!(
                INFO, { manager, why = reason, caller = by.as_ref().map(Caller::name), },
                "{who}: may be rotated again: {reason}"
            );
        }
        Event::RotationRequested { reason, by, overrides, .. } => {
            line!(
                INFO, { manager, why = reason, overrides, caller = by.name(), caller_pid = by.pid, },
                "{who}: {} asks for a rotation now: {reason}", by.name()
            );
        }
        Event::ManagerFailing { manager, failure } => {
            failure!(WARN, failure, { manager = manager.as_str(), }, "{manager} fails: {failure}");
        }
        Event::ManagerAnswering { manager } => {
            line!(INFO, { manager = manager.as_str(), }, "{manager} answers again");
        }
        Event::ProjectUnread { manager, project, failure } => {
            failure!(
                WARN, failure, { manager = manager.as_str(), project, },
                "{manager}/{project} cannot be listed: {failure}"
            );
        }
        Event::ProjectRead { manager, project } => {
            line!(
                INFO, { manager = manager.as_str(), project, },
                "{manager}/{project} can be listed again, or is no longer asked for"
            );
        }
        Event::GapFound { manager, gap } => {
            line!(
                WARN, {
                    manager = manager.as_str(), project_id = gap.project_id.as_str(), project = gap.project,
                    cluster_name = gap.cluster,
                },
                "{manager}/{}/{}: sharded, and no config servers are listed", gap.project, gap.cluster
            );
        }
        Event::GapClosed { manager, gap } => {
            line!(
                INFO, {
                    manager = manager.as_str(), project_id = gap.project_id.as_str(), project = gap.project,
                    cluster_name = gap.cluster,
                },
                "{manager}/{}/{}: its config servers are listed", gap.project, gap.cluster
            );
        }
        Event::ApiKeyAdded { manager, key, baseline } => {
            line!(
                INFO, { manager = manager.as_str(), api_key = key.public_key, power = key.power().as_str(), baseline, },
                "{manager}: API key {} ({}) is listed, {}", key.public_key, key.description, roles(&key.grants)
            );
        }
        Event::ApiKeyRemoved { manager, key } => {
            line!(
                INFO, { manager = manager.as_str(), api_key = key.public_key, power = key.power().as_str(), },
                "{manager}: API key {} ({}) is listed no more", key.public_key, key.description
            );
        }
        Event::ApiKeyRolesChanged { manager, key, before } => {
            line!(
                WARN, { manager = manager.as_str(), api_key = key.public_key, power = key.power().as_str(), },
                "{manager}: the roles of API key {} ({}) changed from {} to {}",
                key.public_key, key.description, roles(before), roles(&key.grants)
            );
        }
        Event::ApiKeyChanged { manager, key } => {
            line!(
                INFO, { manager = manager.as_str(), api_key = key.public_key, },
                "{manager}: API key {} is now described as {:?}, or listed elsewhere", key.public_key, key.description
            );
        }
        Event::ApiKeysRead { manager, list } => {
            line!(
                INFO, { manager = manager.as_str(), list = %list, },
                "{manager}: the list of API keys can be read: {list}"
            );
        }
        Event::ApiKeysUnread { manager, list, failure } => {
            failure!(
                INFO, failure, { manager = manager.as_str(), list = %list, },
                "{manager}: who may rotate is not known from this list: {list}: {failure}"
            );
        }
        Event::CredentialUsed { manager, public_key } => {
            line!(
                INFO, { manager = manager.as_str(), api_key = public_key, },
                "{manager} is asked with API key {public_key}"
            );
        }
        Event::AlertRaised { alert, subject: about, words } => {
            line!(
                WARN, { manager = about.manager(), alert = alert.as_str(), subject = about.to_string(), },
                "alert {}: {words}", alert.as_str()
            );
        }
        Event::AlertCleared { alert, subject: about } => {
            let about_name = subject.map_or_else(|| about.to_string(), |subject| subject.name.to_string());
            line!(
                INFO, { manager = about.manager(), alert = alert.as_str(), subject = about.to_string(), },
                "alert {} is over: {about_name}", alert.as_str()
            );
        }
        Event::AlertsDelivered { receiver, firing, resolved } => {
            let (firing, resolved) = (firing.len(), resolved.len());
            line!(
                INFO, { receiver = receiver.as_str(), firing, resolved, },
                "{receiver} was told of {firing} alerts that fire and {resolved} that are over"
            );
        }
        Event::ReceiverFailing { receiver, error } => {
            line!(WARN, { receiver = receiver.as_str(), error, }, "{receiver} cannot be told of alerts: {error}");
        }
        Event::ReceiverAnswering { receiver } => {
            line!(INFO, { receiver = receiver.as_str(), }, "{receiver} takes alerts again");
        }
        Event::ReceiverDropped { receiver } => {
            line!(
                INFO, { receiver = receiver.as_str(), },
                "{receiver} is no longer configured: it is told of no alert any more"
            );
        }
    }
}

/// The roles in one line; a key may have hundreds.
fn roles(grants: &BTreeSet<Grant>) -> String {
    const SHOWN: usize = 8;
    if grants.is_empty() {
        return "without a role".to_owned();
    }
    let mut roles: Vec<String> = grants.iter().take(SHOWN).map(ToString::to_string).collect();
    if grants.len() > SHOWN {
        roles.push(format!("{} more", grants.len() - SHOWN));
    }
    roles.join(", ")
}
