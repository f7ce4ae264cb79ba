//! When each alert fires and when it does not.

mod gone;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::alerts::patience::has_lasted;
use crate::domain::sample::{failure, target, tell};
use crate::domain::{
    ApiKey, Caller, Event, Fleet, Gap, Glob, Grant, How, KeyChange, Listing, PolicyName, ProjectSelector, Reach,
    Reason, Refusal, RotationId, Stage, Target, TargetId,
};
use crate::policy::{FirstRotation, ManagerRules, Policy, ProjectRules, Spread};
use crate::ports::{Head, Upkeep};

const NAME: &str = "emea/billing/ledger/ledger-0";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One managed target that is rotated every 30 days, its first key seen on 1 January 2026, and the rules for it.
struct World {
    fleet: Fleet,
    policy: Policy,
    /// Projects that the configuration names.
    projects: Vec<ProjectRules>,
    started_at: Timestamp,
    /// When the manager came back from an outage.
    recovered: Option<Timestamp>,
    unwritable: Option<(Timestamp, String)>,
    upkeep: Option<Upkeep>,
}

impl World {
    fn new() -> Self {
        let policy = Policy {
            spread: Spread::Percent(0),
            first_rotation: FirstRotation::Now,
            ..Policy::with_defaults(PolicyName::from("default"))
        };
        let (fleet, projects, started_at) = (Fleet::default(), Vec::new(), at("2026-01-01T00:00:00Z"));
        let (recovered, unwritable, upkeep) = (None, None, None);
        let mut world = Self { fleet, policy, projects, started_at, recovered, unwritable, upkeep };
        world.tell("2026-01-01T00:00:00Z", Event::TargetFound { description: target(), listing: Listing::Eligible });
        world
    }

    fn with_key() -> Self {
        let mut world = Self::new();
        world.tell("2026-01-01T00:00:00Z", Event::KeySeen { target: id(), key: "first".into(), looked_at: None });
        world
    }

    /// Its key was replaced by ours, and can not have been in use before this moment.
    fn rotated(last_seen: &str) -> Self {
        let mut world = Self::with_key();
        world.tell(
            last_seen,
            Event::RotationDone {
                target: id(),
                rotation: RotationId { slot: 1, attempt: 1 },
                due_at: at("2026-01-01T00:00:00Z"),
                how: How::FoundChanged,
                key_before: "first".into(),
                key_after: "second".into(),
                last_seen: at(last_seen),
                looked_at: None,
            },
        );
        world
    }

    fn tell(&mut self, when: &str, event: Event) {
        tell(&mut self.fleet, at(when), &event);
    }

    fn see(&mut self, when: &str) {
        let change = self.fleet.seen_again(&id(), at(when)).unwrap();
        self.fleet.adopt(change);
    }

    fn fired(&self, now: Timestamp) -> Vec<Alert> {
        let situation = Situation {
            now,
            fleet: Arc::new(self.fleet.clone()),
            head: Head { seq: 1, hash: [0; 32] },
            unwritable: self.unwritable.clone(),
            started_at: self.started_at,
            recovered: self.recovered.map(|at| ("emea".into(), at)).into_iter().collect(),
            last_sweep: Some(now),
            since_sweep: Duration::ZERO,
            upkeep: self.upkeep.clone(),
        };
        let mut manager = ManagerRules::new(1, Arc::new(self.policy.clone()));
        manager.projects.clone_from(&self.projects);
        fire(&situation, &Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() })
    }

    /// The alert of this kind, if it fires; with the promises that all words keep.
    fn alert(&self, kind: AlertKind, now: &str) -> Option<Alert> {
        let alert = self.fired(at(now)).into_iter().find(|alert| alert.kind == kind)?;
        assert!(alert.words.starts_with(&alert.name), "{}", alert.words);
        assert!(alert.words.contains("Next: "), "{}", alert.words);
        assert!(!alert.words.contains('\n'), "{}", alert.words);
        assert!(alert.since.is_none_or(|since| since < at(now)), "{alert:?}");
        Some(alert)
    }
}

fn id() -> TargetId {
    target().id()
}

/// The attempts up to this one failed.
fn fail(world: &mut World, attempts: u32) {
    for attempt in 1..=attempts {
        world.tell(
            "2026-01-02T00:00:00Z",
            Event::RotationFailed {
                target: id(),
                rotation: RotationId { slot: 1, attempt },
                due_at: at("2026-01-01T00:00:00Z"),
                stage: Stage::Precheck,
                failure: failure(Reason::ServerError),
                retry_at: at("2026-01-02T01:00:00Z"),
            },
        );
    }
}

