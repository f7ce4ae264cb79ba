//! What the ledger is told when alerts begin and end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Alert;
use crate::domain::{AlertKind, AlertSubject, Event};

/// The events that lead from the alerts on record to those that fire now; none if they are the same.
pub fn transitions(fired: &[Alert], active: &BTreeMap<(AlertKind, AlertSubject), Timestamp>) -> Vec<Event> {
    let on_record: BTreeSet<(AlertKind, &AlertSubject)> =
        active.keys().map(|(kind, subject)| (*kind, subject)).collect();
    let firing: BTreeSet<(AlertKind, &AlertSubject)> = fired.iter().map(|alert| (alert.kind, &alert.subject)).collect();
    let raised = fired.iter().filter(|alert| !on_record.contains(&(alert.kind, &alert.subject))).map(|alert| {
        Event::AlertRaised { alert: alert.kind, subject: alert.subject.clone(), words: alert.words.clone() }
    });
    let cleared = on_record
        .difference(&firing)
        .map(|(kind, subject)| Event::AlertCleared { alert: *kind, subject: (*subject).clone() });
    raised.chain(cleared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;
    use crate::domain::Fleet;

    fn alert(kind: AlertKind, target: &str) -> Alert {
        Alert {
            kind,
            subject: AlertSubject::Target(target.into()),
            name: target.to_owned(),
            severity: Severity::of(kind),
            since: None,
            words: "words".to_owned(),
        }
    }

    /// Recording the events makes the record equal to what fires, and then nothing is left to record.
    #[test]
    fn each_beginning_and_each_end_is_recorded_once() {
        let at = Timestamp::UNIX_EPOCH;
        let mut fleet = Fleet::default();
        let mut tell = |fired: &[Alert]| {
            let events = transitions(fired, &fleet.alerts);
            for event in &events {
                fleet.fold(at, event).unwrap().unwrap();
            }
            assert_eq!(transitions(fired, &fleet.alerts), []);
            events.iter().map(|event| event.to_record().0).collect::<Vec<_>>()
        };
        let one = alert(AlertKind::KeyTooOld, "emea/p/1");
        let other = alert(AlertKind::KeyTooOld, "emea/p/2");
        let same_target = alert(AlertKind::RotationOverdue, "emea/p/2");
        assert_eq!(tell(&[one, other.clone()]), ["alert_raised", "alert_raised"]);
        assert_eq!(tell(&[other, same_target]), ["alert_raised", "alert_cleared"]);
        assert_eq!(tell(&[]), ["alert_cleared", "alert_cleared"]);
    }
}
