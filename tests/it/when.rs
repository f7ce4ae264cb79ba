//! Windows, freezes and plans in virtual time: what was planned happens, and what went by unused is on record.

mod commands;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Actor, Caller, Entry, Event, Freeze, Glob, Period, Span, TargetId};
use rekeyd::policy::{FirstRotation, MemberOrder, Policy, Rules, Windows, due_at};
use rekeyd::ports::{Clock, Journal};

use crate::world::{Fate, World, year};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn policy(name: &str) -> Policy {
    Policy { observe_every: Period::days(365), ..Policy::with_defaults(name.into()) }
}

fn windows(zone: &str, written: &[&str]) -> Windows {
    Windows::new(TimeZone::get(zone).unwrap(), written.iter().map(|window| window.parse().unwrap()).collect())
}

/// Changes the rules that the next daemon goes by.
fn change(world: &World, change: impl FnOnce(&mut Rules)) {
    let mut rules = world.rules.lock().unwrap();
    let mut changed = Rules::clone(&rules);
    change(&mut changed);
    *rules = Arc::new(changed);
}

fn length(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// Every PUT: whose, for which slot, and when it arrived by the wall clock.
fn puts(world: &World) -> Vec<(TargetId, u64, Timestamp)> {
    let truth = world.far_end.truth();
    truth.puts.iter().map(|put| (put.target.clone(), put.rotation.slot, world.clock.true_time(put.arrived))).collect()
}

/// The plan is the truth: over a year every PUT leaves in the second for which it was planned, and no other one does. With more
/// targets: `cargo run --release --example simulation -- --year 1000`.
#[tokio::test(start_paused = true)]
async fn a_year_goes_as_planned() {
    let year = year::compare(20).await.unwrap();
    assert!(year.planned > 20 * 12 && year.waited > 20, "{year:?}");
    assert_eq!(year.missed, 0, "nobody misses a window when nothing fails");
    assert_eq!(year.held.keys().collect::<Vec<_>>(), ["autumn", "half-year"], "somebody fell due in each freeze");
}

/// What went by while nobody was there is caught up once, oldest first, by as many at a time as may be, in windows alone; and
/// each miss is on record.
#[tokio::test(start_paused = true)]
async fn ninety_days_without_a_daemon_are_caught_up_once() {
    const TARGETS: usize = 500;
    let night = windows("Europe/Paris", &["Sat,Sun 01:00-05:00"]);
    let policy =
        Policy { windows: night.clone(), member_order: MemberOrder::OldestFirst, max_attempts: 1, ..policy("default") };
    let mut world = World::new(32, TARGETS, policy, 4, &[Fate::ApplyLater(200)]);
    world.discover_every = Period::days(30);
    // The first of January 2026 is a Thursday: every key has been seen, and nothing may be rotated before Saturday.
    let daemon = world.start();
    world.pass(DAY).await;
    daemon.stop().await;
    assert!(puts(&world).is_empty());
    world.pass(90 * DAY).await;
    let dues: BTreeMap<TargetId, Timestamp> = world
        .journal
        .fleet()
        .targets
        .iter()
        .map(|(id, record)| (id.clone(), due_at(record, &world.policy).unwrap()))
        .collect();

    let daemon = world.start();
    world.pass(14 * DAY).await;
    daemon.stop().await;
    let puts = puts(&world);
    assert_eq!(puts.len(), TARGETS);
    assert_eq!(puts.iter().map(|(target, _, _)| target).collect::<BTreeSet<_>>().len(), TARGETS);
    let outside = puts.iter().filter(|(_, _, at)| !night.at_or_after(*at).unwrap().contains(*at)).count();
    assert_eq!(outside, 0);
    let nights: BTreeSet<_> = puts.iter().map(|(_, _, at)| night.at_or_after(*at).unwrap()).collect();
    assert!(nights.len() > 1, "one night was not enough for all");

    let mut open: BTreeSet<TargetId> = BTreeSet::new();
    let mut begun: BTreeSet<TargetId> = BTreeSet::new();
    let mut missed: BTreeMap<TargetId, Vec<String>> = BTreeMap::new();
    for entry in world.journal.entries() {
        match entry.event {
            Event::RotationIntended { target, .. } => {
                let cluster = |id: &TargetId| id.as_str()[id.as_str().len() - 4..].parse::<u32>().unwrap() / 2;
                let older = dues.iter().filter(|(other, due)| {
                    let busy =
                        open.iter().any(|open| cluster(open) == cluster(other)) || cluster(other) == cluster(&target);
                    **due < dues[&target] && !begun.contains(*other) && !busy
                });
                // Those that begin in one turn are written down in any order.
                assert!(older.count() < 4, "{target} before its turn");
                begun.insert(target.clone());
                open.insert(target);
                assert!(open.len() <= 4, "more at a time than may be");
            }
            Event::RotationDone { target, .. } => {
                open.remove(&target);
            }
            Event::SlotMissed { target, why, windows, closed_at, .. } => {
                assert!(
                    windows > 0
                        && night.at_or_after(closed_at - SignedDuration::from_secs(1)).unwrap().end == closed_at
                );
                missed.entry(target).or_default().push(why);
            }
            _ => {}
        }
    }
    let while_down = |why: &&String| *why == "the daemon was not running";
    assert_eq!(missed.values().flatten().filter(while_down).count(), TARGETS);
    assert_eq!(missed.len(), TARGETS);
    // Those for whom the first night was too short missed that one, too, and for another reason.
    let second: Vec<_> = missed.values().filter_map(|whys| whys.get(1)).collect();
    assert!(!second.is_empty() && second.iter().all(|why| why.contains("no place was left")), "{second:?}");
}

/// A manager that is down for a window costs that window and not the period; the miss says why. What was sent before a window's
/// end is confirmed after it.
#[tokio::test(start_paused = true)]
async fn a_missed_window_waits_for_the_next_window() {
    let policy = Policy {
        windows: windows("UTC", &["Sat 01:00-01:02"]),
        first_rotation: FirstRotation::Now,
        observe_every: Period::days(1),
        ..policy("default")
    };
    let world = World::new(33, 1, policy, 4, &[Fate::ApplyLater(300)]);
    let daemon = world.start();
    world.pass(MINUTE).await;
    let saturday: Timestamp = "2026-01-03T00:00:00Z".parse().unwrap();
    world.pass(length(world.clock.now(), saturday)).await;
    world.far_end.truth().down_until = world.clock.monotonic() + DAY;
    world.pass(7 * DAY).await;
    assert!(puts(&world).is_empty());
    let misses: Vec<_> = world
        .journal
        .entries()
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::SlotMissed { windows, opened_at, closed_at, why, .. } => Some((windows, opened_at, closed_at, why)),
            _ => None,
        })
        .collect();
    let [(1, opened_at, closed_at, why)] = &misses[..] else { panic!("{misses:?}") };
    assert_eq!(
        (opened_at.to_string(), closed_at.to_string()),
        ("2026-01-03T01:00:00Z".into(), "2026-01-03T01:02:00Z".into())
    );
    assert!(why.starts_with("emea has been failing since 2026-01-03T0"), "{why}");

    world.pass(DAY).await;
    let puts = puts(&world);
    assert_eq!(puts.len(), 1);
    assert!(puts[0].2.to_string().starts_with("2026-01-10T01:00:00"), "{puts:?}");
    let done =
        world.journal.entries().into_iter().find(|entry| matches!(entry.event, Event::RotationDone { .. })).unwrap();
    assert!(done.at.to_string().starts_with("2026-01-10T01:05:"), "{}", done.at);
    daemon.stop().await;
}

