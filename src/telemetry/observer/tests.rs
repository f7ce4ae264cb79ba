//! Every event as a line, and what is counted of them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::domain::sample::{self, target};
use crate::domain::{
    Actor, AlertKind, AlertSubject, ApiKey, Caller, Failure, Gap, Grant, How, KeyChange, Listing, Reach, Reason,
    Refusal, Stage,
};
use crate::telemetry::log::LogFormat;
use crate::telemetry::log::tests::logged;

const NAME: &str = "emea/billing/ledger/ledger-0";

fn failure(reason: Reason) -> Failure {
    Failure { code: Some("UNEXPECTED".to_owned()), ..sample::failure(reason) }
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

fn entry(event: Event) -> Entry {
    Entry { at: Timestamp::UNIX_EPOCH, actor: Actor::Schedule, event }
}

fn narrator(fleet: &Fleet) -> Narrator {
    Narrator::new(Arc::new(Metrics::new("1", Timestamp::UNIX_EPOCH, [&"emea".into()])), fleet)
}

/// One that has seen the target being found.
fn acquainted() -> Narrator {
    let narrator = narrator(&Fleet::default());
    narrator.recorded(&[entry(Event::TargetFound { description: target(), listing: Listing::Eligible })]);
    narrator
}

fn value(narrator: &Narrator, series: &str) -> f64 {
    let text = String::from_utf8(narrator.metrics.encode(Vec::new())).unwrap();
    let line = text.lines().find(|line| line.starts_with(series) && line[series.len()..].starts_with(' '));
    line.unwrap_or_else(|| panic!("{series} in\n{text}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Each event that a target can have, and those that it can not.
fn every_event() -> Vec<Event> {
    let id = target().id();
    let rotation = RotationId { slot: 1, attempt: 1 };
    let at = Timestamp::UNIX_EPOCH;
    let gap = Gap { project_id: "5f".into(), project: "billing".to_owned(), cluster: "ledger".to_owned() };
    let change = |change| Event::KeyChanged {
        target: id.clone(),
        change,
        before: "k1".into(),
        after: "k2".into(),
        last_seen: at,
        looked_at: None,
        not_before: None,
        first_seen: at,
        suspect: None,
    };
    let caller = Caller { uid: 0, gid: 0, pid: 7, user: Some("root".to_owned()), login: Some("ada".to_owned()) };
    vec![
        Event::DaemonStarted { version: "1".to_owned(), pid: 1, host: "db-7".to_owned() },
        Event::DaemonStopped { parked: 0 },
        Event::LedgerRecovered { since: at, error: "disk full".to_owned() },
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
        Event::TargetRefused { target: id.clone(), refusal: Refusal::NotEncrypted { code: "C".to_owned() } },
        Event::TargetReadable { target: id.clone() },
        Event::KeySeen { target: id.clone(), key: "k1".into(), looked_at: None },
        change(KeyChange::Foreign),
        change(KeyChange::Regression),
        Event::ObservationFailing { target: id.clone(), failure: failure(Reason::TimedOut) },
        Event::ObservationRecovered { target: id.clone() },
        Event::RotationIntended { target: id.clone(), rotation, due_at: at, key_before: "k1".into(), looked_at: at },
        Event::RotationSending { target: id.clone(), rotation, looked_at: None },
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
            looked_at: None,
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
            words: format!("{NAME}: its key may be 91d old"),
        },
        Event::AlertCleared { alert: AlertKind::KeyTooOld, subject: AlertSubject::Target(id) },
        Event::AlertsDelivered { receiver: "oncall".into(), firing: Vec::new(), resolved: Vec::new() },
        Event::ReceiverFailing { receiver: "oncall".into(), error: "HTTP 500".to_owned() },
        Event::ReceiverAnswering { receiver: "oncall".into() },
        Event::ReceiverDropped { receiver: "oncall".into() },
    ]
}

/// Nothing is silent and nothing is said twice; each line names the target in its message and among its values.
#[test]
fn each_entry_is_one_line_readable_alone() {
    for event in every_event() {
        let narrator = acquainted();
        let lines = logged(LogFormat::Json, false, || narrator.recorded(&[entry(event.clone())]));
        assert_eq!(lines.len(), 1, "{event:?}: {lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["event"], event.to_record().0, "{line}");
        assert_eq!(line["actor"], "schedule", "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
        if let Some(id) = event.target() {
            assert_eq!(line["target"], NAME, "{line}");
            assert_eq!(line["target_id"], id.as_str(), "{line}");
            assert_eq!(line["manager"], "emea", "{line}");
            assert!(line["message"].as_str().unwrap().contains(NAME), "{line}");
        }
    }
}

#[test]
fn a_failure_is_a_warning_with_its_parts() {
    let narrator = acquainted();
    let event = Event::RotationFailed {
        target: target().id(),
        rotation: RotationId { slot: 4, attempt: 2 },
        due_at: Timestamp::UNIX_EPOCH,
        stage: Stage::Put,
        failure: failure(Reason::ServerError),
        retry_at: Timestamp::UNIX_EPOCH,
    };
    let lines = logged(LogFormat::Json, false, || narrator.recorded(&[entry(event)]));
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["reason"], "server_error");
    assert_eq!(line["status"], 500);
    assert_eq!(line["code"], "UNEXPECTED");
    assert_eq!(line["rotation"], "4.2");
    assert_eq!(
        line["message"],
        "emea/billing/ledger/ledger-0: rotation 4.2 failed: server_error, HTTP 500, UNEXPECTED: out of luck; \
         not again before 1970-01-01T00:00:00Z"
    );
}

/// An attempt is one attempt however many entries it takes, and one that ends at its first look is one too.
#[test]
fn an_attempt_is_counted_once() {
    let narrator = acquainted();
    let id = target().id();
    let at = Timestamp::UNIX_EPOCH;
    let failed = |attempt, reason| Event::RotationFailed {
        target: id.clone(),
        rotation: RotationId { slot: 1, attempt },
        due_at: at,
        stage: Stage::Precheck,
        failure: failure(reason),
        retry_at: at,
    };
    let second = RotationId { slot: 1, attempt: 2 };
    narrator.recorded(&[entry(failed(1, Reason::TimedOut))]);
    narrator.recorded(&[
        entry(Event::RotationIntended {
            target: id.clone(),
            rotation: second,
            due_at: at,
            key_before: "k".into(),
            looked_at: at,
        }),
        entry(Event::RotationSending { target: id.clone(), rotation: second, looked_at: None }),
    ]);
    narrator.recorded(&[entry(failed(2, Reason::Conflict))]);
    assert_eq!(value(&narrator, "rekeyd_rotation_attempts_total{manager=\"emea\"}"), 2.0);
    let failures = |reason| format!("rekeyd_rotation_failures_total{{manager=\"emea\",reason=\"{reason}\"}}");
    assert_eq!(value(&narrator, &failures("timed_out")), 1.0);
    assert_eq!(value(&narrator, &failures("conflict")), 1.0);
    assert_eq!(value(&narrator, &failures("unchanged")), 0.0);
}

/// A rotation that a restart interrupted was counted before it, and its target is still called by name.
#[test]
fn a_restart_forgets_no_name_and_begins_no_attempt_twice() {
    let id = target().id();
    let at = Timestamp::UNIX_EPOCH;
    let rotation = RotationId { slot: 1, attempt: 1 };
    let mut fleet = Fleet::default();
    for event in [
        Event::TargetFound { description: target(), listing: Listing::Eligible },
        Event::RotationIntended { target: id.clone(), rotation, due_at: at, key_before: "k".into(), looked_at: at },
    ] {
        let change = fleet.consequence(at, &event).unwrap().unwrap();
        fleet.adopt(change);
    }
    let narrator = narrator(&fleet);
    let lines = logged(LogFormat::Text, false, || {
        narrator.recorded(&[entry(Event::RotationSending { target: id.clone(), rotation, looked_at: None })]);
    });
    assert!(lines[0].contains(NAME), "{lines:?}");
    assert_eq!(value(&narrator, "rekeyd_rotation_attempts_total{manager=\"emea\"}"), 0.0);
}

#[test]
fn a_foreign_change_is_counted() {
    let narrator = acquainted();
    for event in every_event() {
        narrator.recorded(&[entry(event)]);
    }
    assert_eq!(value(&narrator, "rekeyd_foreign_key_changes_total{manager=\"emea\"}"), 2.0);
    narrator.rotation_took(Duration::from_secs(3));
    assert_eq!(value(&narrator, "rekeyd_rotation_duration_seconds_sum"), 3.0);
}

#[test]
fn a_renamed_target_is_called_by_its_new_name() {
    let narrator = acquainted();
    let renamed = Target { cluster: "journal".to_owned(), ..target() };
    let lines = logged(LogFormat::Text, false, || {
        narrator.recorded(&[
            entry(Event::TargetChanged { description: renamed, listing: Listing::Eligible }),
            entry(Event::TargetRearmed { target: target().id(), reason: "CHG-1".to_owned(), by: None }),
        ]);
    });
    assert!(lines[1].contains("emea/billing/journal/ledger-0: may be rotated again"), "{lines:?}");
}