/// A key may be as old as its predecessor's last sight, and exactly the allowed age is allowed.
#[test]
fn a_key_is_too_old_the_microsecond_after() {
    let world = World::rotated("2026-01-10T06:00:00.5Z");
    assert_eq!(world.alert(AlertKind::KeyTooOld, "2026-04-10T06:00:00.5Z"), None);
    let alert = world.alert(AlertKind::KeyTooOld, "2026-04-10T06:00:00.500001Z").unwrap();
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.since, Some(at("2026-04-10T06:00:00.5Z")));
    assert!(
        alert.words.contains("may be 90d old (in use since 2026-01-10T06:00:00Z at the earliest)"),
        "{}",
        alert.words
    );
}

/// What is not known is said not to be known.
#[test]
fn an_unknown_age_is_counted_from_the_first_sight() {
    let world = World::with_key();
    assert_eq!(world.alert(AlertKind::KeyTooOld, "2026-04-01T00:00:00Z"), None);
    let alert = world.alert(AlertKind::KeyTooOld, "2026-04-02T00:00:00Z").unwrap();
    assert!(alert.words.contains("is at least 91d old (first seen 2026-01-01T00:00:00Z; "), "{}", alert.words);
}

#[test]
fn a_clock_that_went_back_makes_nothing_old() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    world.policy.observe_every = Period::seconds(1);
    assert_eq!(world.fired(at("1999-01-01T00:00:00Z")), []);
    assert_eq!(world.fired(Timestamp::MIN), []);
}

/// Three days of grace for a month, seconds for a rehearsal, and never less than one rotation may take.
#[test]
fn the_grace_of_an_overdue_rotation_follows_the_interval() {
    for (every, confirm_within, last_quiet) in [
        ("30d", "15m", "2026-02-12T00:00:00Z"),
        ("20s", "1s", "2026-01-10T00:00:22Z"),
        ("20s", "9s", "2026-01-10T00:00:29Z"),
    ] {
        let mut world = World::rotated("2026-01-10T00:00:00Z");
        world.policy.rhythm = every.parse::<Period>().unwrap().into();
        world.policy.confirm_within = confirm_within.parse().unwrap();
        let limit = at(last_quiet);
        let overdue = |now| world.fired(now).iter().any(|alert| alert.kind == AlertKind::RotationOverdue);
        assert!(!overdue(limit), "{every}");
        assert!(overdue(limit + SignedDuration::from_micros(1)), "{every}");
    }
    let alert =
        World::rotated("2026-01-10T00:00:00Z").alert(AlertKind::RotationOverdue, "2026-02-13T00:00:00Z").unwrap();
    assert!(alert.words.contains("fell due at 2026-02-09T00:00:00Z, 4d ago"), "{}", alert.words);
}

/// One failure is weather. In quarantine there are no attempts left that could fail.
#[test]
fn failing_attempts_are_told_from_the_second_until_the_quarantine() {
    let mut world = World::with_key();
    fail(&mut world, 1);
    assert_eq!(world.alert(AlertKind::RotationFailing, "2026-01-02T00:00:01Z"), None);
    let mut world = World::with_key();
    fail(&mut world, 2);
    let alert = world.alert(AlertKind::RotationFailing, "2026-01-02T00:00:01Z").unwrap();
    assert!(alert.words.contains("2 of 8 attempts"), "{}", alert.words);
    assert!(alert.words.contains("server_error, HTTP 500: out of luck"), "{}", alert.words);

    let quarantined = Event::TargetQuarantined { target: id(), attempts: 2, failure: failure(Reason::RoleMissing) };
    world.tell("2026-01-02T00:00:00Z", quarantined);
    assert_eq!(world.alert(AlertKind::RotationFailing, "2026-01-02T00:00:01Z"), None);
    let alert = world.alert(AlertKind::TargetQuarantined, "2026-01-02T00:00:01Z").unwrap();
    assert_eq!(world.alert(AlertKind::RotationOverdue, "2027-01-02T00:00:01Z"), None, "told once");
    assert_eq!(alert.name, NAME);
    assert!(alert.words.contains(&format!("`rekeyd rearm '{NAME}' --reason WHY`")), "{}", alert.words);
}

