//! Values for unit tests, where a test does not care which. It names what it cares about: `Target { role, ..sample::target() }`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    AlertKind, AlertSubject, ApiKey, Caller, Event, Failure, Fleet, Gap, Governance, Grant, How, KeyChange, KeyOrigin,
    KeyRecord, Listing, Mechanism, Period, Reach, Reason, Refusal, Role, RotationId, Saying, Scope, Stage, Target,
    Verdict,
};

/// The shard `emea/billing/ledger/ledger-0`.
pub(crate) fn target() -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "billing".to_owned(),
        cluster_id: "6a".into(),
        cluster: "ledger".to_owned(),
        replica_set: "ledger-0".to_owned(),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}

/// A target's trouble that may be over the next time: status 500, for this reason.
pub(crate) fn failure(reason: Reason) -> Failure {
    Failure { status: Some(500), ..Failure::new(reason, Verdict::Transient, Scope::Target, "out of luck") }
}

/// A key that was there when its target was first looked at, at this time.
pub(crate) fn key(seen: Timestamp) -> KeyRecord {
    KeyRecord { id: "key".into(), not_before: None, first_seen: seen, last_seen: seen, came: KeyOrigin::FirstSeen }
}

/// Takes an event in that has to be possible and to change something.
pub(crate) fn tell(fleet: &mut Fleet, at: Timestamp, event: &Event) {
    fleet.fold(at, event).unwrap().unwrap();
}

fn api_key() -> ApiKey {
    ApiKey {
        id: "5d669ce780eef52a42cf0e1e".into(),
        public_key: "zrefxaep".to_owned(),
        description: "ci".to_owned(),
        grants: [Grant { role: "GLOBAL_OWNER".to_owned(), over: Reach::Global }].into(),
        lists: [Reach::Global].into(),
    }
}

