//! The promises of the engine, in virtual time: one change for each slot, whatever the far end does and whenever we die.

mod asked;

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Actor, Caller, Entry, Event, How, KeyChange, Period, RotationId};
use rekeyd::policy::{Cron, FirstRotation, Policy, Rhythm, Spread, Windows, due_at};

use rekeyd::ports::{Clock, Journal};

use crate::world::{Fate, World};

const DAY: Duration = Duration::from_secs(86_400);

fn policy() -> Policy {
    Policy {
        rhythm: Period::days(30).into(),
        spread: Spread::Percent(10),
        first_rotation: FirstRotation::Now,
        observe_every: Period::days(1),
        ..Policy::with_defaults("default".into())
    }
}

fn done(event: &Event) -> bool {
    matches!(event, Event::RotationDone { .. })
}

/// The main job: every target is found, rotated once, confirmed by a look, recorded; and again an interval later.
#[tokio::test(start_paused = true)]
async fn each_slot_is_answered_once() {
    let world = World::new(1, 40, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 40);
    assert_eq!(world.far_end.truth().puts.len(), 40);
    // 30 days, and at most 3 for the spread.
    world.pass(28 * DAY).await;
    assert_eq!(world.journal.count(done), 40, "nobody rotates early");
    world.pass(5 * DAY).await;
    assert_eq!(world.journal.count(done), 80);
    assert_eq!(world.far_end.truth().applied, 80);
    world.check().unwrap();
    daemon.stop().await;
}

/// Members of a cluster go one after another, and no manager has more in hand than it may.
#[tokio::test(start_paused = true)]
async fn members_take_turns_and_the_limit_holds() {
    let world = World::new(2, 40, policy(), 4, &[Fate::ApplyLater(5)]);
    let daemon = world.start();
    let mut most = 0;
    while world.journal.count(done) < 40 {
        world.pass(Duration::from_millis(20)).await;
        let fleet = world.journal.fleet();
        let open: Vec<_> = fleet.targets.values().filter(|record| record.rotation.is_some()).collect();
        most = most.max(open.len());
        for (n, one) in open.iter().enumerate() {
            assert!(
                open.iter().skip(n + 1).all(|other| !one.target.is_member_with(&other.target)),
                "two members at once"
            );
        }
    }
    assert_eq!(most, 4);
    daemon.stop().await;
}

/// A place that comes free is for the next in line, and takes no plan of the whole fleet.
#[tokio::test(start_paused = true)]
async fn a_fleet_is_rotated_with_far_fewer_plans_than_rotations() {
    let windows = Windows::new(TimeZone::UTC, vec!["Sat 01:00-05:00".parse().unwrap()]);
    let world = World::new(20, 200, Policy { windows, ..policy() }, 4, &[Fate::Apply]);
    let daemon = world.start();
    let opens: Timestamp = "2026-01-03T01:00:00Z".parse().unwrap();
    world.pass(opens.duration_since(world.clock.now()).unsigned_abs() - Duration::from_secs(1)).await;
    assert_eq!(world.journal.count(done), 0);
    let before = *daemon.plans.borrow();
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.journal.count(done), 200);
    let plans = *daemon.plans.borrow() - before;
    assert!(plans < 20, "{plans} plans");
    world.check().unwrap();
    daemon.stop().await;
}

/// A lost reply and a 500 prove nothing: the look settles them, and nothing is sent twice.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_settled_by_looking() {
    for fate in [Fate::ApplyAndCut, Fate::ApplyAndFail, Fate::ApplyLater(300)] {
        let world = World::new(3, 10, policy(), 4, &[fate]);
        let daemon = world.start();
        world.pass(DAY).await;
        assert_eq!(world.journal.count(done), 10, "{fate:?}");
        assert_eq!(world.far_end.truth().puts.len(), 10, "{fate:?}");
        world.check().unwrap();
        daemon.stop().await;
    }
}

/// No second PUT leaves before the settle time, even if the first one seems to have had no effect.
#[tokio::test(start_paused = true)]
async fn no_second_put_before_the_settle_time() {
    let world = World::new(4, 1, policy(), 4, &[Fate::Cut]);
    let daemon = world.start();
    world.pass(Duration::from_secs(590)).await;
    assert_eq!(world.far_end.truth().puts.len(), 1);
    world.pass(Duration::from_secs(600)).await;
    assert!(world.far_end.truth().puts.len() > 1, "after the settle time it is tried again");
    daemon.stop().await;
}