#[test]
fn a_key_that_returned_is_critical_until_the_next_rotation() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    world.tell(
        "2026-01-11T00:00:00Z",
        Event::KeyChanged {
            target: id(),
            change: KeyChange::Regression,
            before: "second".into(),
            after: "first".into(),
            last_seen: at("2026-01-10T23:00:00Z"),
            looked_at: None,
            not_before: None,
            first_seen: at("2026-01-01T00:00:00Z"),
            suspect: None,
        },
    );
    let alert = world.alert(AlertKind::KeyRegression, "2026-01-11T00:00:01Z").unwrap();
    assert_eq!(alert.severity, Severity::Critical);
    world.tell(
        "2026-01-12T00:00:00Z",
        Event::RotationDone {
            target: id(),
            rotation: RotationId { slot: 3, attempt: 1 },
            due_at: at("2026-01-11T00:00:00Z"),
            how: How::FoundChanged,
            key_before: "first".into(),
            key_after: "third".into(),
            last_seen: at("2026-01-12T00:00:00Z"),
            looked_at: None,
        },
    );
    assert_eq!(world.alert(AlertKind::KeyRegression, "2026-01-12T00:00:01Z"), None);
}

/// A target that never had a key here has lost nothing.
#[test]
fn only_a_target_that_had_a_key_can_lose_its_governance() {
    let refused = Event::TargetRefused { target: id(), refusal: Refusal::OtherMechanism { code: "BRS".to_owned() } };
    let unencrypted = Event::TargetChanged { description: target(), listing: Listing::NotEncrypted };
    let excluded =
        Event::TargetChanged { description: target(), listing: Listing::Excluded { pattern: "ledger*".to_owned() } };
    let renamed = Event::TargetChanged {
        description: target(),
        listing: Listing::UnknownType { type_name: "SHARD_OF_A_NEW_KIND".to_owned() },
    };
    for (event, expected) in [(refused, true), (unencrypted, true), (renamed, true), (excluded, false)] {
        let mut never = World::new();
        never.tell("2026-01-02T00:00:00Z", event.clone());
        assert_eq!(never.fired(at("2027-01-01T00:00:00Z")), [], "{event:?}");
        let mut had = World::with_key();
        had.tell("2026-01-02T00:00:00Z", event.clone());
        let fired = had.fired(at("2027-01-01T00:00:00Z"));
        assert_eq!(fired.len(), usize::from(expected), "{event:?}: {fired:?}");
        assert_eq!(had.alert(AlertKind::TargetNotGoverned, "2027-01-01T00:00:00Z").is_some(), expected, "{event:?}");
    }
}

#[test]
fn a_key_that_nobody_reads_is_told() {
    let mut world = World::with_key();
    world.see("2026-01-05T00:00:00Z");
    assert_eq!(world.alert(AlertKind::ObservationStale, "2026-01-05T01:00:00Z"), None);
    let alert = world.alert(AlertKind::ObservationStale, "2026-01-05T01:00:00.000001Z").unwrap();
    assert!(alert.words.contains("last read at 2026-01-05T00:00:00Z, 1h ago"), "{}", alert.words);

    world.tell("2026-01-05T00:30:00Z", Event::ObservationFailing { target: id(), failure: failure(Reason::NotFound) });
    let alert = world.alert(AlertKind::ObservationStale, "2026-01-05T02:00:00Z").unwrap();
    assert!(alert.words.contains("failing since 2026-01-05T00:30:00Z: not_found"), "{}", alert.words);

    // The looks that were missed while the daemon was off are made in the first round.
    world.started_at = at("2026-01-05T02:00:00Z");
    assert_eq!(world.alert(AlertKind::ObservationStale, "2026-01-05T02:15:00Z"), None);
    assert!(world.alert(AlertKind::ObservationStale, "2026-01-05T02:15:01Z").is_some());
}

/// While the ledger cannot be written nobody knows which keys were read, and a clock that was set ahead makes none unread: a round
/// of looks is made first. What was told before is not taken back.
#[test]
fn a_key_is_not_stale_for_a_full_disk_or_a_leap_of_the_clock() {
    let mut world = World::with_key();
    let stale = |world: &World, now: &str| world.alert(AlertKind::ObservationStale, now).is_some();
    world.unwritable = Some((at("2026-01-01T00:10:00Z"), "disk full".to_owned()));
    assert!(!stale(&world, "2026-01-01T06:00:00Z"));
    let (alert, subject) = (AlertKind::ObservationStale, AlertSubject::Target(id()));
    let told = Event::AlertRaised { alert, subject: subject.clone(), words: "stale".to_owned() };
    world.tell("2026-01-01T06:00:00Z", told);
    assert!(stale(&world, "2026-01-01T06:00:00Z"));
    world.tell("2026-01-01T06:00:00Z", Event::AlertCleared { alert, subject });
    world.unwritable = None;
    assert!(stale(&world, "2026-01-01T06:00:00Z"));

    world.tell("2026-01-03T06:00:00Z", Event::ClockStepped { by_s: 172_800 });
    assert!(!stale(&world, "2026-01-03T06:15:00Z"));
    assert!(stale(&world, "2026-01-03T06:15:01Z"));
    world.tell("2026-01-03T06:15:00Z", Event::ClockStepped { by_s: -30 });
    assert!(stale(&world, "2026-01-03T06:15:01Z"), "set back, it makes nothing old");
}