/// A clock that leaps ahead and is set right has missed no window that was still to come; and those that come are told when they
/// go by unused, also where one that is still to come is on record as missed.
#[tokio::test(start_paused = true)]
async fn a_leap_of_the_clock_misses_no_window() {
    let windows = windows("UTC", &["12:00-12:10"]);
    let policy = Policy { windows, first_rotation: FirstRotation::Now, ..policy("default") };
    let leap = SignedDuration::from_hours(48);
    for told_ahead in [false, true] {
        let world = World::new(37, 1, policy.clone(), 1, &[Fate::Apply]);
        let (at, by) = (world.clock.now(), Caller { uid: 0, gid: 0, pid: 1, user: None, login: None });
        let (scope, reason) = ("*".to_owned(), "CHG-1".to_owned());
        let event = Event::PauseSet { scope, until: at + SignedDuration::from_hours(24 * 10), reason, by };
        world.journal.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await.unwrap();
        let daemon = world.start();
        world.pass(60 * MINUTE).await;
        world.clock.step(leap);
        world.pass(if told_ahead { 90 * MINUTE } else { 30 * MINUTE }).await;
        world.clock.step(-leap);
        world.pass(14 * 60 * MINUTE).await;
        let mut misses = world.journal.entries();
        misses.retain(|entry| matches!(entry.event, Event::SlotMissed { .. }));
        let told: Vec<_> = misses.iter().map(|entry| entry.at.strftime("%d %H:%M").to_string()).collect();
        // After an hour the clock is believed, and says that two windows went by.
        let expected: &[&str] = if told_ahead { &["03 02:00", "01 12:10"] } else { &["01 12:10"] };
        assert_eq!(told, expected);
        let Event::SlotMissed { windows, why, .. } = &misses.last().unwrap().event else { panic!("{misses:?}") };
        assert_eq!((*windows, why.as_str()), (1, "paused with * (CHG-1)"));
        world.check().unwrap();
        daemon.stop().await;
    }
}