/// What acts after its deadline still belongs to the attempt that asked for it.
#[tokio::test(start_paused = true)]
async fn a_late_change_is_recovered_and_not_called_foreign() {
    let mut policy = policy();
    policy.max_attempts = 1;
    policy.observe_every = Period::seconds(10);
    let world = World::new(5, 1, policy, 4, &[Fate::ApplyLater(1000)]);
    let daemon = world.start();
    world.pass(DAY).await;
    let how =
        |wanted: How| world.journal.count(|event| matches!(event, Event::RotationDone { how, .. } if *how == wanted));
    let unconfirmed = world.journal.count(|event| matches!(event, Event::RotationUnconfirmed { .. }));
    assert_eq!((unconfirmed, how(How::Recovered), world.far_end.truth().puts.len()), (1, 1, 1));
    world.check().unwrap();
    daemon.stop().await;
}

/// Somebody else was faster: the slot is answered, nothing is sent.
#[tokio::test(start_paused = true)]
async fn a_key_that_others_changed_answers_the_slot() {
    let world = World::new(6, 1, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY).await;
    let due = |world: &World| {
        let fleet = world.journal.fleet();
        due_at(fleet.targets.values().next().unwrap(), &policy()).unwrap()
    };
    let first_due = due(&world);
    world.pass(Duration::try_from(first_due.duration_since(world.clock.now())).unwrap()).await;
    // The daemon and this test wake at the same moment; the daemon's question is still on its way.
    let target = world.journal.fleet().targets.keys().next().unwrap().clone();
    world.far_end.rotate_behind_our_back(&target);
    world.pass(Duration::from_secs(60)).await;
    let found = |event: &Event| matches!(event, Event::RotationDone { how: How::FoundChanged, .. });
    assert_eq!((world.journal.count(found), world.far_end.truth().puts.len()), (1, 1));
    assert!(due(&world).duration_since(first_due) > SignedDuration::from_hours(24 * 28));
    daemon.stop().await;
}

fn nightly() -> Policy {
    let rhythm = Rhythm::Cron(Box::new(Cron::new("0 2 * * *", TimeZone::UTC).unwrap()));
    Policy { rhythm, spread: Spread::Percent(0), first_rotation: FirstRotation::Spread, ..policy() }
}

/// So it is with a calendar: the night that a person answered just before two o'clock is over.
#[tokio::test(start_paused = true)]
async fn a_key_that_others_changed_answers_the_calendars_night() {
    let world = World::new(32, 1, nightly(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(Duration::from_secs(7200 - 60)).await;
    let target = world.journal.fleet().targets.keys().next().unwrap().clone();
    world.far_end.rotate_behind_our_back(&target);
    world.pass(DAY - Duration::from_secs(3600)).await;
    let found = |event: &Event| matches!(event, Event::RotationDone { how: How::FoundChanged, .. });
    assert_eq!((world.journal.count(found), world.far_end.truth().puts.len()), (1, 0));
    world.pass(2 * DAY).await;
    assert_eq!(world.far_end.truth().puts.len(), 2, "and the next ones are ours");
    world.check().unwrap();
    daemon.stop().await;
}

/// A clock that is set back by seconds, while the look before a rotation is on its way, does not make its night come twice.
#[tokio::test(start_paused = true)]
async fn a_night_comes_once_where_the_clock_is_set_back_in_it() {
    let world = World::new(33, 1, nightly(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(Duration::from_secs(7200 - 1)).await;
    let asked = |world: &World| world.far_end.truth().asked.values().sum::<u64>();
    let before = asked(&world);
    while asked(&world) == before {
        world.pass(Duration::from_micros(100)).await;
    }
    world.clock.step(SignedDuration::from_secs(-5));
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1));
    daemon.stop().await;
}

/// A target that fails for good is put aside, and its neighbours do not notice.
#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_quarantines_at_once() {
    let world = World::new(7, 6, policy(), 4, &[Fate::Refuse]);
    let daemon = world.start();
    world.pass(30 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })), 6);
    assert_eq!(world.far_end.truth().puts.len(), 6, "no second try without an operator");
    daemon.stop().await;
}

/// The attempts of the policy are a budget; when it is spent an operator is asked.
#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_slot_are_bounded() {
    let world = World::new(8, 1, policy(), 4, &[Fate::Busy(None)]);
    let daemon = world.start();
    world.pass(30 * DAY).await;
    assert_eq!(world.far_end.truth().puts.len(), 8);
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { attempts: 8, .. })), 1);
    daemon.stop().await;
}