/// A target whose key could never be read is as blind as one whose key can not be read any more.
#[test]
fn a_key_that_was_never_read_is_told() {
    let alert = World::new().alert(AlertKind::ObservationStale, "2026-01-01T01:00:01Z").unwrap();
    assert!(alert.words.contains("never read since it was found at 2026-01-01T00:00:00Z"), "{}", alert.words);
}

/// What waits for an operator is looked at once a day, and said to be quarantined: its key is not stale an hour after.
#[test]
fn a_quarantined_key_is_stale_when_four_of_its_seldom_looks_were_missed() {
    let mut world = World::with_key();
    world.see("2026-01-05T00:00:00Z");
    let quarantined = Event::TargetQuarantined { target: id(), attempts: 2, failure: failure(Reason::RoleMissing) };
    world.tell("2026-01-05T00:00:00Z", quarantined);
    assert_eq!(world.alert(AlertKind::ObservationStale, "2026-01-06T12:00:00Z"), None);
    let alert = world.alert(AlertKind::ObservationStale, "2026-01-09T00:00:01Z").unwrap();
    assert_eq!(alert.since, Some(at("2026-01-09T00:00:00Z")), "four looks were missed");
}

/// It is left to its rotation, whose looks settle it and are no sightings.
#[test]
fn a_key_is_not_stale_while_its_rotation_is_open() {
    let mut world = World::with_key();
    world.policy.confirm_within = Period::days(1);
    let (rotation, looked_at) = (RotationId { slot: 1, attempt: 1 }, at("2026-01-05T00:00:00Z"));
    let (due_at, key_before) = (looked_at, "first".into());
    let intended = Event::RotationIntended { target: id(), rotation, due_at, key_before, looked_at };
    world.tell("2026-01-05T00:00:00Z", intended);
    assert_eq!(world.alert(AlertKind::ObservationStale, "2026-01-05T12:00:00Z"), None);
    world.tell("2026-01-05T12:00:00Z", Event::RotationWithdrawn { target: id(), rotation, why: "none".to_owned() });
    assert!(world.alert(AlertKind::ObservationStale, "2026-01-05T12:00:00Z").is_some());
}

/// One alert for a silent manager, not one for each of its thousand keys.
#[test]
fn a_failing_manager_speaks_for_its_targets() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    let event = Event::ManagerFailing { manager: "emea".into(), failure: failure(Reason::Unreachable) };
    world.tell("2026-01-10T00:00:00Z", event);
    let fired = world.fired(at("2026-01-12T00:00:00Z"));
    assert_eq!(fired.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::ManagerFailing], "{fired:?}");
    let alert = world.alert(AlertKind::ManagerFailing, "2026-01-12T00:00:00Z").unwrap();
    assert!(alert.words.contains("failing since 2026-01-10T00:00:00Z, for 2d"), "{}", alert.words);
    // But a key that grows too old meanwhile is told all the same.
    assert!(world.alert(AlertKind::KeyTooOld, "2026-06-01T00:00:00Z").is_some());
}

