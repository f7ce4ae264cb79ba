//! The main job: every due key is rotated once, proved, recorded and shown, though replies get lost.

use rekeyd::simulator::{FaultKind, FleetSpec, PutOutcome, Simulator, SimulatorSpec};

use super::accounts::{agree, all_settled};
use super::site::{Site, Wanted};

const TARGETS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_are_rotated_once_each_though_one_reply_in_ten_is_lost() {
    let simulator = Simulator::start(SimulatorSpec {
        fleet: FleetSpec::uniform(TARGETS),
        faults: vec![FaultKind::CutAfter.everywhere().probability(0.1)],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let site = Site::new(&Wanted { max_concurrent: 64, ..Wanted::of(&simulator) });
    let daemon = site.start();
    all_settled(&site, &simulator);

    // With the daemon up, and with it down.
    agree(&site, &simulator.truth());
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!(agree(&site, &truth), TARGETS);
    assert_eq!(truth.puts.len(), TARGETS, "no PUT but those that were due");
    assert!(truth.puts.iter().all(|put| matches!(put.outcome, PutOutcome::Changed { .. })));

    // Each lost reply was settled by a look, and no other was needed.
    let lost = truth.requests.faults["cut-after"];
    assert!((50..200).contains(&lost), "{lost} replies were lost");
    let history = site.json(&["history"]);
    let how = |how: &str| history.iter().filter(|row| row["how"] == how).count() as u64;
    assert_eq!((history.len(), how("recovered"), how("rotated")), (TARGETS, lost, TARGETS as u64 - lost));
    assert!(truth.max_concurrent_requests <= 64, "{}", truth.max_concurrent_requests);
}
