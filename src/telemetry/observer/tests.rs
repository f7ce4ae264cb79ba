//! Every event as a line, and what is counted of them.

use jiff::Timestamp;

use super::*;
use crate::domain::sample::{self, target};
use crate::domain::{Actor, Failure, Listing, Reason, Stage};
use crate::telemetry::log::LogFormat;
use crate::telemetry::log::tests::logged;

const NAME: &str = "emea/billing/ledger/ledger-0";

fn failure(reason: Reason) -> Failure {
    Failure { code: Some("UNEXPECTED".to_owned()), ..sample::failure(reason) }
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

/// Nothing is silent and nothing is said twice; each line names the target in its message and among its values.
#[test]
fn each_entry_is_one_line_readable_alone() {
    for event in sample::every_event(Timestamp::UNIX_EPOCH) {
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
        fleet.fold(at, &event).unwrap().unwrap();
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
    for event in sample::every_event(Timestamp::UNIX_EPOCH) {
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
