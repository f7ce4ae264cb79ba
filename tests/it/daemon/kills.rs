//! `kill -9` at any moment: nothing is rotated twice, nothing is lost, nothing stays unexplained.

use std::collections::HashMap;
use std::time::Duration;

use rekeyd::domain::RotationFilter;
use rekeyd::domain::State;
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, PutOutcome, Scope, Simulator, SimulatorSpec};

use super::accounts::{agree, all_settled, deaths_wanted, settles, verified};
use super::site::{Site, Wanted, until};
use crate::world::Chance;

/// Kills of one ledger, and all of them if nothing else is said: each ends with an `audit verify`, which takes the longer
/// the longer the ledger is.
const KILLS: usize = 24;
/// More targets than a life can serve before it is killed.
const TARGETS_A_KILL: usize = 17;
const SEED: u64 = 20;

/// PUTs that take their time, keys that show late, replies that are lost: at every moment some rotation is in every state.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_next_life_settles_what_was_open_and_rotates_nothing_twice() {
    // How many rotations the kills found in each state, over all lives.
    let mut found: HashMap<State, usize> = HashMap::new();
    let mut left = deaths_wanted().map_or(KILLS, |deaths| deaths * 10);
    let mut seed = SEED;
    while left > 0 {
        let kills = left.min(KILLS);
        killed(kills, seed, &mut found).await;
        (left, seed) = (left - kills, seed + 1);
    }
    println!("what the kills found: {found:?}");
    for state in [State::Intended, State::Sending, State::Confirming] {
        assert!(found.contains_key(&state), "no kill found a rotation {state:?}: {found:?}");
    }
}

/// Kills daemon after daemon of one ledger, lets the last one finish, and compares the accounts.
async fn killed(kills: usize, seed: u64, found: &mut HashMap<State, usize>) {
    let targets = kills * TARGETS_A_KILL;
    let simulator = Simulator::start(SimulatorSpec {
        fleet: FleetSpec::uniform(targets),
        timing: KeyTiming::After(Duration::from_millis(60)),
        faults: vec![
            FaultKind::CutAfter.everywhere().probability(0.1),
            FaultKind::Slow(Duration::from_millis(40)).everywhere().probability(0.5),
            // These act long after their time-out, in the next life as like as not: an old key proves nothing before.
            FaultKind::Slow(Duration::from_secs(3)).everywhere().scope(Scope::Put).probability(0.08),
        ],
        seed,
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let site = Site::new(&Wanted { max_concurrent: 32, request_timeout: "1s", settle: "5s", ..Wanted::of(&simulator) });
    let mut chance = Chance(seed);
    for _ in 0..kills {
        let daemon = site.launch();
        let before = simulator.truth().puts.len();
        // A life ends after its first few PUTs at the latest; one in six before it has done anything.
        let enough = before + usize::try_from(chance.below(12)).unwrap();
        if chance.below(6) > 0 {
            until("it sends", || (simulator.truth().puts.len() > enough).then_some(())).unwrap();
        }
        std::thread::sleep(Duration::from_millis(chance.below(60)));
        daemon.kill();
        if let Some(state) = open(&site) {
            for state in state {
                *found.entry(state).or_default() += 1;
            }
            verified(&site);
        }
    }
    assert!(simulator.truth().changes.len() < targets, "the last kills found nothing left to do");

    let daemon = site.launch();
    let settled = settles(&site, Duration::from_secs(5));
    all_settled(&site, &simulator);
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!(agree(&site, &truth), targets);
    let effective = truth.puts.iter().filter(|put| matches!(put.outcome, PutOutcome::Changed { .. })).count();
    assert_eq!(effective, targets);
    println!("{kills} kills, {targets} slots, {effective} rotations took effect; {settled}");
}

/// The states of the rotations that a dead daemon left open; none if it did not live to begin a ledger.
fn open(site: &Site) -> Option<Vec<State>> {
    let reader = rekeyd::store::Reader::open(&site.state()).ok()?;
    let rotations = reader.rotations(&RotationFilter::default(), None).unwrap();
    Some(rotations.into_iter().map(|rotation| rotation.state).filter(|state| state.is_open()).collect())
}
