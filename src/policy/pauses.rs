//! Which pause holds a target up.

use jiff::Timestamp;
use wildmatch::WildMatch;

use super::gate::Shut;
use crate::domain::{Fleet, TargetRecord, WaitReason};

/// What keeps the target waiting: the pause that holds it up the longest. An order that overrides pauses is held by none.
pub(super) fn paused(fleet: &Fleet, now: Timestamp, record: &TargetRecord) -> Option<Shut> {
    if fleet.pauses.is_empty() || record.overrides() {
        return None;
    }
    let name = record.target.name();
    let standing = fleet.pauses.iter().filter(|(_, pause)| now < pause.until);
    let holding = standing.filter(|(scope, _)| WildMatch::new(scope).matches(name.as_str()));
    let (scope, pause) = holding.max_by_key(|(_, pause)| pause.until)?;
    let reason = WaitReason::Paused { scope: scope.clone(), reason: pause.reason.clone() };
    Some(Shut { until: Some(pause.until), reason })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Caller, Decision, Event, Fleet, Listing, Mechanism, Role, RotationId, Target, WaitReason};
    use crate::policy::{ManagerRules, Policy, Rules, plan};

    fn time(text: &str) -> Timestamp {
        format!("2026-05-{text}:00Z").parse().unwrap()
    }

    fn caller() -> Caller {
        Caller { uid: 1000, gid: 1000, pid: 7, user: None, login: None }
    }

    /// One target whose key is fresh, after these events; each with its time.
    fn after(events: &[(&str, Event)]) -> Fleet {
        let mut fleet = Fleet::default();
        let found = Event::TargetFound { description: target(), listing: Listing::Eligible };
        let seen = Event::KeySeen { target: target().id(), key: "k1".into(), looked_at: None };
        for (at, event) in [("01T00:00", found), ("01T00:00", seen)].iter().chain(events) {
            let change = fleet.consequence(time(at), event).unwrap().unwrap();
            fleet.adopt(change);
        }
        fleet
    }

    fn target() -> Target {
        Target {
            manager: "emea".into(),
            project_id: "5f".into(),
            project: "billing".to_owned(),
            cluster_id: "6a".into(),
            cluster: "ledger".to_owned(),
            replica_set: "ledger".to_owned(),
            role: Role::ReplicaSet,
            mechanism: Mechanism::BackupKey,
        }
    }

    fn decision(fleet: &Fleet, now: &str) -> Decision {
        let policy = Arc::new(Policy::with_defaults("default".into()));
        let manager = ManagerRules {
            max_concurrent: 1,
            request_timeout: crate::domain::Period::seconds(30),
            policy,
            projects: Vec::new(),
            overrides: Vec::new(),
        };
        let rules = Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() };
        plan(time(now), fleet, &rules, &BTreeSet::new()).decisions.remove(0).decision
    }

    fn requested(overrides: bool) -> Event {
        Event::RotationRequested { target: target().id(), reason: "CHG-1".to_owned(), by: caller(), overrides }
    }

    fn paused(scope: &str) -> Event {
        let until = time("03T00:00");
        Event::PauseSet { scope: scope.to_owned(), until, reason: "CHG-2".to_owned(), by: caller() }
    }

    /// An order makes the slot due now, once: it is over with the slot.
    #[test]
    fn an_order_is_due_now_and_over_with_its_slot() {
        assert!(matches!(decision(&after(&[]), "02T00:00"), Decision::Wait { reason: WaitReason::NotDue, .. }));
        let rotation = RotationId { slot: 1, attempt: 1 };
        let due_at = time("02T00:00");
        let twice = after(&[("02T00:00", requested(false)), ("02T00:01", requested(false))]);
        assert_eq!(decision(&twice, "02T00:01"), Decision::Rotate { rotation, due_at });
        // Also by a clock that was set back since.
        assert_eq!(decision(&twice, "01T12:00"), Decision::Rotate { rotation, due_at });
        let done = Event::RotationDone {
            target: target().id(),
            rotation,
            due_at,
            how: crate::domain::How::Rotated,
            key_before: "k1".into(),
            key_after: "k2".into(),
            last_seen: due_at,
            looked_at: None,
        };
        let done = after(&[("02T00:00", requested(false)), ("02T00:01", requested(false)), ("02T00:02", done)]);
        assert!(matches!(decision(&done, "02T00:03"), Decision::Wait { reason: WaitReason::NotDue, .. }));
    }

    /// A pause holds up what it names, until it ends by itself; only an order that says so overrides it.
    #[test]
    fn a_pause_holds_up_what_it_names_until_its_end() {
        let held = after(&[("02T00:00", requested(false)), ("02T00:00", paused("emea/billing/*"))]);
        let Decision::Wait { until, reason: WaitReason::Paused { scope, .. }, .. } = decision(&held, "02T00:01") else {
            panic!("it is not held: {:?}", decision(&held, "02T00:01"))
        };
        assert_eq!((until, scope.as_str()), (Some(time("03T00:00")), "emea/billing/*"));
        assert!(matches!(decision(&held, "03T00:00"), Decision::Rotate { .. }));
        let other = after(&[("02T00:00", requested(false)), ("02T00:00", paused("apac/*"))]);
        assert!(matches!(decision(&other, "02T00:01"), Decision::Rotate { .. }));
        let emergency =
            after(&[("02T00:00", requested(false)), ("02T00:00", paused("*")), ("02T00:01", requested(true))]);
        assert!(matches!(decision(&emergency, "02T00:01"), Decision::Rotate { .. }));
        let over = Event::PauseEnded { scope: "*".to_owned(), reason: None, by: None };
        let over = after(&[("02T00:00", requested(false)), ("02T00:00", paused("*")), ("02T00:01", over)]);
        assert!(matches!(decision(&over, "02T00:01"), Decision::Rotate { .. }));
    }

    /// Under a pause nothing new leaves, and nothing that left is left unsettled.
    #[test]
    fn a_pause_stops_what_was_not_sent_and_settles_what_was() {
        let rotation = RotationId { slot: 1, attempt: 1 };
        let (due_at, looked_at) = (time("02T00:00"), time("02T00:00"));
        let intended =
            Event::RotationIntended { target: target().id(), rotation, due_at, key_before: "k1".into(), looked_at };
        let sending = Event::RotationSending { target: target().id(), rotation, looked_at: None };
        let unsent = after(&[("02T00:00", intended.clone()), ("02T00:00", paused("*"))]);
        assert!(matches!(decision(&unsent, "02T00:01"), Decision::Withdraw { .. }));
        assert_eq!(decision(&unsent, "03T00:00"), Decision::Resume { rotation });
        let sent = after(&[("02T00:00", intended), ("02T00:00", sending), ("02T00:00", paused("*"))]);
        assert_eq!(decision(&sent, "02T00:01"), Decision::Resume { rotation });
    }
}