/// A manager that is down costs a few probes, and everything goes on by itself when it is back.
#[tokio::test(start_paused = true)]
async fn an_outage_holds_everything_and_ends_by_itself() {
    let world = World::new(9, 40, policy(), 4, &[Fate::Apply]);
    world.far_end.truth().down_until = Duration::MAX;
    let daemon = world.start();
    world.pass(7 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::ManagerFailing { .. })), 1);
    world.far_end.truth().down_until = Duration::ZERO;
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 40);
    world.far_end.truth().down_until = Duration::MAX;
    world.pass(40 * DAY).await;
    assert!(world.far_end.truth().gets < 100 * 40, "{} GETs", world.far_end.truth().gets);
    world.far_end.truth().down_until = Duration::ZERO;
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 80);
    world.check().unwrap();
    daemon.stop().await;
}

/// No record, no rotation: while the ledger cannot be written no PUT leaves, and afterwards all goes on.
#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_sent() {
    let world = World::new(10, 10, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY).await;
    world.journal.fill_the_disk(40 * DAY);
    world.pass(40 * DAY).await;
    assert_eq!(world.far_end.truth().puts.len(), 10);
    world.pass(DAY).await;
    assert_eq!(world.far_end.truth().puts.len(), 20);
    assert_eq!(world.journal.count(|event| matches!(event, Event::LedgerRecovered { .. })), 1);
    world.check().unwrap();
    daemon.stop().await;
}

/// A key that returns to an earlier one is no rotation: it is named, its age is its old age, and it is rotated away.
#[tokio::test(start_paused = true)]
async fn a_return_to_an_earlier_key_is_named() {
    let world = World::new(11, 1, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(31 * DAY).await;
    let (target, first) = {
        let truth = world.far_end.truth();
        let (target, keys) = truth.keys.iter().next().unwrap();
        (target.clone(), keys[0].id.clone())
    };
    world.far_end.restore(&target);
    world.pass(2 * DAY).await;
    let named = |event: &Event| matches!(event, Event::KeyChanged { change: KeyChange::Regression, after, .. } if *after == first);
    assert_eq!(world.journal.count(named), 1);
    daemon.stop().await;
}

/// Nor is it one while a rotation is in hand: the PUT may still act, and the earlier key is rotated away all the same.
#[tokio::test(start_paused = true)]
async fn a_return_to_an_earlier_key_is_not_taken_for_the_rotation_in_hand() {
    let world = World::new(12, 1, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY).await;
    world.far_end.truth().fates = vec![Fate::Nothing];
    while world.far_end.truth().puts.len() < 2 {
        world.pass(Duration::from_secs(30)).await;
    }
    let target = world.journal.fleet().targets.keys().next().unwrap().clone();
    world.far_end.restore(&target);
    world.pass(Duration::from_secs(60)).await;
    let regressed = |event: &Event| matches!(event, Event::KeyChanged { change: KeyChange::Regression, .. });
    assert_eq!((world.journal.count(regressed), world.journal.count(done)), (1, 1));
    world.far_end.truth().fates = vec![Fate::Apply];
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 2);
    world.check().unwrap();
    daemon.stop().await;
}

/// How long ago a PUT left, the wall clock does not tell: it may have leapt while nobody looked.
#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_over_a_restart_does_not_cut_the_settle_time_short() {
    let world = World::new(13, 1, policy(), 4, &[Fate::ApplyLater(300)]);
    let daemon = world.start();
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.far_end.truth().puts.len(), 1);
    daemon.crash().await;
    world.clock.step(SignedDuration::from_hours(24));
    let daemon = world.start();
    world.pass(Duration::from_secs(1000)).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1));
    daemon.stop().await;
}

/// A target that cannot be read any more keeps its neighbours waiting for the settle time, and not for ever.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_can_not_be_looked_at_ends_unconfirmed() {
    let world = World::new(14, 4, policy(), 1, &[Fate::Nothing]);
    let daemon = world.start();
    while world.far_end.truth().puts.is_empty() {
        world.pass(Duration::from_millis(10)).await;
    }
    let broken = world.far_end.truth().puts[0].target.clone();
    world.far_end.truth().broken.insert(broken);
    world.far_end.truth().fates = vec![Fate::Apply];
    world.pass(Duration::from_secs(1200)).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::RotationUnconfirmed { .. })), 1);
    assert_eq!(world.journal.count(done), 3);
    assert_eq!(
        world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })),
        1,
        "and it is not silent"
    );
    daemon.stop().await;
}

