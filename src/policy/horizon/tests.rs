//! What holds of every plan with windows, calendars and freezes, now and to come.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::window::tests::{any_moment, any_windows};
use super::*;
use crate::domain::{Listing, Mechanism, Period, Role, Target};
use crate::policy::{Cron, FirstRotation, Freeze, Glob, ManagerRules, Policy, Rhythm, Spread, Windows, plan};

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

/// Five targets in three clusters, each first seen so many hours before `now`.
fn fleet(now: Timestamp, ages: &[(bool, i64)]) -> Fleet {
    let mut fleet = Fleet::default();
    for (n, (known, hours)) in ages.iter().enumerate() {
        let target = Target {
            manager: "emea".into(),
            project_id: "5f".into(),
            project: "billing".to_owned(),
            cluster_id: format!("{n:02}").as_str().into(),
            cluster: format!("cluster-{}", n / 2),
            replica_set: format!("rs-{n}"),
            role: [Role::ConfigServer, Role::Shard][n % 2],
            mechanism: Mechanism::BackupKey,
        };
        let seen = now - SignedDuration::from_hours(*hours);
        let mut record = TargetRecord::found(seen, target, Listing::Eligible);
        record.key = Some(crate::domain::KeyRecord {
            id: "key".into(),
            not_before: known.then_some(seen),
            first_seen: seen,
            last_seen: now,
        });
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
    ) {
        let freezes: Vec<_> = frozen
            .into_iter()
            .map(|(begins, hours)| freeze(now + SignedDuration::from_hours(begins), hours, "*/cluster-1/*"))
            .collect();
        let rules = rules(&policy, freezes);
        let fleet = fleet(now, &ages);
        let made = plan(now, &fleet, &rules, &BTreeSet::new());
        prop_assert_eq!(&made, &plan(now, &fleet, &rules, &BTreeSet::new()));
        for planned in &made.decisions {
            let record = &fleet.targets[&planned.target];
            let key = record.key.as_ref().unwrap();
            let exempt = policy.max_age_overrides_window && policy.alert_after.after(key.since()) <= now;
            let window = policy.windows.at_or_after(now);
            let enough = |window: Span| window.contains(now) && now + SignedDuration::from_secs(30) <= window.end;
            let open = exempt || window.is_none_or(enough);
            let held = rules.freezes.iter().any(|f| f.span.contains(now) && record.target.cluster == "cluster-1");
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
    ) {
        let frozen = freeze(now + SignedDuration::from_hours(frozen.0), frozen.1, "*");
        let rules = rules(&policy, vec![frozen.clone()]);
        let fleet = fleet(now, &ages);
        let until = now + SignedDuration::from_hours(100 * 24);
        let occasions = horizon(now, until, &fleet, &rules);
        prop_assert_eq!(&occasions, &horizon(now, until, &fleet, &rules));
        prop_assert!(occasions.is_sorted_by_key(|occasion| occasion.at));
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
