//! What operators ask of an engine that is busy, in virtual time.

use std::time::Duration;

use rekeyd::domain::{Caller, Event, TargetId};
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
