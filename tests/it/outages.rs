//! What outages, dead targets and blocked paths cost, in virtual time: a few probes, and nobody's neighbours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rekeyd::alerts::fire;
use rekeyd::domain::{AlertKind, AlertSubject, Event, Period, Reason, TargetId};
use rekeyd::policy::{FirstRotation, Policy};
use rekeyd::ports::{Clock, Gauge, Journal};

use crate::world::{Daemon, Fate, World};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// The looks that a world allows at once, and the rotations.
const LOOKS: usize = 8;
const ROTATIONS: usize = 4;

fn failing(event: &Event) -> bool {
    matches!(event, Event::ManagerFailing { .. })
}

fn done(event: &Event) -> bool {
    matches!(event, Event::RotationDone { .. })
}

/// Everything that was asked of the far end so far, answered or not.
fn requests(world: &World) -> u64 {
    let truth = world.far_end.truth();
    truth.asked.values().sum::<u64>() + truth.listings_asked + truth.puts.len() as u64
}

fn target(world: &World, n: usize) -> TargetId {
    world.far_end.truth().targets[n].id()
}

/// An hour in which every request is taken in and none answered, or only those for keys: a few dozen probes, one outage on
/// record, no attempt spent; and no rush when it is over.
async fn an_hour_of_hanging(only_keys: bool) {
    let world = World::new(1, 500, Policy::with_defaults("default".into()), ROTATIONS, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(20 * MINUTE).await;
    let until = world.clock.monotonic() + HOUR;
    if only_keys {
        world.far_end.truth().keys_hang_until = until;
    } else {
        world.far_end.truth().hangs_until = until;
    }
    let before = requests(&world);
    world.pass(HOUR).await;
    let cost = requests(&world) - before;
    println!("an hour of hanging, only for keys {only_keys}: {cost} requests");
    assert!((10..=60).contains(&cost), "only for keys {only_keys}: {cost} requests");
    assert_eq!(world.journal.count(failing), 1);
    assert_eq!(world.journal.count(|event| matches!(event, Event::RotationFailed { .. })), 0);

    let asked = |world: &World| world.far_end.truth().asked.clone();
    let (then, recovered) = (asked(&world), requests(&world));
    world.far_end.truth().most_asking = 0;
    // The longest wait between two probes, and the distance of two looks.
    world.pass(6 * MINUTE + 15 * MINUTE).await;
    let missed = asked(&world).into_iter().filter(|(target, times)| then.get(target) == Some(times)).count();
    assert_eq!((missed, world.journal.count(failing)), (0, 1), "every key is looked at again");
    let rush = requests(&world) - recovered;
    let most = world.far_end.truth().most_asking;
    assert!(most <= LOOKS + ROTATIONS, "{most} at once");
    assert!(rush < 2 * 500 + 50, "{rush} requests after the outage");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_hangs_costs_a_few_dozen_requests_an_hour() {
    an_hour_of_hanging(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_lists_and_gives_no_key_costs_a_few_dozen_requests_an_hour() {
    an_hour_of_hanging(true).await;
}

/// A page of a proxy's, or no reply at all, for one target's path: the manager is called failing once at the most, its other
/// targets are served, and the target is told by name.
#[tokio::test(start_paused = true)]
async fn a_target_whose_path_is_blocked_does_not_make_its_manager_flap() {
    let policy = Policy {
        first_rotation: FirstRotation::Now,
        observe_every: Period::minutes(60),
        ..Policy::with_defaults("default".into())
    };
    for dead in [false, true] {
        let world = World::new(2, 8, policy.clone(), ROTATIONS, &[Fate::Apply]);
        let daemon = world.start();
        world.pass(DAY).await;
        // More than it takes for a row, less than all.
        let blocked: Vec<_> = (0..6).map(|n| target(&world, n)).take(if dead { 6 } else { 1 }).collect();
        {
            let mut truth = world.far_end.truth();
            let place = if dead { &mut truth.dead } else { &mut truth.blocked };
            place.extend(blocked.clone());
        }
        world.pass(40 * DAY).await;
        assert!(world.journal.count(failing) <= 1, "{} outages", world.journal.count(failing));
        let rotated = 8 + 8 - blocked.len();
        assert_eq!(world.journal.count(done), rotated, "the others are rotated again");
        let fleet = world.journal.fleet();
        assert!(blocked.iter().all(|id| fleet.targets[id].quarantine.is_some()), "an operator is asked");
        assert!(fleet.managers.values().all(|manager| manager.outage.is_none()));
        daemon.stop().await;
    }
}

/// A manager that lists and refuses our address, or our login, for keys alone: one outage on record for as long as that lasts,
/// since none but a key that is read ends it. So whoever waits for it to have lasted is told.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_for_keys_alone_is_one_outage() {
    let policy = Policy { first_rotation: FirstRotation::Now, ..Policy::with_defaults("default".into()) };
    let world = World::new(5, 20, policy, ROTATIONS, &[Fate::Apply]);
    world.far_end.truth().keys_refused_until = Duration::MAX;
    let daemon = world.start();
    world.pass(HOUR).await;
    let fleet = world.journal.fleet();
    let outage = fleet.managers.values().next().unwrap().outage.clone().unwrap();
    assert!(world.clock.now().duration_since(outage.since).as_secs() > 3500, "since {}", outage.since);
    assert_eq!((world.journal.count(failing), world.journal.count(done)), (1, 0));
    let cost = requests(&world);
    assert!(cost < 60, "{cost} requests");
    world.far_end.truth().keys_refused_until = Duration::ZERO;
    world.pass(HOUR).await;
    assert_eq!((world.journal.count(failing), world.journal.count(done)), (1, 20), "it goes on by itself");
    daemon.stop().await;
}

/// A manager that was down and comes back without our API key is one outage, and its record says what has become of it: that the
/// key is refused, which no waiting mends. So it is with one key that could not be read.
#[tokio::test(start_paused = true)]
async fn an_outage_that_turns_into_a_refused_login_is_told_as_one() {
    let policy = Policy { first_rotation: FirstRotation::Now, ..Policy::with_defaults("default".into()) };
    let world = World::new(7, 3, policy, ROTATIONS, &[Fate::Apply]);
    (world.far_end.truth().down_until, world.far_end.truth().login_refused_until) = (HOUR, 2 * HOUR);
    let daemon = world.start();
    let outage = |world: &World| world.journal.fleet().managers.values().next().unwrap().outage.clone();
    world.pass(HOUR / 2).await;
    assert_eq!((world.journal.count(failing), outage(&world).unwrap().failure.reason), (1, Reason::Unreachable));
    let since = outage(&world).unwrap().since;
    world.pass(HOUR).await;
    let now = outage(&world).unwrap();
    assert_eq!((world.journal.count(failing), now.failure.reason), (2, Reason::CredentialsRefused));
    assert_eq!(now.since, since, "one outage");
    world.pass(HOUR).await;
    assert_eq!((world.journal.count(failing), outage(&world), world.journal.count(done)), (2, None, 3));

    let unread = |event: &Event| matches!(event, Event::ObservationFailing { .. });
    let id = target(&world, 0);
    world.far_end.truth().dead.insert(id.clone());
    world.pass(HOUR).await;
    assert_eq!(world.journal.count(unread), 1);
    world.far_end.truth().dead.clear();
    world.far_end.truth().broken.insert(id.clone());
    world.pass(HOUR).await;
    let cause = world.journal.fleet().targets[&id].unread.as_ref().unwrap().failure.reason;
    assert_eq!((world.journal.count(unread), cause), (2, Reason::NotFound));
    daemon.stop().await;
}

/// Where keys can be read and our address is refused for PUTs alone, an operator is asked, target by target, and the manager is
/// not called failing.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_refused_for_rotations_alone_is_told() {
    let policy = Policy { first_rotation: FirstRotation::Now, ..Policy::with_defaults("default".into()) };
    let world = World::new(6, 6, policy, ROTATIONS, &[Fate::RefuseAddress]);
    let daemon = world.start();
    world.pass(HOUR).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })), 6);
    assert_eq!((world.journal.count(failing), world.far_end.truth().puts.len()), (0, 6));
    daemon.stop().await;
}