/// A freeze ends by itself. What fell due in it is on record as held, once, and is rotated when it ends; a restart tells nothing
/// again.
#[tokio::test(start_paused = true)]
async fn a_freeze_holds_and_ends_by_itself() {
    let policy = Policy { first_rotation: FirstRotation::Now, ..policy("default") };
    let world = World::new(34, 2, policy, 4, &[Fate::Apply]);
    let end: Timestamp = "2026-01-04T12:00:00Z".parse().unwrap();
    change(&world, |rules| {
        let span = Span { start: "2025-12-20T00:00:00Z".parse().unwrap(), end };
        let (name, reason) = ("year-end".to_owned(), "CHG-1".to_owned());
        rules.freezes.push(Freeze { name, reason, span, scope: Glob::new("emea/*") });
    });
    for _ in 0..2 {
        let daemon = world.start();
        world.pass(DAY).await;
        daemon.stop().await;
    }
    assert!(puts(&world).is_empty());
    let held =
        |event: &Event| matches!(event, Event::SlotHeld { freeze, until, .. } if freeze == "year-end" && *until == end);
    assert_eq!(world.journal.count(held), 2);
    let daemon = world.start();
    world.pass(3 * DAY).await;
    let puts = puts(&world);
    assert_eq!((puts.len(), world.journal.count(held)), (2, 2));
    assert!(puts.iter().all(|(_, _, at)| *at >= end && *at < end + SignedDuration::from_secs(2)), "{puts:?}");
    daemon.stop().await;
}

/// The end of an ordered freeze is on record when it comes, though nothing falls due and nobody comes by.
#[tokio::test(start_paused = true)]
async fn an_ordered_freeze_is_over_on_record_when_it_is_over() {
    let world = World::new(36, 1, policy("default"), 1, &[Fate::Apply]);
    let start = world.clock.now();
    let end = start + SignedDuration::from_secs(90);
    let by = Caller { uid: 0, gid: 0, pid: 1, user: None, login: None };
    let (name, scope, reason) = ("audit".to_owned(), "*".to_owned(), "CHG-1".to_owned());
    let event = Event::FreezeSet { name, scope, start, end, reason, by };
    world.journal.record(vec![Entry { at: start, actor: Actor::Daemon, event }]).await.unwrap();
    let over = |event: &Event| matches!(event, Event::FreezeEnded { .. });
    let daemon = world.start();
    world.pass(Duration::from_secs(80)).await;
    assert_eq!(world.journal.count(over), 0);
    world.pass(Duration::from_secs(15)).await;
    assert_eq!(world.journal.count(over), 1);
    daemon.stop().await;
}

/// A member that fails stops the others of its cluster only where the policy says so, and no other cluster.
#[tokio::test(start_paused = true)]
async fn a_failure_stops_its_cluster_if_the_policy_says_so() {
    for stops in [false, true] {
        let policy = Policy { max_attempts: 1, stop_cluster_on_failure: stops, ..policy("default") };
        let world = World::new(35, 4, policy, 4, &[Fate::Apply]);
        let daemon = world.start();
        world.pass(MINUTE).await;
        // Of the first cluster, the member whose turn comes first.
        let fleet = world.journal.fleet();
        let mut members: Vec<_> = fleet.targets.iter().take(2).collect();
        members.sort_by_key(|(_, record)| due_at(record, &world.policy));
        let [(first, _), (second, _)] = members[..] else { panic!("two members") };
        world.far_end.truth().broken.insert(first.clone());
        world.pass(31 * DAY).await;
        let rotated: BTreeSet<_> = puts(&world).into_iter().map(|(target, _, _)| target).collect();
        let expected: BTreeSet<_> =
            fleet.targets.keys().filter(|id| *id != first && !(stops && *id == second)).cloned().collect();
        assert_eq!(rotated, expected, "stop_cluster_on_failure = {stops}");
        daemon.stop().await;
    }
}
