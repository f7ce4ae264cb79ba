//! What a machine does to a process: freezes it, and copies its files at any moment.

use std::path::Path;
use std::time::Duration;

use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, PutOutcome, Simulator, SimulatorSpec};
use rekeyd::store::{DATABASE, Reader};

use super::accounts::{agree, all_settled};
use super::site::{Site, Wanted, until};
use crate::world::Chance;

async fn simulator(targets: usize) -> Simulator {
    Simulator::start(SimulatorSpec {
        fleet: FleetSpec::uniform(targets),
        timing: KeyTiming::After(Duration::from_millis(50)),
        faults: vec![FaultKind::CutAfter.everywhere().probability(0.2)],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap()
}

/// A virtual machine that is suspended for longer than every time-out wakes up with dead connections and old plans.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_for_longer_than_every_timeout_it_goes_on_without_a_second_put() {
    const TARGETS: usize = 60;
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted { request_timeout: "1s", settle: "2s", ..Wanted::of(&simulator) });
    let daemon = site.start();
    for part in 1..4 {
        let enough = TARGETS * part / 5;
        until("it sends", || (simulator.truth().puts.len() >= enough).then_some(())).unwrap();
        daemon.signal("STOP");
        // Longer than the request time-out and the settle time together: the length is what this test is about.
        std::thread::sleep(Duration::from_millis(3_500));
        daemon.signal("CONT");
    }
    all_settled(&site, &simulator);
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!(agree(&site, &truth), TARGETS);
    let effective = truth.puts.iter().filter(|put| matches!(put.outcome, PutOutcome::Changed { .. })).count();
    assert_eq!(effective, TARGETS);
}

/// What a power cut or a snapshot of the disk leaves at any moment, a torn end of the log included, is a sound ledger that
/// begins as the whole one does.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_any_moment_are_a_sound_ledger() {
    const TARGETS: usize = 12;
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted { max_concurrent: 2, ..Wanted::of(&simulator) });
    let daemon = site.start();
    let mut chance = Chance(7);
    let mut copies = Vec::new();
    while copies.len() < 12 {
        let enough = copies.len();
        until("it sends", || (simulator.truth().puts.len() >= enough).then_some(())).unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(30)));
        // Stopped for the length of the copy, so that both files are of one moment, as they are on a disk.
        daemon.signal("STOP");
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(site.state().join(DATABASE), copy.path().join(DATABASE)).unwrap();
        let log = format!("{DATABASE}-wal");
        let mut bytes = std::fs::read(site.state().join(&log)).unwrap_or_default();
        daemon.signal("CONT");
        // The log has not been folded into the database yet, so any part of its end may be missing after a cut.
        assert!(bytes.len() < 1_000 * 4_096, "a checkpoint may have run: take fewer targets");
        let lost = chance.below(20_000).min(bytes.len() as u64 / 2);
        bytes.truncate(bytes.len() - usize::try_from(lost).unwrap());
        std::fs::write(copy.path().join(&log), bytes).unwrap();
        copies.push(copy);
    }
    all_settled(&site, &simulator);
    daemon.stop();
    let whole = site.reader();
    let mut lengths = Vec::new();
    for copy in &copies {
        lengths.push(begins_as(copy.path(), &whole));
    }
    assert!(lengths.iter().max() > lengths.iter().min(), "every copy was of the same moment: {lengths:?}");
}

/// Verifies a copy and compares its records with the whole ledger's; returns how many there are.
fn begins_as(copy: &Path, whole: &Reader) -> u64 {
    let copy = Reader::open(copy).unwrap();
    let verified = copy.verify(|_, _| {}).unwrap();
    let limit = u32::try_from(verified.records).unwrap();
    assert_eq!(copy.records(0, limit).unwrap(), whole.records(0, limit).unwrap());
    verified.records
}