/// Three of 500 targets never answer, for a whole interval: they cost next to nothing, and the others are on time. An
/// interval of a month takes a minute or more to simulate, so there is a shorter one for every day.
#[tokio::test(start_paused = true)]
async fn three_dead_targets_cost_the_others_nothing() {
    let days = if std::env::var_os("REKEYD_TEST_DEATHS").is_some() { 30 } else { 6 };
    // Few looks, so that what the dead cost beside them weighs more, and not less, than it would.
    let (every, observe_every) = (Period::days(days), Period::minutes(days * 24 * 60 / 6));
    let policy = Policy { rhythm: every.into(), observe_every, ..Policy::with_defaults("default".into()) };
    let world = World::new(3, 500, policy, ROTATIONS, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(MINUTE).await;
    let dead: Vec<_> = [17, 200, 431].map(|n| target(&world, n)).into();
    world.far_end.truth().dead.extend(dead.clone());
    // All fall due once in the first interval, each at its own time.
    world.pass(DAY * u32::from(days)).await;
    let entries = world.journal.entries();
    let lateness = entries.iter().filter_map(|entry| match &entry.event {
        Event::RotationDone { due_at, .. } => Some(entry.at.duration_since(*due_at).as_secs()),
        _ => None,
    });
    let lateness: Vec<_> = lateness.collect();
    assert_eq!(lateness.len(), 497);
    let latest = lateness.iter().max().unwrap();
    assert!(*latest < 120, "{latest} s late");
    {
        let truth = world.far_end.truth();
        let of_dead: u64 = dead.iter().map(|id| truth.asked[id]).sum();
        let all: u64 = truth.asked.values().sum();
        let living = (all - of_dead) as f64 / 497.0;
        let (listings, usual) = (truth.listings_asked as f64, f64::from(days) * 24.0);
        let extra = of_dead as f64 - 3.0 * living + listings - usual;
        let part = 100.0 * extra / (500.0 * living + 497.0 + usual);
        println!(
            "{days} days: {all} GETs of keys, {of_dead} of them at the dead; {listings} listings; {extra:.0} extra, {part:.2} %; \
         none later than {latest} s"
        );
        assert!(part < 1.0, "{part} % extra");
    }
    assert_eq!(world.journal.count(failing), 0);
    daemon.stop().await;
}

/// When the daemon is asked to end, nothing is begun and nothing is sent any more, wherever its tasks are.
#[tokio::test(start_paused = true)]
async fn nothing_begins_after_the_signal_to_end() {
    for moment in 0..40 {
        let policy = Policy { first_rotation: FirstRotation::Now, ..Policy::with_defaults("default".into()) };
        let world = World::new(4, 40, policy, ROTATIONS, &[Fate::Apply]);
        let daemon = world.start();
        world.pass(Duration::from_millis(50 + 7 * moment)).await;
        let asked = world.clock.now();
        daemon.stop().await;
        for entry in world.journal.entries() {
            let begins = matches!(entry.event, Event::RotationIntended { .. } | Event::RotationSending { .. });
            assert!(
                !begins || entry.at <= asked,
                "{:?} {} after the signal",
                entry.event,
                entry.at.duration_since(asked)
            );
        }
    }
}

/// The targets whose keys are said to be unread.
fn stale(world: &World, daemon: &Daemon) -> BTreeSet<AlertSubject> {
    let rules = Arc::clone(&world.rules.lock().unwrap());
    let fired = fire(&daemon.engine.read(), &rules).into_iter();
    fired.filter(|alert| alert.kind == AlertKind::ObservationStale).map(|alert| alert.subject).collect()
}

/// A manager that comes back again and again, and each time for less than a round of looks, does not silence what is said of a key
/// that nobody reads.
#[tokio::test(start_paused = true)]
async fn a_manager_that_comes_and_goes_hides_no_key_that_is_unread() {
    let world = World::new(42, 60, Policy::with_defaults("default".into()), ROTATIONS, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(HOUR).await;
    let unread = target(&world, 0);
    world.far_end.truth().broken.insert(unread.clone());
    let mut told = BTreeSet::new();
    for _ in 0..20 {
        world.far_end.truth().down_until = world.clock.monotonic() + 3 * MINUTE;
        for _ in 0..12 {
            world.pass(MINUTE).await;
            told.extend(stale(&world, &daemon));
        }
    }
    let outages = world.journal.count(failing);
    assert!(outages >= 18, "{outages} outages");
    assert_eq!(told, BTreeSet::from([AlertSubject::Target(unread)]));
    daemon.stop().await;
}

/// While the disk is full no key is looked at. That makes none unread for whoever is on call, neither then nor in the round of
/// looks that begins when there is room again.
#[tokio::test(start_paused = true)]
async fn a_full_disk_makes_no_key_unread() {
    let world = World::new(43, 60, Policy::with_defaults("default".into()), ROTATIONS, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(HOUR).await;
    world.far_end.truth().slow = 1000;
    world.journal.fill_the_disk(3 * HOUR);
    let mut unwritable = 0;
    for second in (0..4 * 3600).step_by(10) {
        world.pass(Duration::from_secs(10)).await;
        unwritable += usize::from(daemon.engine.read().unwritable.is_some());
        assert_eq!(stale(&world, &daemon), BTreeSet::new(), "after {second} s");
    }
    assert!(unwritable > 900, "for {unwritable} of 1440 moments it could not be written");
    daemon.stop().await;
}

/// A lone target is looked at as often as its policy says: nobody else's looks, and no news, wake the loop for it.
#[tokio::test(start_paused = true)]
async fn a_lone_target_is_looked_at_every_minute() {
    let policy = Policy { observe_every: Period::minutes(1), ..Policy::with_defaults("default".into()) };
    let world = World::new(41, 1, policy, 1, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(Duration::from_secs(3600)).await;
    let requests = requests(&world);
    // Not later than every minute, not a tenth sooner, and a few listings.
    assert!((60..75).contains(&requests), "{requests} requests in an hour");
    daemon.stop().await;
}
