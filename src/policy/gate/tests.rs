//! What holds of orders: rotations that are asked for, pauses and freezes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::domain::sample::{target, tell};
use crate::domain::{Caller, Decision, Event, Fleet, Listing, RotationId, WaitReason};
use crate::policy::{ManagerRules, Policy, Rules, Windows, begins_at, passed, plan};

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
        tell(&mut fleet, time(at), event);
    }
    fleet
}

fn rules(windows: &[&str]) -> Rules {
    let windows = windows.iter().map(|window| window.parse().unwrap()).collect();
    let windows = Windows::new(jiff::tz::TimeZone::UTC, windows);
    let policy = Arc::new(Policy { windows, ..Policy::with_defaults("default".into()) });
    Rules { managers: BTreeMap::from([("emea".into(), ManagerRules::new(1, policy))]), ..Rules::default() }
}

fn decision(fleet: &Fleet, now: &str) -> Decision {
    plan(time(now), fleet, &rules(&[]), &BTreeSet::new()).decisions.remove(0).decision
}

/// What is put on record then.
fn told(fleet: &Fleet, now: &str, windows: &[&str]) -> Vec<Event> {
    let rules = rules(windows);
    let made = plan(time(now), fleet, &rules, &BTreeSet::new());
    passed(time(now), time("01T00:00"), fleet, &rules, &made)
}

fn requested(overrides: bool) -> Event {
    Event::RotationRequested { target: target().id(), reason: "CHG-1".to_owned(), by: caller(), overrides }
}

fn frozen(scope: &str, start: &str, end: &str) -> Event {
    let (name, scope, reason) = ("audit".to_owned(), scope.to_owned(), "CHG-3".to_owned());
    Event::FreezeSet { name, scope, start: time(start), end: time(end), reason, by: caller() }
}

fn thawed() -> Event {
    Event::FreezeEnded { name: "audit".to_owned(), reason: Some("CHG-4".to_owned()), by: Some(caller()) }
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
    let emergency = after(&[("02T00:00", requested(false)), ("02T00:00", paused("*")), ("02T00:01", requested(true))]);
    assert!(matches!(decision(&emergency, "02T00:01"), Decision::Rotate { .. }));
    let over = Event::PauseEnded { scope: "*".to_owned(), reason: None, by: None };
    let over = after(&[("02T00:00", requested(false)), ("02T00:00", paused("*")), ("02T00:01", over)]);
    assert!(matches!(decision(&over, "02T00:01"), Decision::Rotate { .. }));
}