/// An event of every kind, and of some kinds two, with everything in it that there can be. Each is about [`target`] or about
/// none; every time in it is `at`.
pub(crate) fn every_event(at: Timestamp) -> Vec<Event> {
    let id = target().id();
    let rotation = RotationId { slot: 1, attempt: 1 };
    let gap = Gap { project_id: "5f".into(), project: "billing".to_owned(), cluster: "ledger".to_owned() };
    let change = |change| Event::KeyChanged {
        target: id.clone(),
        change,
        before: "k1".into(),
        after: "k2".into(),
        last_seen: at,
        looked_at: Some(at),
        not_before: Some(at),
        first_seen: at,
        suspect: Some(rotation),
    };
    let caller = Caller { uid: 0, gid: 0, pid: 7, user: Some("root".to_owned()), login: Some("ada".to_owned()) };
    let saying = Saying {
        alert: AlertKind::KeyTooOld,
        subject: AlertSubject::Target(id.clone()),
        since: at,
        name: target().name().to_string(),
    };
    vec![
        Event::DaemonStarted { version: "1".to_owned(), pid: 1, host: "db-7".to_owned() },
        Event::DaemonStopped { parked: 0 },
        Event::LedgerRecovered { since: at, error: "disk full".to_owned() },
        Event::ClockStepped { by_s: -7 },
        Event::PolicySet { policy: "default".into(), words: "every 30d".to_owned() },
        Event::ConfigReloaded { changes: vec!["every".to_owned()], by: None },
        Event::ConfigRefused { error: "no manager".to_owned(), by: Some(caller.clone()) },
        Event::PauseSet { scope: "emea/*".to_owned(), until: at, reason: "CHG-1".to_owned(), by: caller.clone() },
        Event::PauseEnded { scope: "emea/*".to_owned(), reason: None, by: None },
        Event::FreezeSet {
            name: "year-end".to_owned(),
            scope: "emea/*".to_owned(),
            start: at,
            end: at,
            reason: "CHG-1".to_owned(),
            by: caller.clone(),
        },
        Event::FreezeEnded { name: "year-end".to_owned(), reason: None, by: None },
        Event::LookRequested { scope: "emea/*".to_owned(), targets: 2, reason: "CHG-1".to_owned(), by: caller.clone() },
        Event::CheckpointKeySet { key: "k".to_owned() },
        Event::TargetFound { description: target(), listing: Listing::Eligible },
        Event::TargetChanged { description: target(), listing: Listing::NoBackup },
        Event::TargetGone { target: id.clone(), listings: 3 },
        Event::TargetReturned { target: id.clone() },
        Event::TargetGoverned {
            target: id.clone(),
            governance: Some(Governance { policy: "default".into(), alert_after: Period::days(90) }),
        },
        Event::TargetGoverned { target: id.clone(), governance: None },
        Event::TargetRefused { target: id.clone(), refusal: Refusal::NotEncrypted { code: "C".to_owned() } },
        Event::TargetReadable { target: id.clone() },
        Event::KeySeen { target: id.clone(), key: "k1".into(), looked_at: Some(at) },
        change(KeyChange::Foreign),
        change(KeyChange::Regression),
        Event::KeyRedated { target: id.clone(), not_before: Some(at), first_seen: at },
        Event::ObservationFailing { target: id.clone(), failure: failure(Reason::TimedOut) },
        Event::ObservationRecovered { target: id.clone() },
        Event::RotationIntended { target: id.clone(), rotation, due_at: at, key_before: "k1".into(), looked_at: at },
        Event::RotationSending { target: id.clone(), rotation, looked_at: Some(at) },
        Event::RotationAccepted { target: id.clone(), rotation, status: 202 },
        Event::RotationReplyLost { target: id.clone(), rotation, failure: failure(Reason::CutOff) },
        Event::RotationDone {
            target: id.clone(),
            rotation,
            due_at: at,
            how: How::Rotated,
            key_before: "k1".into(),
            key_after: "k2".into(),
            last_seen: at,
            looked_at: Some(at),
        },
        Event::RotationFailed {
            target: id.clone(),
            rotation,
            due_at: at,
            stage: Stage::Put,
            failure: failure(Reason::Conflict),
            retry_at: at,
        },
        Event::RotationUnconfirmed { target: id.clone(), rotation, failure: failure(Reason::Unchanged), retry_at: at },
        Event::RotationWithdrawn { target: id.clone(), rotation, why: "held".to_owned() },
        Event::SlotMissed {
            target: id.clone(),
            slot: 1,
            due_at: at,
            windows: 2,
            opened_at: at,
            closed_at: at,
            why: "the daemon was not running".to_owned(),
        },
        Event::SlotHeld {
            target: id.clone(),
            slot: 1,
            due_at: at,
            freeze: "year-end".to_owned(),
            reason: "CHG-1".to_owned(),
            until: at,
        },
        Event::TargetQuarantined { target: id.clone(), attempts: 8, failure: failure(Reason::Refused) },
        Event::TargetRearmed { target: id.clone(), reason: "CHG-1".to_owned(), by: None },
        Event::RotationRequested {
            target: id.clone(),
            reason: "CHG-1".to_owned(),
            by: caller.clone(),
            overrides: true,
        },
        Event::ManagerFailing { manager: "emea".into(), failure: failure(Reason::Tls) },
        Event::ManagerAnswering { manager: "emea".into() },
        Event::ProjectUnread { manager: "emea".into(), project: "hr".to_owned(), failure: failure(Reason::NotFound) },
        Event::ProjectRead { manager: "emea".into(), project: "hr".to_owned() },
        Event::ApiKeyAdded { manager: "emea".into(), key: api_key(), baseline: false },
        Event::ApiKeyRolesChanged { manager: "emea".into(), key: api_key(), before: BTreeSet::new() },
        Event::ApiKeyChanged { manager: "emea".into(), key: api_key() },
        Event::ApiKeyRemoved { manager: "emea".into(), key: api_key() },
        Event::ApiKeysRead { manager: "emea".into(), list: Reach::Global },
        Event::ApiKeysUnread { manager: "emea".into(), list: Reach::Global, failure: failure(Reason::RoleMissing) },
        Event::CredentialUsed { manager: "emea".into(), public_key: "zrefxaep".to_owned() },
        Event::GapFound { manager: "emea".into(), gap: gap.clone() },
        Event::GapClosed { manager: "emea".into(), gap },
        Event::AlertRaised {
            alert: AlertKind::KeyTooOld,
            subject: AlertSubject::Target(id.clone()),
            words: format!("{}: its key may be 91d old", target().name()),
        },
        Event::AlertCleared { alert: AlertKind::KeyTooOld, subject: AlertSubject::Target(id) },
        Event::AlertsDelivered { receiver: "oncall".into(), firing: vec![saying.clone()], resolved: vec![saying] },
        Event::ReceiverFailing { receiver: "oncall".into(), error: "HTTP 500".to_owned() },
        Event::ReceiverAnswering { receiver: "oncall".into() },
        Event::ReceiverDropped { receiver: "oncall".into() },
    ]
}