#[test]
fn a_cluster_without_config_servers_is_named() {
    let mut world = World::with_key();
    let gap = Gap { project_id: "5f".into(), project: "billing".to_owned(), cluster: "ledger".to_owned() };
    world.tell("2026-01-01T00:00:00Z", Event::GapFound { manager: "emea".into(), gap });
    let alert = world.alert(AlertKind::ConfigServersMissing, "2026-01-01T00:00:01Z").unwrap();
    assert_eq!(alert.since, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(alert.subject, AlertSubject::Cluster("emea/5f/ledger".to_owned()));
    assert_eq!(alert.name, "emea/billing/ledger");
    // Whoever leaves the cluster out has decided.
    let project = |exclude: &str| ProjectRules {
        project: ProjectSelector::Name("billing".to_owned()),
        policy: None,
        exclude: vec![Glob::new(exclude)],
    };
    for (exclude, expected) in [("led*", false), ("other", true)] {
        world.projects = vec![project(exclude)];
        assert_eq!(world.alert(AlertKind::ConfigServersMissing, "2026-01-01T00:00:01Z").is_some(), expected);
    }
}

/// Of what is no longer configured nothing can be mended here; of what is gone only that it is gone, whatever it was before.
#[test]
fn nothing_else_is_said_of_what_is_gone() {
    let mut gone = World::with_key();
    fail(&mut gone, 2);
    let quarantined = Event::TargetQuarantined { target: id(), attempts: 2, failure: failure(Reason::RoleMissing) };
    gone.tell("2026-06-01T00:00:00Z", quarantined);
    let kinds = |world: &World, now| world.fired(at(now)).iter().map(|alert| alert.kind).collect::<Vec<_>>();
    assert!(kinds(&gone, "2026-06-02T00:00:00Z").len() > 2, "overdue, unread, quarantined, too old");
    gone.tell("2026-06-02T00:00:00Z", Event::TargetGone { target: id(), listings: 3 });
    assert_eq!(kinds(&gone, "2026-06-03T00:00:00Z"), [AlertKind::TargetGone]);
    assert_eq!(kinds(&gone, "2027-01-01T00:00:00Z"), []);

    let mut elsewhere = World::new();
    let description = Target { manager: "apac".into(), ..target() };
    elsewhere.tell("2026-01-01T00:00:00Z", Event::TargetGone { target: id(), listings: 3 });
    elsewhere.tell(
        "2026-01-01T00:00:00Z",
        Event::TargetFound { description: description.clone(), listing: Listing::Eligible },
    );
    elsewhere
        .tell("2026-01-01T00:00:00Z", Event::KeySeen { target: description.id(), key: "k".into(), looked_at: None });
    elsewhere.tell(
        "2026-01-01T00:00:00Z",
        Event::ManagerFailing { manager: "apac".into(), failure: failure(Reason::Unreachable) },
    );
    assert_eq!(elsewhere.fired(at("2027-01-01T00:00:00Z")), []);
}

/// The plan is at fault, not the rotation; and once the key is too old, that is what is said.
#[test]
fn a_plan_that_is_too_slow_is_told_before_the_key_is_too_old() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    world.policy.alert_after = Period::days(30);
    assert_eq!(world.alert(AlertKind::KeyWillBeTooOld, "2026-01-11T00:00:00Z"), None, "due the moment it gets too old");
    world.policy.rhythm = Period::days(31).into();
    let alert = world.alert(AlertKind::KeyWillBeTooOld, "2026-01-11T00:00:00Z").unwrap();
    assert_eq!(alert.severity, Severity::Warning);
    assert!(alert.words.contains("too old at 2026-02-09T00:00:00Z"), "{}", alert.words);
    assert!(alert.words.contains("falls due later, at 2026-02-10T00:00:00Z"), "{}", alert.words);
    assert_eq!(world.alert(AlertKind::KeyWillBeTooOld, "2026-02-09T00:00:01Z"), None);
    assert!(world.alert(AlertKind::KeyTooOld, "2026-02-09T00:00:01Z").is_some());
}

/// It falls due in time, and a freeze lets it begin too late: told as long as the freeze can be ended sooner.
#[test]
fn a_freeze_that_outlasts_a_key_is_told_before_the_key_is_too_old() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    world.policy.alert_after = Period::days(31);
    let frozen_until = |end| Event::FreezeSet {
        name: "quarter".to_owned(),
        scope: "*".to_owned(),
        start: at("2026-02-01T00:00:00Z"),
        end: at(end),
        reason: "CHG-1".to_owned(),
        by: Caller { uid: 0, gid: 0, pid: 1, user: None, login: None },
    };
    let mut harmless = World::rotated("2026-01-10T00:00:00Z");
    harmless.policy.alert_after = Period::days(31);
    harmless.tell("2026-01-10T00:00:02Z", frozen_until("2026-02-10T00:00:00Z"));
    assert_eq!(harmless.alert(AlertKind::KeyWillBeTooOld, "2026-01-11T00:00:00Z"), None);
    world.tell("2026-01-10T00:00:02Z", frozen_until("2026-02-10T00:00:01Z"));
    let alert = world.alert(AlertKind::KeyWillBeTooOld, "2026-01-11T00:00:00Z").unwrap();
    assert!(alert.words.contains("held until later, 2026-02-10T00:00:01Z"), "{}", alert.words);
}

/// Twice the time that a rotation is given: thirty minutes by default.
#[test]
fn a_rotation_that_nothing_settles_is_told() {
    let mut world = World::with_key();
    let rotation = RotationId { slot: 1, attempt: 1 };
    let looked_at = at("2026-01-02T00:00:00Z");
    world.tell(
        "2026-01-02T00:00:00Z",
        Event::RotationIntended { target: id(), rotation, due_at: looked_at, key_before: "first".into(), looked_at },
    );
    assert_eq!(world.alert(AlertKind::RotationPending, "2026-01-02T00:30:00Z"), None);
    let alert = world.alert(AlertKind::RotationPending, "2026-01-02T00:30:01Z").unwrap();
    assert!(alert.words.contains("rotation 1.1 was begun at 2026-01-02T00:00:00Z, 30m 1s ago"), "{}", alert.words);
}