/// By a clock that leapt far ahead nothing is begun for an hour, but what a person orders in spite of everything; what was sent
/// is settled. A step that time servers make, and one back, hold nothing.
#[test]
fn a_clock_that_leapt_ahead_makes_nothing_due_for_an_hour() {
    let stepped = |by_s| Event::ClockStepped { by_s };
    let held = after(&[("02T00:00", requested(false)), ("02T00:00", stepped(901))]);
    let Decision::Wait { until, reason: WaitReason::ClockDoubted { by_s: 901 }, .. } = decision(&held, "02T00:00")
    else {
        panic!("it is not held: {:?}", decision(&held, "02T00:00"))
    };
    assert_eq!(until, Some(time("02T01:00")));
    let free = |fleet: &Fleet, now| matches!(decision(fleet, now), Decision::Rotate { .. });
    assert!(free(&held, "02T01:00"));
    assert!(free(&after(&[("02T00:00", requested(true)), ("02T00:00", stepped(901))]), "02T00:00"));
    for harmless in [900, -100_000] {
        assert!(free(&after(&[("02T00:00", requested(false)), ("02T00:00", stepped(harmless))]), "02T00:00"));
    }
    let corrected = [("02T00:00", requested(false)), ("02T00:30", stepped(901)), ("02T00:15", stepped(-901))];
    assert!(free(&after(&corrected), "02T00:15"));
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

/// An ordered freeze holds what it covers, from its beginning to its end, and no emergency.
#[test]
fn an_ordered_freeze_holds_what_it_covers_while_it_lasts() {
    let (due, freeze) = (("02T00:00", requested(false)), frozen("emea/billing/*", "02T06:00", "03T00:00"));
    let fleet = after(&[due.clone(), ("02T00:00", freeze.clone())]);
    assert!(matches!(decision(&fleet, "02T05:59"), Decision::Rotate { .. }));
    let Decision::Wait { until, reason: WaitReason::Frozen { freeze: name, .. }, .. } = decision(&fleet, "02T06:00")
    else {
        panic!("it is not held: {:?}", decision(&fleet, "02T06:00"))
    };
    assert_eq!((until, name.as_str()), (Some(time("03T00:00")), "audit"));
    assert!(matches!(decision(&fleet, "03T00:00"), Decision::Rotate { .. }));
    let other = after(&[due.clone(), ("02T00:00", frozen("emea/other/*", "02T06:00", "03T00:00"))]);
    assert!(matches!(decision(&other, "02T07:00"), Decision::Rotate { .. }));
    let emergency = after(&[("02T00:00", freeze), ("02T07:00", requested(true))]);
    assert!(matches!(decision(&emergency, "02T07:00"), Decision::Rotate { .. }));
}

/// Of a pause and a freeze that overlap, the one that lasts longer is named: until then nothing will happen.
#[test]
fn what_holds_the_longest_is_named() {
    for (end, frozen_longer) in [("02T23:00", false), ("03T01:00", true)] {
        let orders = [requested(false), paused("*"), frozen("*", "02T00:00", end)];
        let decided = decision(&after(&orders.map(|order| ("02T00:00", order))), "02T12:00");
        let Decision::Wait { reason, .. } = decided else { panic!("{decided:?}") };
        assert_eq!(matches!(reason, WaitReason::Frozen { .. }), frozen_longer, "{reason}");
    }
}

/// A freeze that is cut short has held what fell due in it until then, and its windows were not missed; one that had not begun
/// leaves nothing behind.
#[test]
fn a_freeze_cut_short_was_one_all_the_same() {
    let (due, freeze) = (("01T12:00", requested(false)), ("01T12:00", frozen("*", "02T00:00", "05T00:00")));
    let night = ["00:00-01:00"];
    let cut = after(&[due.clone(), freeze.clone(), ("02T12:00", thawed())]);
    assert!(matches!(decision(&cut, "02T12:00"), Decision::Rotate { .. }));
    let events = told(&cut, "02T13:00", &night);
    let [Event::SlotHeld { freeze: name, until, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((name.as_str(), *until), ("audit", time("02T12:00")));
    // Told in time, it is told once more with its true end; and a freeze that follows, though it ends before the one that was
    // cut short would have, is told too.
    let standing = after(&[due.clone(), freeze.clone()]);
    let [held @ Event::SlotHeld { .. }] = &told(&standing, "02T06:00", &night)[..] else { panic!("not held") };
    let mut events = vec![due.clone(), freeze.clone(), ("02T06:00", held.clone()), ("02T12:00", thawed())];
    let [cut @ Event::SlotHeld { until, .. }] = &told(&after(&events), "02T13:00", &night)[..] else {
        panic!("not told")
    };
    assert_eq!(*until, time("02T12:00"));
    events.push(("02T13:00", cut.clone()));
    assert_eq!(told(&after(&events), "02T13:01", &night), []);
    let Event::FreezeSet { scope, reason, by, .. } = freeze.1.clone() else { panic!("a freeze") };
    let (start, end) = (time("02T14:00"), time("04T00:00"));
    events.push(("02T14:00", Event::FreezeSet { name: "second".to_owned(), scope, start, end, reason, by }));
    let [Event::SlotHeld { freeze: name, .. }] = &told(&after(&events), "02T15:00", &night)[..] else {
        panic!("silence")
    };
    assert_eq!(name, "second");
    let taken_back = after(&[due, freeze, ("01T18:00", thawed())]);
    assert!(taken_back.freezes.is_empty());
    assert!(matches!(&told(&taken_back, "02T13:00", &night)[..], [Event::SlotMissed { .. }]));
}

/// A name is one freeze's: whoever is told that it was set can rely on it, and what it held stays held.
#[test]
fn a_name_is_given_to_one_freeze() {
    let standing = after(&[("01T12:00", frozen("*", "02T00:00", "05T00:00"))]);
    let again = frozen("apac/*", "02T00:00", "06T00:00");
    assert!(standing.consequence(time("01T12:00"), &again).is_err());
    let over = after(&[("01T12:00", frozen("*", "02T00:00", "05T00:00")), ("03T00:00", thawed())]);
    assert!(over.consequence(time("03T00:00"), &again).is_err());
    let taken_back = after(&[("01T12:00", frozen("*", "02T00:00", "05T00:00")), ("01T18:00", thawed())]);
    assert!(taken_back.consequence(time("01T18:00"), &again).is_ok_and(|change| change.is_some()));
    // Ended twice, it is over once.
    assert!(over.consequence(time("03T00:00"), &thawed()).is_ok_and(|change| change.is_none()));
    let backwards = frozen("*", "02T00:00", "02T00:00");
    assert!(after(&[]).consequence(time("01T12:00"), &backwards).is_err());
}

/// A window that goes by in a pause is missed because of the pause.
#[test]
fn a_miss_in_a_pause_names_it() {
    let fleet = after(&[("01T12:00", requested(false)), ("01T12:00", paused("emea/*"))]);
    let events = told(&fleet, "02T12:00", &["00:00-01:00"]);
    let [Event::SlotMissed { why, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(why, "paused with emea/* (CHG-2)");
}

/// From when on a rotation is overdue: a freeze was to be foreseen, a pause silences nobody.
#[test]
fn what_is_overdue_counts_from_the_end_of_a_freeze_and_not_of_a_pause() {
    let begins = |order: Event| {
        let fleet = after(&[("02T00:00", requested(false)), ("02T00:00", order)]);
        let rules = rules(&[]);
        let record = fleet.targets.first_key_value().unwrap().1;
        begins_at(record, rules.policy_of(&record.target).unwrap(), &fleet, &rules)
    };
    assert_eq!(begins(frozen("*", "02T00:00", "03T00:00")), Some(time("03T00:00")));
    assert_eq!(begins(paused("*")), Some(time("02T00:00")));
}

/// An attempt begins only while a request still fits into its window: whatever it sends has left, or is given up, at its end.
#[test]
fn an_attempt_begins_only_while_a_request_fits_into_its_window() {
    let (fleet, rules) = (after(&[("01T12:00", requested(false))]), rules(&["00:00-01:00"]));
    let decided = |second| {
        let at = time("02T00:59") + jiff::SignedDuration::from_secs(second);
        plan(at, &fleet, &rules, &BTreeSet::new()).decisions.remove(0).decision
    };
    assert!(matches!(decided(30), Decision::Rotate { .. }));
    let Decision::Wait { until, reason: WaitReason::OutsideWindow { .. }, .. } = decided(31) else {
        panic!("it would be sent after its window: {:?}", decided(31))
    };
    assert_eq!(until, Some(time("03T00:00")));
    // An emergency waits for no window.
    let emergency = after(&[("01T12:00", requested(true))]);
    let decided = plan(time("02T12:00"), &emergency, &rules, &BTreeSet::new()).decisions.remove(0).decision;
    assert!(matches!(decided, Decision::Rotate { .. }), "{decided:?}");
}