/// What a manager does wrong is not counted against its targets.
#[tokio::test(start_paused = true)]
async fn an_outage_that_comes_and_goes_spends_no_attempts() {
    let mut policy = policy();
    policy.max_attempts = 2;
    let world = World::new(15, 3, policy, 4, &[Fate::Unreachable]);
    let daemon = world.start();
    world.pass(5 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })), 0);
    let failed = world.journal.count(|event| matches!(event, Event::RotationFailed { .. }));
    assert!((9..=1000).contains(&failed), "{failed} attempts in five days");
    world.far_end.truth().fates = vec![Fate::Apply];
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 3);
    daemon.stop().await;
}

/// A PUT that acts after the settle time, when another has answered the slot, is told with the attempt that sent it.
#[tokio::test(start_paused = true)]
async fn what_acts_beyond_the_settle_time_is_told_by_name() {
    let world = World::new(16, 1, policy(), 4, &[Fate::ApplyLater(2000)]);
    let daemon = world.start();
    world.pass(Duration::from_secs(60)).await;
    world.far_end.truth().fates = vec![Fate::Apply];
    world.pass(2 * DAY).await;
    let named = |event: &Event| {
        matches!(
            event,
            Event::KeyChanged { change: KeyChange::Foreign, suspect: Some(RotationId { slot: 1, attempt: 1 }), .. }
        )
    };
    assert_eq!((world.far_end.truth().applied, world.journal.count(done), world.journal.count(named)), (2, 1, 1));
    world.check().unwrap();
    daemon.stop().await;
}

/// A manager that takes requests in and never answers is found out by a listing, before much is spent on it.
#[tokio::test(start_paused = true)]
async fn a_manager_that_hangs_costs_a_few_probes() {
    let world = World::new(17, 40, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(29 * DAY).await;
    world.far_end.truth().hangs_until = Duration::MAX;
    world.pass(7 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::ManagerFailing { .. })), 1);
    assert!(world.fired.counts()["manager: hangs"] < 7 * 24 * 12 + 50);
    world.far_end.truth().hangs_until = Duration::ZERO;
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 80);
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })), 0);
    daemon.stop().await;
}

