//! What operators ask of an engine that is busy, and what else becomes so meanwhile, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use rekeyd::domain::{Caller, Event, Failure, Freeze, Glob, ProjectSelector, Reason, Scope, Span, TargetId};
use rekeyd::policy::{FirstRotation, Policy, ProjectRules, Rules, Spread, Windows, due_at};
use rekeyd::ports::{Clock, Journal, Orders};

use super::{DAY, done, policy};
use crate::world::{Fate, World};

fn caller() -> Caller {
    Caller { uid: 1000, gid: 1000, pid: 7, user: None, login: None }
}

fn ids(world: &World) -> Vec<TargetId> {
    world.journal.fleet().targets.keys().cloned().collect()
}

/// Who asks for a look wants to know what is there now, and not what a look that is under way asked before.
#[tokio::test(start_paused = true)]
async fn a_look_that_is_asked_for_during_another_is_made_after_it() {
    let world = World::new(41, 1, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY / 2).await;
    let target = ids(&world).remove(0);
    world.far_end.truth().slow = 1000;
    let asked = || world.far_end.truth().asked.get(&target).copied().unwrap_or_default();
    let before = asked();
    while asked() == before {
        world.pass(Duration::from_millis(100)).await;
    }
    assert_eq!(asked(), before + 1, "the routine look is under way");
    daemon.engine.look_at(vec![target.clone()]);
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(asked(), before + 2);
    daemon.stop().await;
}

/// A look that found the old key, and is noted only after the rotation, must not say when the new key was last in use.
#[tokio::test(start_paused = true)]
async fn a_look_before_a_rotation_says_nothing_of_the_key_after_it() {
    let world = World::new(42, 4, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY / 2).await;
    let [target, dead] = [0, 2].map(|n| ids(&world).remove(n));
    let before = world.journal.count(done);
    // Looks are noted when none is under way: this one holds that up.
    world.far_end.truth().dead.insert(dead.clone());
    daemon.engine.look_at(vec![target.clone(), dead]);
    world.pass(Duration::from_secs(1)).await;
    let reason = "CHG-1".to_owned();
    let request = Event::RotationRequested { target: target.clone(), reason, by: caller(), overrides: false };
    daemon.engine.order(&caller(), vec![request]).await.unwrap();
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.journal.count(done), before + 1);
    let key = || world.journal.fleet().targets[&target].key.clone().unwrap();
    let rotated = key();
    world.far_end.truth().dead.clear();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(key().id, rotated.id);
    assert!(key().last_seen >= rotated.last_seen, "{} before {}", key().last_seen, rotated.last_seen);
    assert!(key().last_seen <= world.clock.now());
    daemon.stop().await;
}

/// Runs until the look before the first rotation is on its way.
async fn until_asked(world: &World) {
    while world.far_end.truth().asked.is_empty() {
        world.pass(Duration::from_millis(1)).await;
    }
}

/// Whatever a new configuration excludes, freezes or leaves out while the look before a rotation is on its way, is not rotated.
#[tokio::test(start_paused = true)]
async fn a_reload_is_heeded_by_an_attempt_that_began_before_it() {
    let later = Policy { first_rotation: FirstRotation::Spread, spread: Spread::Percent(0), ..policy() };
    let only = |project: &str, exclude: &[&str]| ProjectRules {
        project: ProjectSelector::Name(project.to_owned()),
        policy: None,
        exclude: exclude.iter().map(|glob| Glob::new(glob)).collect(),
    };
    let freeze = |world: &World| {
        let now = world.clock.now();
        let span = Span { start: now, end: now + SignedDuration::from_hours(24 * 365) };
        Freeze { name: "audit".to_owned(), reason: "CHG-1".to_owned(), span, scope: Glob::new("*") }
    };
    type Reload<'a> = &'a dyn Fn(&World, &mut Rules);
    let manager = |rules: &mut Rules, project| rules.managers.values_mut().next().unwrap().projects = vec![project];
    let reloads: [Reload<'_>; 4] = [
        &|_, _| {},
        &|_, rules| manager(rules, only("billing", &["cluster-*"])),
        &|_, rules| manager(rules, only("another", &[])),
        &|world, rules| rules.freezes.push(freeze(world)),
    ];
    for (n, reload) in reloads.into_iter().enumerate() {
        let world = World::new(43, 1, later.clone(), 4, &[Fate::Apply]);
        let daemon = world.start();
        world.pass(DAY).await;
        world.far_end.truth().slow = 1000;
        let target = ids(&world).remove(0);
        let due = due_at(&world.journal.fleet().targets[&target], &later).unwrap();
        world.pass(Duration::try_from(due.duration_since(world.clock.now())).unwrap() - Duration::from_secs(60)).await;
        world.far_end.truth().asked.clear();
        until_asked(&world).await;
        let mut rules = Rules::clone(&world.rules.lock().unwrap());
        reload(&world, &mut rules);
        *world.rules.lock().unwrap() = Arc::new(rules);
        daemon.engine.reconfigure(world.parts());
        world.pass(DAY).await;
        let intended = world.journal.count(|event| matches!(event, Event::RotationIntended { .. }));
        let expected = usize::from(n == 0);
        assert_eq!((intended, world.far_end.truth().puts.len()), (expected, expected), "reload {n}");
        daemon.stop().await;
    }
}

