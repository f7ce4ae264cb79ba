//! What planning costs: `cargo bench`. The README's figure comes from here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and prints, and takes the real time"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Fleet, Glob, KeyOrigin, KeyRecord, Listing, Mechanism, Role, Target, TargetRecord};
use rekeyd::policy::{Cron, ManagerRules, Override, Policy, Rhythm, Rules, Windows, horizon, passed, plan};

const TARGETS: usize = 100_000;
const TIMES: usize = 10;

fn main() {
    let now: Timestamp = "2026-05-13T12:00:00Z".parse().unwrap();
    let rules = rules();
    // Keys of up to 60 days with an interval of 30: half of them are due.
    let fleet = fleet(TARGETS, now);
    for (what, at) in [("outside of windows", now), ("in a window", "2026-05-16T02:00:00Z".parse().unwrap())] {
        let mut made = plan(at, &fleet, &rules, &BTreeSet::new());
        measure(&format!("plan {TARGETS} targets, {what}"), || made = plan(at, &fleet, &rules, &BTreeSet::new()));
        measure(&format!("find what {TARGETS} targets missed, {what}"), || {
            assert!(!passed(at, now, &fleet, &rules, &made).is_empty());
        });
    }
    let until = now + SignedDuration::from_hours(400 * 24);
    let small: Fleet = self::fleet(1_000, now);
    let mut slots = 0;
    measure("400 days of 1000 targets", || slots = horizon(now, until, &small, &rules).unwrap().len());
    println!("{slots} slots");
}

/// Prints the median of several runs.
fn measure(what: &str, mut work: impl FnMut()) {
    let mut times: Vec<_> = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: {:.1} ms", times[TIMES / 2].as_secs_f64() * 1000.0);
}

fn rules() -> Rules {
    let paris = || TimeZone::get("Europe/Paris").unwrap();
    let weekends = Windows::new(paris(), vec!["Sat,Sun 01:00-05:00".parse().unwrap()]);
    let policy = Arc::new(Policy { windows: weekends, ..Policy::with_defaults("default".into()) });
    let cron = Rhythm::Cron(Box::new(Cron::new("30 2 1 * *", paris()).unwrap()));
    let monthly = Arc::new(Policy { rhythm: cron, ..Policy::with_defaults("monthly".into()) });
    let mut manager = ManagerRules::new(40, policy);
    manager.overrides.push(Override { project: Glob::new("*"), cluster: Glob::new("cluster-1*"), policy: monthly });
    Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() }
}

fn fleet(targets: usize, now: Timestamp) -> Fleet {
    let mut fleet = Fleet::default();
    for number in 0..targets {
        let target = Target {
            manager: "emea".into(),
            project_id: format!("{:024x}", number / 100).as_str().into(),
            project: format!("project-{}", number / 100),
            cluster_id: format!("{number:024x}").as_str().into(),
            cluster: format!("cluster-{}", number / 4),
            replica_set: format!("rs-{number}"),
            role: if number % 4 == 3 { Role::ConfigServer } else { Role::Shard },
            mechanism: Mechanism::BackupKey,
        };
        let since = now - SignedDuration::from_mins((number * 7919 % (60 * 24 * 60)) as i64);
        let mut record = TargetRecord::found(since, target, Listing::Eligible);
        let came = KeyOrigin::Rotated;
        record.key =
            Some(KeyRecord { id: "key".into(), not_before: Some(since), first_seen: since, last_seen: now, came });
        fleet.targets.insert(record.target.id(), Arc::new(record));
    }
    fleet
}