/// A clock that is set back silences nothing, hurries nothing, and makes no loop; the step is on record.
#[tokio::test(start_paused = true)]
async fn a_clock_set_back_neither_silences_nor_hurries() {
    let world = World::new(18, 4, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(40 * DAY).await;
    let (done_before, gets_before) = (world.journal.count(done), world.far_end.truth().gets);
    world.clock.step(SignedDuration::from_hours(-24 * 20));
    world.pass(10 * DAY).await;
    assert_eq!(world.journal.count(done), done_before);
    assert!(world.far_end.truth().gets - gets_before < 4 * 15, "{} looks", world.far_end.truth().gets - gets_before);
    assert_eq!(world.journal.count(|event| matches!(event, Event::ClockStepped { by_s } if *by_s < -1_000_000)), 1);
    daemon.stop().await;
}

/// A clock that runs a year ahead for an hour does not silence the fleet for a year: keys are dated anew.
#[tokio::test(start_paused = true)]
async fn keys_dated_in_the_future_are_dated_anew() {
    let world = World::new(19, 4, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(2 * DAY).await;
    world.clock.step(SignedDuration::from_hours(24 * 365));
    world.pass(Duration::from_secs(2 * 3600)).await;
    assert_eq!(world.journal.count(done), 8, "the clock stays, all are due, and rotated once");
    world.clock.step(SignedDuration::from_hours(-24 * 365));
    world.pass(2 * DAY).await;
    assert_eq!(world.journal.count(done), 8);
    world.check_calm().unwrap();
    daemon.stop().await;
}

/// A clock that leaps ahead and is set right within the hour rotates nothing that is not due, and ends nobody's pause.
#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_ahead_and_comes_back_makes_nothing_due() {
    let world = World::new(20, 4, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(2 * DAY).await;
    let by = Caller { uid: 0, gid: 0, pid: 0, user: None, login: None };
    let (at, scope) = (world.clock.now(), "emea/*".to_owned());
    let until = at + SignedDuration::from_hours(24);
    let event = Event::PauseSet { scope, until, reason: "CHG-1".to_owned(), by };
    world.journal.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await.unwrap();
    world.clock.step(SignedDuration::from_hours(24 * 365));
    world.pass(Duration::from_secs(50 * 60)).await;
    world.clock.step(SignedDuration::from_hours(-24 * 365));
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!((world.journal.count(done), world.far_end.truth().puts.len()), (4, 4), "only the first ones");
    let ended = |event: &Event| matches!(event, Event::PauseEnded { .. });
    assert_eq!((world.journal.fleet().pauses.len(), world.journal.count(ended)), (1, 0));
    world.pass(2 * DAY).await;
    assert_eq!((world.journal.fleet().pauses.len(), world.journal.count(ended)), (0, 1));
    daemon.stop().await;
}

/// A look by a clock that ran ahead bounds nothing: what somebody else does to the key while no daemon runs is not taken for
/// younger than it is, neither by a look nor by the look before a rotation; and a key that came under that clock keeps its age.
#[tokio::test(start_paused = true)]
async fn a_clock_that_ran_ahead_makes_no_key_younger() {
    let leap = SignedDuration::from_hours(24 * 40);
    for (case, asked) in [("changed while down", false), ("changed while down", true), ("changed in the leap", false)] {
        let world = World::new(21, 1, Policy { observe_every: Period::minutes(10), ..policy() }, 4, &[Fate::Apply]);
        let daemon = world.start();
        world.pass(DAY).await;
        let (target, before) = (world.far_end.truth().targets[0].id(), world.clock.now());
        world.clock.step(leap);
        world.pass(Duration::from_secs(20 * 60)).await;
        let changed = world.clock.monotonic();
        if case == "changed in the leap" {
            world.far_end.rotate_behind_our_back(&target);
            world.pass(Duration::from_secs(15 * 60)).await;
        }
        daemon.crash().await;
        world.clock.step(-leap);
        if case == "changed while down" {
            world.far_end.rotate_behind_our_back(&target);
        }
        if asked {
            let (at, by) = (world.clock.now(), Caller { uid: 0, gid: 0, pid: 0, user: None, login: None });
            let reason = "CHG-1".to_owned();
            let event = Event::RotationRequested { target: target.clone(), reason, by, overrides: false };
            world.journal.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await.unwrap();
        }
        world.pass(14 * DAY).await;
        let daemon = world.start();
        world.pass(Duration::from_secs(1200)).await;
        let key = world.journal.fleet().targets[&target].key.clone().unwrap();
        let bound = key.not_before.expect("it was seen in use");
        match case {
            "changed while down" => assert!(bound <= before, "{asked}: {bound}, last looked at {before}"),
            _ => {
                let late = world.clock.true_time(changed).duration_since(bound).as_secs();
                assert!((0..1200).contains(&late), "dated {bound}, {late} s before it came");
            }
        }
        world.check().unwrap();
        daemon.stop().await;
    }
}

/// An attempt that was intended before a restart, sent long after it and met by a gateway that gave up: the settle time
/// begins when the request leaves, not when the attempt was found.
#[tokio::test(start_paused = true)]
async fn what_was_found_before_it_was_sent_has_its_whole_settle_time() {
    let spread = Policy { first_rotation: FirstRotation::Spread, ..policy() };
    let world = World::new(31, 1, spread, 4, &[Fate::GatewayAndApplyLater(500)]);
    let daemon = world.start();
    world.pass(Duration::from_secs(10)).await;
    daemon.stop().await;
    let (target, record) =
        world.journal.fleet().targets.first_key_value().map(|(id, it)| (id.clone(), it.clone())).unwrap();
    let now = world.clock.now();
    let intended = Event::RotationIntended {
        target: target.clone(),
        rotation: RotationId { slot: 1, attempt: 1 },
        due_at: now,
        key_before: record.key.clone().unwrap().id,
        looked_at: now,
    };
    world.journal.record(vec![Entry { at: now, actor: Actor::Schedule, event: intended }]).await.unwrap();

    world.far_end.truth().down_until = world.clock.monotonic() + Duration::from_secs(1200);
    let daemon = world.start();
    while world.far_end.truth().puts.is_empty() {
        world.pass(Duration::from_millis(1)).await;
    }
    world.far_end.truth().blocked.insert(target);
    world.pass(Duration::from_secs(1)).await;
    world.far_end.truth().blocked.clear();
    world.pass(Duration::from_secs(1200)).await;
    assert_eq!((world.far_end.truth().puts.len(), world.journal.count(done)), (1, 1));
    world.check().unwrap();
    daemon.stop().await;
}
