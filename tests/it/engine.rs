//! The promises of the engine, in virtual time: one change for each slot, whatever the far end does and whenever we die.

use std::time::Duration;

use rekeyd::domain::{Event, How, Period, State};
use rekeyd::policy::{FirstRotation, Policy, Spread, due_at};

use rekeyd::ports::{Clock, Journal};

use crate::world::{Chance, Fate, World};

const DAY: Duration = Duration::from_secs(86_400);

fn policy() -> Policy {
    Policy {
        every: Period::days(30),
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
    assert_eq!(world.far_end.truth().puts, 40);
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

/// A lost reply and a 500 prove nothing: the look settles them, and nothing is sent twice.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_settled_by_looking() {
    for fate in [Fate::ApplyAndCut, Fate::ApplyAndFail, Fate::ApplyLater(300)] {
        let world = World::new(3, 10, policy(), 4, &[fate]);
        let daemon = world.start();
        world.pass(DAY).await;
        assert_eq!(world.journal.count(done), 10, "{fate:?}");
        assert_eq!(world.far_end.truth().puts, 10, "{fate:?}");
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
    assert_eq!(world.far_end.truth().puts, 1);
    world.pass(Duration::from_secs(600)).await;
    assert!(world.far_end.truth().puts > 1, "after the settle time it is tried again");
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
    assert_eq!((unconfirmed, how(How::Recovered), world.far_end.truth().puts), (1, 1, 1));
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
    world.far_end.truth().apply(&target);
    world.pass(Duration::from_secs(60)).await;
    let found = |event: &Event| matches!(event, Event::RotationDone { how: How::FoundChanged, .. });
    assert_eq!((world.journal.count(found), world.far_end.truth().puts), (1, 1));
    assert!(due(&world).duration_since(first_due) > jiff::SignedDuration::from_hours(24 * 28));
    daemon.stop().await;
}

/// A target that fails for good is put aside, and its neighbours do not notice.
#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_quarantines_at_once() {
    let world = World::new(7, 6, policy(), 4, &[Fate::Refuse]);
    let daemon = world.start();
    world.pass(30 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { .. })), 6);
    assert_eq!(world.far_end.truth().puts, 6, "no second try without an operator");
    daemon.stop().await;
}

/// The attempts of the policy are a budget; when it is spent an operator is asked.
#[tokio::test(start_paused = true)]
async fn the_attempts_of_a_slot_are_bounded() {
    let world = World::new(8, 1, policy(), 4, &[Fate::Busy]);
    let daemon = world.start();
    world.pass(30 * DAY).await;
    assert_eq!(world.far_end.truth().puts, 8);
    assert_eq!(world.journal.count(|event| matches!(event, Event::TargetQuarantined { attempts: 8, .. })), 1);
    daemon.stop().await;
}

/// A manager that is down costs a few probes, and everything goes on by itself when it is back.
#[tokio::test(start_paused = true)]
async fn an_outage_holds_everything_and_ends_by_itself() {
    let world = World::new(9, 40, policy(), 4, &[Fate::Apply]);
    world.far_end.truth().down = true;
    let daemon = world.start();
    world.pass(7 * DAY).await;
    assert_eq!(world.journal.count(|event| matches!(event, Event::ManagerFailing { .. })), 1);
    world.far_end.truth().down = false;
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 40);
    world.far_end.truth().down = true;
    world.pass(40 * DAY).await;
    assert!(world.far_end.truth().gets < 100 * 40, "{} GETs", world.far_end.truth().gets);
    world.far_end.truth().down = false;
    world.pass(DAY).await;
    assert_eq!(world.journal.count(done), 80);
    world.check().unwrap();
    daemon.stop().await;
}

/// No record, no rotation: while the ledger can not be written no PUT leaves, and afterwards all goes on.
#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_sent() {
    let world = World::new(10, 10, policy(), 4, &[Fate::Apply]);
    let daemon = world.start();
    world.pass(DAY).await;
    world.journal.refuse(true);
    world.pass(40 * DAY).await;
    assert_eq!(world.far_end.truth().puts, 10);
    world.journal.refuse(false);
    world.pass(DAY).await;
    assert_eq!(world.far_end.truth().puts, 20);
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
        (target.clone(), keys[0].clone())
    };
    world.far_end.truth().keys.get_mut(&target).unwrap().push(first.clone());
    world.pass(2 * DAY).await;
    let named = |event: &Event| matches!(event, Event::KeyChanged { change: rekeyd::domain::KeyChange::Regression, after, .. } if *after == first);
    assert_eq!(world.journal.count(named), 1);
    daemon.stop().await;
}

/// The first promise: crashes at any await, any mixture of faults, and still one change for each slot, each explained.
#[tokio::test(start_paused = true)]
async fn crashes_and_faults_neither_double_nor_lose() {
    let fates = [
        Fate::Apply,
        Fate::Apply,
        Fate::ApplyAndCut,
        Fate::ApplyAndFail,
        Fate::ApplyLater(40),
        Fate::ApplyLater(500),
        Fate::Cut,
        Fate::Nothing,
        Fate::Busy,
    ];
    for seed in 0..25 {
        let world = World::new(seed, 6, policy(), 3, &fates);
        let mut chance = Chance(seed ^ 0xC0FFEE);
        for _ in 0..40 {
            let daemon = world.start();
            let length = match chance.below(4) {
                0 => Duration::from_millis(chance.below(200)),
                1 => Duration::from_millis(chance.below(20_000)),
                2 => Duration::from_secs(chance.below(2_000)),
                _ => Duration::from_secs(chance.below(86_400 * 6)),
            };
            world.pass(length).await;
            if chance.below(5) == 0 {
                daemon.stop().await;
            } else {
                daemon.crash().await;
            }
            world.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let daemon = world.start();
        world.pass(DAY).await;
        let fleet = world.journal.fleet();
        let open = fleet
            .targets
            .values()
            .filter(|record| record.rotation.as_ref().is_some_and(|r| r.state() == State::Sending));
        assert_eq!(open.count(), 0, "seed {seed}: a rotation is stuck");
        world.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        daemon.stop().await;
    }
}