/// The answer to a listing that was asked by a former configuration says nothing of the one in force: the manager is listed anew.
#[tokio::test(start_paused = true)]
async fn a_reload_lists_anew_what_is_being_listed() {
    let world = World::new(44, 1, policy(), 4, &[Fate::Apply]);
    world.far_end.truth().slow = 1000;
    let daemon = world.start();
    world.pass(Duration::from_millis(1)).await;
    let listings = {
        let truth = world.far_end.truth();
        (truth.listings_asked, truth.listings)
    };
    assert_eq!(listings, (1, 0), "the first is under way");
    daemon.engine.reconfigure(world.parts());
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.far_end.truth().listings, 2, "the first listing was not believed");
    daemon.stop().await;
}

fn withheld(event: &Event) -> bool {
    let ours = |failure: &Failure| (failure.reason, failure.scope) == (Reason::Withheld, Scope::Ourselves);
    matches!(event, Event::RotationFailed { failure, .. } if ours(failure))
}

/// A disk that hangs between the decision to send and the PUT holds it up beyond its window: it does not leave any more.
#[tokio::test(start_paused = true)]
async fn a_put_does_not_leave_late_because_its_record_took_long() {
    let windows = Windows::new(TimeZone::UTC, vec!["00:00-01:00".parse().unwrap()]);
    let world = World::new(45, 1, Policy { windows, max_attempts: 1, ..policy() }, 4, &[Fate::Apply]);
    world.journal.hang_at("rotation_sending", Duration::from_secs(2 * 3600));
    let daemon = world.start();
    world.pass(Duration::from_secs(3 * 3600)).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(withheld)), (0, 1));
    world.pass(DAY).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1), "and rotated in the next window");
    daemon.stop().await;
}

/// Runs until the first PUT is on record as sent and waits for its turn.
async fn until_queued(world: &World) {
    while world.journal.count(|event| matches!(event, Event::RotationSending { .. })) == 0 {
        world.pass(Duration::from_millis(1)).await;
    }
    world.pass(Duration::from_millis(100)).await;
}

/// What an operator orders while a PUT waits for its turn holds it back: a pause, a freeze, a reload. It costs no attempt, since
/// the far end had no part in it, and when it is over the slot is answered.
#[tokio::test(start_paused = true)]
async fn a_put_that_waits_for_its_turn_is_held_back_by_what_is_ordered_meanwhile() {
    let windows = Windows::new(TimeZone::UTC, vec!["00:00-01:00".parse().unwrap()]);
    for case in ["nothing", "a pause", "a freeze", "the configuration", "the end of the window"] {
        let policy = Policy { windows: windows.clone(), max_attempts: 1, ..policy() };
        let world = World::new(46, 1, policy, 4, &[Fate::Apply]);
        let late = case == "the end of the window";
        world.far_end.truth().queue = Duration::from_secs(if late { 3600 } else { 20 });
        let daemon = world.start();
        until_queued(&world).await;
        let (start, scope, reason) = (world.clock.now(), "emea/*".to_owned(), "CHG-1".to_owned());
        let end = start + SignedDuration::from_hours(2);
        let order = match case {
            "a pause" => Some(Event::PauseSet { scope, until: end, reason, by: caller() }),
            "a freeze" => Some(Event::FreezeSet { name: "f".to_owned(), scope, start, end, reason, by: caller() }),
            _ => None,
        };
        daemon.engine.order(&caller(), order.into_iter().collect()).await.unwrap();
        let before = Arc::clone(&world.rules.lock().unwrap());
        if case == "the configuration" {
            let mut rules = Rules::clone(&before);
            let (project, exclude) = (ProjectSelector::Name("billing".to_owned()), vec![Glob::new("cluster-*")]);
            rules.managers.values_mut().next().unwrap().projects =
                vec![ProjectRules { project, policy: None, exclude }];
            *world.rules.lock().unwrap() = Arc::new(rules);
            daemon.engine.reconfigure(world.parts());
        }
        world.pass(Duration::from_secs(2 * 3600)).await;
        let held = usize::from(case != "nothing");
        assert_eq!((world.far_end.truth().puts.len(), world.journal.count(withheld)), (1 - held, held), "{case}");
        world.far_end.truth().queue = Duration::ZERO;
        *world.rules.lock().unwrap() = before;
        daemon.engine.reconfigure(world.parts());
        world.pass(DAY).await;
        assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1), "{case}");
        daemon.stop().await;
    }
}

/// A stop sends nothing more, not even what is on record as sent and waits for its turn. The next life answers the slot.
#[tokio::test(start_paused = true)]
async fn a_put_that_waits_for_its_turn_does_not_leave_after_a_stop() {
    let world = World::new(47, 1, policy(), 4, &[Fate::Apply]);
    world.far_end.truth().queue = Duration::from_secs(20);
    let daemon = world.start();
    until_queued(&world).await;
    daemon.stop().await;
    let why =
        |event: &Event| matches!(event, Event::RotationFailed { failure, .. } if failure.detail.contains("stopped"));
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(why)), (0, 1));
    let daemon = world.start();
    world.pass(Duration::from_secs(120)).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1));
    daemon.stop().await;
}