/// Somebody else's change of the key, seen now after a look at this time.
fn foreign(now: &str, last_seen: &str) -> Event {
    Event::KeyChanged {
        target: id(),
        change: KeyChange::Foreign,
        before: "second".into(),
        after: "third".into(),
        last_seen: at(last_seen),
        looked_at: None,
        not_before: Some(at(last_seen)),
        first_seen: at(now),
        suspect: None,
    }
}

/// A day long, so that it is seen; and never for a change that was ours.
#[test]
fn a_change_by_somebody_else_is_told_for_a_day() {
    let ours = World::rotated("2026-01-10T00:00:00Z");
    assert_eq!(ours.alert(AlertKind::ForeignKeyChange, "2026-01-10T00:00:01Z"), None);
    let first = World::with_key();
    assert_eq!(first.alert(AlertKind::ForeignKeyChange, "2026-01-01T00:00:01Z"), None, "it was there before us");

    let mut world = ours;
    world.tell("2026-01-11T00:00:00Z", foreign("2026-01-11T00:00:00Z", "2026-01-10T23:00:00Z"));
    let alert = world.alert(AlertKind::ForeignKeyChange, "2026-01-12T00:00:00Z").unwrap();
    assert_eq!(alert.since, Some(at("2026-01-11T00:00:00Z")));
    assert_eq!(world.alert(AlertKind::ForeignKeyChange, "2026-01-12T00:00:01Z"), None);
}

/// A rotation that a clock dated weeks ahead covers no change that comes after it, and is not taken for somebody else's.
#[test]
fn a_change_by_somebody_else_is_told_after_a_clock_that_ran_ahead() {
    let mut world = World::rotated("2026-02-01T00:00:00Z");
    assert_eq!(world.alert(AlertKind::ForeignKeyChange, "2026-01-12T00:00:00Z"), None, "it is ours");
    world.tell("2026-01-12T01:00:00Z", foreign("2026-01-12T01:00:00Z", "2026-02-01T00:00:00Z"));
    let alert = world.alert(AlertKind::ForeignKeyChange, "2026-01-12T02:00:00Z").unwrap();
    assert_eq!(alert.since, Some(at("2026-01-12T01:00:00Z")));
}

/// What dates a key anew, that a clock dated ahead, leaves it true whose key it is.
#[test]
fn a_key_that_is_dated_anew_is_whose_it_was() {
    let (ahead, now) = ("2026-02-01T00:00:00Z", "2026-01-12T00:00:00Z");
    let told = |world: &World, now| world.alert(AlertKind::ForeignKeyChange, now).map(|alert| alert.since.unwrap());
    let redated = || Event::KeyRedated { target: id(), not_before: Some(at(now)), first_seen: at(now) };

    let mut world = World::rotated(ahead);
    world.tell(now, redated());
    assert_eq!(told(&world, "2026-01-12T00:00:01Z"), None, "it is ours still");
    assert_eq!(world.fleet.targets[&id()].last_rotation_at, Some(at(now)));
    world.tell("2026-01-12T01:00:00Z", foreign("2026-01-12T01:00:00Z", now));
    assert_eq!(told(&world, "2026-01-12T02:00:00Z"), Some(at("2026-01-12T01:00:00Z")));

    let mut world = World::rotated(ahead);
    world.tell("2026-02-02T00:00:00Z", foreign("2026-02-02T00:00:00Z", ahead));
    world.tell(now, redated());
    assert_eq!(told(&world, "2026-01-12T02:00:00Z"), Some(at(now)), "both were dated ahead");
}

/// An outage may pass; a refused key does not.
#[test]
fn a_refused_credential_is_no_outage() {
    for (reason, expected) in [
        (Reason::Unreachable, AlertKind::ManagerFailing),
        (Reason::CredentialsRefused, AlertKind::CredentialsRefused),
        (Reason::AddressRefused, AlertKind::CredentialsRefused),
        (Reason::RoleMissing, AlertKind::CredentialsRefused),
    ] {
        let mut world = World::rotated("2026-01-10T00:00:00Z");
        world.tell("2026-01-10T00:00:00Z", Event::ManagerFailing { manager: "emea".into(), failure: failure(reason) });
        let fired = world.fired(at("2026-01-12T00:00:00Z"));
        assert_eq!(fired.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [expected], "{reason:?}");
    }
}

