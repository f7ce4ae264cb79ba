//! What holds of every plan with windows, calendars and freezes, now and to come.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::window::tests::{any_moment, any_windows};
use super::*;
use crate::domain::sample;
use crate::domain::{
    Caller, Freeze, Glob, KeyRecord, Listing, ManagerRecord, OrderedFreeze, Pause, Period, Role, Target, Trouble,
};
use crate::policy::{Cron, FirstRotation, ManagerRules, Policy, Rhythm, Spread, Windows, plan};

const CRONS: [&str; 4] = ["0 2 1 * *", "30 2 * * SUN", "0 0 0 L * *", "15 3 1,15 * *"];

fn any_policy() -> impl Strategy<Value = Policy> {
    let rhythm = prop_oneof![
        (1_u16..60).prop_map(|days| Rhythm::Every(Period::days(days))),
        (prop::sample::select(&CRONS[..]), prop::sample::select(&["UTC", "Europe/Paris", "America/Santiago"][..]))
            .prop_map(|(text, zone)| Rhythm::Cron(Box::new(Cron::new(text, TimeZone::get(zone).unwrap()).unwrap()))),
    ];
    let windows = prop_oneof![Just(Windows::any()), any_windows()];
    (rhythm, 0_u8..90, windows, any::<bool>(), any::<bool>()).prop_map(|(rhythm, spread, windows, first, overrides)| {
        Policy {
            rhythm,
            spread: Spread::Percent(spread),
            windows,
            max_age_overrides_window: overrides,
            first_rotation: if first { FirstRotation::Now } else { FirstRotation::Spread },
            ..Policy::with_defaults("default".into())
        }
    })
}

fn rules(policy: &Policy, freezes: Vec<Freeze>) -> Rules {
    let manager = ManagerRules::new(2, Arc::new(policy.clone()));
    Rules { managers: BTreeMap::from([("emea".into(), manager)]), freezes, ..Rules::default() }
}

fn freeze(start: Timestamp, hours: i64, scope: &str) -> Freeze {
    let span = Span { start, end: start + SignedDuration::from_hours(hours) };
    Freeze { name: "year-end".to_owned(), reason: "CHG-1".to_owned(), span, scope: Glob::new(scope) }
}

/// In the configuration or by an operator's order: it makes no difference.
fn set(rules: &mut Rules, fleet: &mut Fleet, freeze: Freeze, by_order: bool) {
    if by_order {
        let by = Caller { uid: 0, gid: 0, pid: 7, user: None, login: None };
        let ordered_at = freeze.span.start;
        fleet.freezes.insert(freeze.name.clone(), OrderedFreeze { freeze, ordered_at, by, ended: false });
    } else {
        rules.freezes.push(freeze);
    }
}

/// Five targets in three clusters, each first seen so many hours before `now`.
fn fleet(now: Timestamp, ages: &[(bool, i64)]) -> Fleet {
    let mut fleet = Fleet::default();
    for (n, (known, hours)) in ages.iter().enumerate() {
        let target = Target {
            cluster_id: format!("{n:02}").as_str().into(),
            cluster: format!("cluster-{}", n / 2),
            replica_set: format!("rs-{n}"),
            role: [Role::ConfigServer, Role::Shard][n % 2],
            ..sample::target()
        };
        let seen = now - SignedDuration::from_hours(*hours);
        let mut record = TargetRecord::found(seen, target, Listing::Eligible);
        record.key = Some(KeyRecord { not_before: known.then_some(seen), last_seen: now, ..sample::key(seen) });
        fleet.targets.insert(record.target.id(), Arc::new(record));
    }
    fleet
}

