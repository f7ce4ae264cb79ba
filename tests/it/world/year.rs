//! A year in which nothing fails: with intervals, calendars, windows, zones whose clocks change, and freezes of both kinds, every
//! PUT leaves in the second for which it was planned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Actor, Caller, Entry, Event, Freeze, Glob, Period, Span, TargetId};
use rekeyd::policy::{Cron, Override, Policy, Rhythm, Rules, Spread, Windows, horizon};
use rekeyd::ports::{Clock, Journal};

use super::{Fate, World};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What came of a year.
#[derive(Debug)]
pub(crate) struct Year {
    pub(crate) planned: usize,
    /// So many of them waited, for a window or for the end of a freeze.
    pub(crate) waited: usize,
    /// The longest time between a plan's moment and the arrival of its PUT.
    #[allow(dead_code, reason = "only the example tells it")]
    pub(crate) latest: SignedDuration,
    /// Slots on record as held, by the name of the freeze.
    pub(crate) held: BTreeMap<String, usize>,
    pub(crate) missed: usize,
}

fn policy(name: &str) -> Policy {
    Policy { observe_every: Period::days(365), ..Policy::with_defaults(name.into()) }
}

fn windows(zone: &str, written: &[&str]) -> Windows {
    Windows::new(TimeZone::get(zone).unwrap(), written.iter().map(|window| window.parse().unwrap()).collect())
}

/// By the last figures of a cluster's number.
fn policies() -> [(&'static str, Policy); 4] {
    let monthly = Cron::new("30 2 1 * *", TimeZone::get("Europe/Paris").unwrap()).unwrap();
    let weekly = Cron::new("15 2 * * SUN", TimeZone::get("Australia/Lord_Howe").unwrap()).unwrap();
    [
        ("01", Policy { windows: windows("America/New_York", &["Sat,Sun 01:00-05:00"]), ..policy("weekends") }),
        (
            "2",
            Policy {
                rhythm: Rhythm::Cron(Box::new(monthly)),
                spread: Spread::Percent(20),
                windows: windows("Europe/Paris", &["22:00-04:00"]),
                ..policy("monthly")
            },
        ),
        ("3", Policy { rhythm: Rhythm::Cron(Box::new(weekly)), spread: Spread::Percent(0), ..policy("weekly") }),
        (
            "4",
            Policy {
                rhythm: Period::days(7).into(),
                windows: windows("Australia/Sydney", &["Sun 01:30-03:30", "Wed 23:00-01:00"]),
                ..policy("short")
            },
        ),
    ]
}

fn span(start: &str, end: &str) -> Span {
    Span { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

/// Lets the real daemon live through a year with so many targets, two to a cluster, and compares what it sent with what was
/// planned for it on the first day.
pub(crate) async fn compare(targets: usize) -> Result<Year, String> {
    let mut world = World::new(31, targets, policy("default"), targets, &[Fate::Apply]);
    world.discover_every = Period::days(30);
    world.far_end.truth().slow = 0;
    {
        let mut rules = world.rules.lock().unwrap();
        let mut changed = Rules::clone(&rules);
        let manager = changed.managers.get_mut("emea").unwrap();
        for (figures, policy) in policies() {
            let policy = Arc::new(policy);
            manager.overrides.extend(figures.chars().map(|figure| Override {
                project: Glob::new("*"),
                cluster: Glob::new(&format!("*{figure}")),
                policy: Arc::clone(&policy),
            }));
        }
        let (name, reason) = ("half-year".to_owned(), "CHG-1".to_owned());
        let span = span("2026-06-20T00:00:00Z", "2026-06-28T00:00:00Z");
        changed.freezes.push(Freeze { name, reason, span, scope: Glob::new("*") });
        *rules = Arc::new(changed);
    }
    let daemon = world.start();
    world.pass(MINUTE).await;
    // Ordered in advance, over the end of summer time in Europe and in America, of some.
    let Span { start, end } = span("2026-10-20T06:00:00Z", "2026-11-03T18:30:00Z");
    let by = Caller { uid: 0, gid: 0, pid: 7, user: None, login: None };
    let (name, scope, reason) = ("autumn".to_owned(), "emea/*/cluster-*0?/*".to_owned(), "CHG-2".to_owned());
    let event = Event::FreezeSet { name, scope, start, end, reason, by };
    let entry = Entry { at: world.clock.now(), actor: Actor::Operator(0), event };
    world.journal.record(vec![entry]).await.unwrap();

    let now = world.clock.now();
    let until = now + SignedDuration::try_from(YEAR).unwrap();
    let rules = Arc::clone(&world.rules.lock().unwrap());
    let planned = horizon(now, until, &world.journal.fleet(), &rules).unwrap();
    world.pass(YEAR + MINUTE).await;
    daemon.stop().await;

    let mut sent: BTreeMap<(TargetId, u64), Timestamp> = BTreeMap::new();
    for put in &world.far_end.truth().puts {
        let at = world.clock.true_time(put.arrived);
        if sent.insert((put.target.clone(), put.rotation.slot), at).is_some() {
            return Err(format!("two PUTs for slot {} of {}", put.rotation.slot, put.target));
        }
    }
    let mut latest = SignedDuration::ZERO;
    for occasion in &planned {
        let at = sent.remove(&(occasion.target.clone(), occasion.rotation.slot));
        let late = at.ok_or_else(|| format!("never sent: {occasion:?}"))?.duration_since(occasion.at);
        if late < SignedDuration::ZERO || late >= SignedDuration::from_secs(1) {
            return Err(format!("{late} late: {occasion:?}"));
        }
        latest = latest.max(late);
    }
    sent.retain(|_, at| *at < until);
    if let Some(((target, slot), at)) = sent.into_iter().next() {
        return Err(format!("not planned: slot {slot} of {target}, sent at {at}"));
    }
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for entry in world.journal.entries() {
        if let Event::SlotHeld { freeze, .. } = entry.event {
            *held.entry(freeze).or_default() += 1;
        }
    }
    Ok(Year {
        planned: planned.len(),
        waited: planned.iter().filter(|occasion| occasion.waited_for.is_some()).count(),
        latest,
        held,
        missed: world.journal.count(|event| matches!(event, Event::SlotMissed { .. })),
    })
}