/// What the planner does not do, the planner can not tell.
#[test]
fn a_stalled_scheduler_is_told() {
    let situation = |since_sweep| Situation {
        now: at("2026-01-12T00:00:00.001Z"),
        fleet: Arc::default(),
        head: Head { seq: 1, hash: [0; 32] },
        unwritable: None,
        started_at: at("2026-01-01T00:00:00Z"),
        recovered: BTreeMap::new(),
        last_sweep: Some(at("2026-01-11T23:59:00Z")),
        since_sweep,
        upkeep: None,
    };
    let stalled_after = Rules::default().stalled_after.as_duration();
    let late = stalled_after + Duration::from_millis(1);
    assert_eq!(fire(&situation(stalled_after), &Rules::default()), []);
    let fired = fire(&situation(late), &Rules::default());
    assert_eq!(fired.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::SchedulerStalled]);
    assert_eq!(fired[0].since, Some(at("2026-01-12T00:00:00Z")), "when it became too late");
    let patient = Rules { stalled_after: Period::minutes(5), ..Rules::default() };
    assert_eq!(fire(&situation(late), &patient), []);
}

/// What passes by itself is shown and wakes nobody; and a clock that was set back does not make it pass.
#[test]
fn an_outage_is_told_when_it_has_lasted() {
    for (reason, told_at) in [(Reason::Unreachable, "00:15:00"), (Reason::CredentialsRefused, "00:05:00")] {
        let mut world = World::rotated("2026-01-10T00:00:00Z");
        world.tell("2026-01-10T00:00:00Z", Event::ManagerFailing { manager: "emea".into(), failure: failure(reason) });
        let told = |now: Timestamp| {
            let fired = world.fired(now);
            assert_eq!(fired.len(), 1, "it is shown at once: {fired:?}");
            has_lasted(&fired[0], now)
        };
        let due = at(&format!("2026-01-10T{told_at}Z"));
        assert!(!told(due - SignedDuration::from_micros(1)), "{reason:?}");
        assert!(told(due), "{reason:?}");
        assert!(told(at("2026-01-09T12:00:00Z")), "dated in the future, it may last for long");
    }
}

/// Ages and due times are read off the clock: that it leapt is told for a day, whichever way it went.
#[test]
fn a_clock_that_stepped_is_told_for_a_day() {
    let mut world = World::rotated("2026-01-10T00:00:00Z");
    let told = |world: &World, now: &str| {
        world.fired(at(now)).into_iter().filter(|alert| alert.kind == AlertKind::ClockStepped).collect::<Vec<_>>()
    };
    assert_eq!(told(&world, "2026-01-10T00:00:00Z"), []);
    // A leap ahead that was set right while no daemon ran.
    world.tell("2026-01-20T00:00:00Z", Event::ClockStepped { by_s: 864_000 });
    assert_eq!(told(&world, "2026-01-10T00:00:00Z"), []);
    world.tell("2026-01-10T02:00:00Z", Event::ClockStepped { by_s: -7200 });
    let fired = told(&world, "2026-01-10T02:00:01Z");
    assert!(fired[0].words.contains("was set back by 7200s at 2026-01-10T02:00:00Z"), "{}", fired[0].words);
    assert_eq!(told(&world, "2026-01-11T02:00:00Z").len(), 1);
    assert_eq!(told(&world, "2026-01-11T02:00:01Z"), []);
    world.tell("2026-02-01T00:00:00Z", Event::ClockStepped { by_s: 60 });
    let fired = told(&world, "2026-02-01T00:00:00Z");
    assert!(fired[0].words.contains("was set ahead by 60s"), "{}", fired[0].words);
}

#[test]
fn a_receiver_that_can_not_be_reached_is_told_to_the_others() {
    let mut world = World::new();
    world.tell("2026-01-01T00:00:00Z", Event::ReceiverFailing { receiver: "oncall".into(), error: "HTTP 500".into() });
    let alert = world.alert(AlertKind::ReceiverFailing, "2026-01-01T00:10:00Z").unwrap();
    assert!(alert.words.contains("for 10m: HTTP 500."), "{}", alert.words);
    world.tell("2026-01-01T00:20:00Z", Event::ReceiverAnswering { receiver: "oncall".into() });
    assert_eq!(world.alert(AlertKind::ReceiverFailing, "2026-01-01T00:20:01Z"), None);
}