fn any_ages() -> impl Strategy<Value = Vec<(bool, i64)>> {
    prop::collection::vec((any::<bool>(), 0_i64..3000), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Nothing begins outside a window or in a freeze, and nothing that may begin is kept waiting by either.
    #[test]
    fn a_decision_keeps_to_windows_and_freezes(
        policy in any_policy(),
        now in any_moment(),
        ages in any_ages(),
        frozen in prop::option::of((-100_i64..100, 1_i64..200)),
        by_order in any::<bool>(),
    ) {
        let mut fleet = fleet(now, &ages);
        let mut rules = rules(&policy, Vec::new());
        if let Some((begins, hours)) = frozen {
            let frozen = freeze(now + SignedDuration::from_hours(begins), hours, "*/cluster-1/*");
            set(&mut rules, &mut fleet, frozen, by_order);
        }
        let made = plan(now, &fleet, &rules, &BTreeSet::new());
        prop_assert_eq!(&made, &plan(now, &fleet, &rules, &BTreeSet::new()));
        for planned in &made.decisions {
            let record = &fleet.targets[&planned.target];
            let key = record.key.as_ref().unwrap();
            let exempt = policy.max_age_overrides_window && policy.alert_after.after(key.since()) <= now;
            let window = policy.windows.at_or_after(now);
            let enough = |window: Span| window.contains(now) && now + SignedDuration::from_secs(30) <= window.end;
            let open = exempt || window.is_none_or(enough);
            let holds = frozen.is_some_and(|(begins, hours)| begins <= 0 && begins + hours > 0);
            let held = holds && record.target.cluster == "cluster-1";
            match &planned.decision {
                Decision::Rotate { .. } => prop_assert!(open && !held),
                Decision::Wait { reason: WaitReason::OutsideWindow { next }, until, .. } => {
                    prop_assert!(!open && !held);
                    prop_assert!(next.is_some_and(|next| next.start > now) && until.is_some_and(|until| until > now));
                }
                Decision::Wait { reason: WaitReason::Frozen { end, .. }, until, .. } => {
                    prop_assert!(held && *until == Some(*end) && *end > now);
                }
                Decision::Wait { .. }
                | Decision::Resume { .. }
                | Decision::Withdraw { .. }
                | Decision::Quarantined { .. }
                | Decision::NotManaged { .. } => {}
            }
        }
    }

    /// The slots of half a year: the same each time, in windows, outside of freezes, never early, and late by no more than spread
    /// and the wait for a window.
    #[test]
    fn what_is_to_come_keeps_to_every_rule(
        policy in any_policy(),
        now in any_moment(),
        ages in any_ages(),
        frozen in (0_i64..4000, 1_i64..700),
        by_order in any::<bool>(),
    ) {
        let frozen = freeze(now + SignedDuration::from_hours(frozen.0), frozen.1, "*");
        let mut fleet = fleet(now, &ages);
        let mut rules = rules(&policy, Vec::new());
        set(&mut rules, &mut fleet, frozen.clone(), by_order);
        let until = now + SignedDuration::from_hours(100 * 24);
        let occasions = horizon(now, until, &fleet, &rules).unwrap();
        prop_assert_eq!(&occasions, &horizon(now, until, &fleet, &rules).unwrap());
        prop_assert!(occasions.is_sorted_by_key(|occasion| occasion.at));
        // What is said of a target alone is what is planned for all.
        for (id, record) in &fleet.targets {
            let first = occasions.iter().find(|occasion| occasion.target == *id).map(|occasion| occasion.at);
            prop_assert_eq!(next_at(now, record, &fleet, &rules).filter(|at| *at < until), first);
        }
        let mut last: BTreeMap<&TargetId, &Occasion> = BTreeMap::new();
        for occasion in &occasions {
            let known = fleet.targets[&occasion.target].key.as_ref().unwrap();
            let since = last.get(&occasion.target).map_or(known.since(), |last| last.at);
            let exempt = policy.max_age_overrides_window && policy.alert_after.after(since) <= occasion.at;
            if policy.windows.restrict() && !exempt {
                let window = policy.windows.at_or_after(occasion.at).unwrap();
                prop_assert!(window.contains(occasion.at) && occasion.window == Some(window));
            }
            prop_assert!(!frozen.span.contains(occasion.at) && occasion.at >= now && occasion.at >= occasion.due_at);
            // Weekly windows come within a week, a window that clocks skip within two; those too short for a request are none.
            let patience = SignedDuration::from_hours(15 * 24 + frozen.span.end.duration_since(frozen.span.start).as_hours());
            prop_assert!(occasion.at <= occasion.due_at.max(now) + patience);
            if let Some(last) = last.insert(&occasion.target, occasion) {
                let wait = occasion.due_at.duration_since(last.at).as_secs();
                let spread = policy.spread.as_secs(policy.rhythm.shortest());
                let longest = policy.rhythm.longest().as_secs() + spread;
                prop_assert!(u64::try_from(wait).unwrap() <= longest);
                if let Rhythm::Every(every) = policy.rhythm {
                    prop_assert!(u64::try_from(wait).unwrap() >= every.as_secs());
                }
                prop_assert_eq!(occasion.rotation.slot, last.rotation.slot + 1);
            }
        }
    }
}

/// What the calendar names falls due there, whatever was missed before, once.
#[test]
fn a_calendar_catches_up_once() {
    let cron = Cron::new("0 2 1 * *", TimeZone::get("Europe/Paris").unwrap()).unwrap();
    let policy = Policy {
        rhythm: Rhythm::Cron(Box::new(cron)),
        spread: Spread::Percent(0),
        ..Policy::with_defaults("default".into())
    };
    let now: Timestamp = "2026-06-10T12:00:00Z".parse().unwrap();
    let fleet = fleet(now, &[(true, 100 * 24)]);
    let until = now + SignedDuration::from_hours(60 * 24);
    let shown: Vec<_> = horizon(now, until, &fleet, &rules(&policy, Vec::new()))
        .unwrap()
        .into_iter()
        .map(|occasion| (occasion.due_at.to_string(), occasion.at.to_string()))
        .collect();
    let pair = |due: &str, at: &str| (due.to_owned(), at.to_owned());
    assert_eq!(
        shown,
        [
            pair("2026-04-01T00:00:00Z", "2026-06-10T12:00:00Z"),
            pair("2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z"),
            pair("2026-08-01T00:00:00Z", "2026-08-01T00:00:00Z"),
        ]
    );
}

/// A plan is whole or there is none, and then it says why and what to do.
#[test]
fn more_slots_than_can_be_planned_are_refused_and_never_cut() {
    let now: Timestamp = "2026-06-10T12:00:00Z".parse().unwrap();
    let every_second = Policy { rhythm: Period::seconds(1).into(), ..Policy::with_defaults("default".into()) };
    let (rules, fleet) = (rules(&every_second, Vec::new()), fleet(now, &[(true, 1)]));
    let ahead = |seconds| at_most(100, now, now + SignedDuration::from_secs(seconds), &fleet, &rules);
    // One is overdue, then one a second.
    assert_eq!(ahead(100).unwrap().len(), 100);
    let refused = ahead(101).unwrap_err();
    assert_eq!(refused, TooMany { limit: 100, before: now + SignedDuration::from_secs(100) });
    assert!(refused.to_string().contains("ask for a shorter time"), "{refused}");
}

/// What is shown as the next time: after retries and pauses, not before an outage is over, and none if only an operator can tell.
#[test]
fn the_next_time_waits_for_whatever_has_an_end() {
    let now: Timestamp = "2026-06-10T12:00:00Z".parse().unwrap();
    let hours = |hours| now + SignedDuration::from_hours(hours);
    let rules = rules(&Policy::with_defaults("default".into()), Vec::new());
    let fleet = fleet(now, &[(true, 40 * 24)]);
    let with = |change: &dyn Fn(&mut Fleet, &mut TargetRecord)| {
        let mut fleet = fleet.clone();
        let mut record = TargetRecord::clone(fleet.targets.first_key_value().unwrap().1);
        change(&mut fleet, &mut record);
        next_at(now, &record, &fleet, &rules)
    };
    let failure = sample::failure(crate::domain::Reason::ServerError);
    let by = Caller { uid: 0, gid: 0, pid: 7, user: None, login: None };
    let pause = Pause { since: now, until: hours(5), reason: "CHG-1".to_owned(), by };
    let outage =
        || ManagerRecord { outage: Some(Trouble { since: now, failure: failure.clone() }), ..ManagerRecord::default() };
    assert_eq!(with(&|_, _| {}), Some(now));
    assert_eq!(with(&|_, record| record.setback = Some((failure.clone().into(), hours(1)))), Some(hours(1)));
    assert_eq!(with(&|fleet, _| drop(fleet.pauses.insert("*".to_owned(), pause.clone()))), Some(hours(5)));
    assert_eq!(with(&|fleet, _| drop(fleet.managers.insert("emea".into(), outage()))), None);
    let paused_outage = with(&|fleet, _| {
        fleet.pauses.insert("*".to_owned(), pause.clone());
        fleet.managers.insert("emea".into(), outage());
    });
    assert_eq!(paused_outage, Some(hours(5)));
    assert_eq!(with(&|_, record| record.key = None), None);
}

/// A slot is said to have waited for what kept it waiting: a freeze that ends before any window opens did not.
#[test]
fn a_freeze_that_cost_no_window_is_not_blamed() {
    let windows = Windows::new(TimeZone::UTC, vec!["Sat 01:00-05:00".parse().unwrap()]);
    let policy = Policy { windows, ..Policy::with_defaults("default".into()) };
    let tuesday: Timestamp = "2026-06-09T12:00:00Z".parse().unwrap();
    let fleet = fleet(tuesday, &[(true, 40 * 24)]);
    for (hours, blamed) in [(24, false), (6 * 24, true)] {
        let rules = rules(&policy, vec![freeze(tuesday, hours, "*")]);
        let first = horizon(tuesday, tuesday + SignedDuration::from_hours(500), &fleet, &rules).unwrap().remove(0);
        let freeze_is_named = matches!(first.waited_for, Some(WaitReason::Frozen { .. }));
        assert_eq!(freeze_is_named, blamed, "{first:?}");
    }
}