/// A restart mends no silence, so it takes no alert back; but it says nothing new before it has looked.
#[test]
fn a_restart_takes_no_staleness_back() {
    let mut world = World::with_key();
    world.started_at = at("2026-01-05T02:00:00Z");
    assert_eq!(world.alert(AlertKind::ObservationStale, "2026-01-05T02:00:01Z"), None);
    let (alert, subject) = (AlertKind::ObservationStale, AlertSubject::Target(id()));
    world.tell("2026-01-05T01:00:00Z", Event::AlertRaised { alert, subject, words: "stale".to_owned() });
    assert!(world.alert(AlertKind::ObservationStale, "2026-01-05T02:00:01Z").is_some());
}

/// Nor does an outage, and when it is over there is a round of looks to make before anything new is said: every key of the manager
/// was last read before it.
#[test]
fn an_outage_raises_no_staleness_and_takes_none_back() {
    let mut world = World::with_key();
    let stale = |world: &World, now: &str| world.alert(AlertKind::ObservationStale, now).is_some();
    let failing = Event::ManagerFailing { manager: "emea".into(), failure: failure(Reason::Unreachable) };
    world.tell("2026-01-01T00:10:00Z", failing);
    assert!(!stale(&world, "2026-01-01T06:00:00Z"), "its manager has an alert of its own");
    world.tell("2026-01-01T06:00:00Z", Event::ManagerAnswering { manager: "emea".into() });
    world.recovered = Some(at("2026-01-01T06:00:00Z"));
    assert!(!stale(&world, "2026-01-01T06:15:00Z"));
    assert!(stale(&world, "2026-01-01T06:15:01Z"));

    let (alert, subject) = (AlertKind::ObservationStale, AlertSubject::Target(id()));
    world.tell("2026-01-01T06:15:01Z", Event::AlertRaised { alert, subject, words: "stale".to_owned() });
    let failing = Event::ManagerFailing { manager: "emea".into(), failure: failure(Reason::Unreachable) };
    world.tell("2026-01-01T06:20:00Z", failing);
    assert!(stale(&world, "2026-01-01T06:21:00Z"), "it was stale before this outage");
}

/// Two targets may have one name, in two projects of one name for example: to a receiver each has an alert of its own.
#[test]
fn targets_of_one_name_are_told_apart() {
    let mut world = World::with_key();
    let description = Target { project_id: "60".into(), ..target() };
    let twin = description.id();
    world.tell("2026-01-01T00:00:00Z", Event::TargetFound { description, listing: Listing::Eligible });
    world.tell("2026-01-01T00:00:00Z", Event::KeySeen { target: twin, key: "first".into(), looked_at: None });
    let mut fired = world.fired(at("2027-01-01T00:00:00Z"));
    fired.retain(|alert| alert.kind == AlertKind::KeyTooOld);
    let names: Vec<_> = fired.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names, [format!("{NAME} (5f/6a)"), format!("{NAME} (60/6a)")]);
}

/// A key that came under our eyes and can rotate is news for a week; one that was there before, or can not, is none.
#[test]
fn a_new_api_key_that_can_rotate_is_news_for_a_week() {
    let key = |role: &str| ApiKey {
        id: "5d669ce780eef52a42cf0e1e".into(),
        public_key: "zrefxaep".to_owned(),
        description: "ci".to_owned(),
        grants: [Grant { role: role.to_owned(), over: Reach::Project("5f".into()) }].into(),
        lists: [Reach::Project("5f".into())].into(),
    };
    let added = |role, baseline| {
        let mut world = World::new();
        world.tell("2026-01-02T00:00:00Z", Event::ApiKeyAdded { manager: "emea".into(), key: key(role), baseline });
        world
    };
    let kinds = |world: &World, now: &str| {
        let fired = world.fired(at(now));
        fired.into_iter().filter(|alert| alert.kind == AlertKind::ApiKeyNew).collect::<Vec<_>>()
    };
    let world = added("GROUP_BACKUP_ADMIN", false);
    let fired = kinds(&world, "2026-01-09T00:00:00Z");
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].subject, AlertSubject::ApiKey("emea/5d669ce780eef52a42cf0e1e".to_owned()));
    assert!(
        fired[0].words.starts_with(
            "emea: the API key zrefxaep (ci) can rotate keys since 2026-01-02T00:00:00Z at the latest, by GROUP_BACKUP_ADMIN in project 5f."
        ),
        "{}",
        fired[0].words
    );
    assert_eq!(kinds(&world, "2026-01-09T00:00:01Z"), []);
    assert_eq!(kinds(&added("GROUP_BACKUP_ADMIN", true), "2026-01-02T00:00:00Z"), []);
    assert_eq!(kinds(&added("GROUP_READ_ONLY", false), "2026-01-02T00:00:00Z"), []);
    assert_eq!(kinds(&added("GROUP_USER_ADMIN", false), "2026-01-02T00:00:00Z").len(), 1);
}
