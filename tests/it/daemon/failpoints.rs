//! Death at each step of a rotation, again and again: before and after every record that a rotation makes.

use std::time::Duration;

use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, PutOutcome, Simulator, SimulatorSpec};

use super::accounts::{agree, all_settled, deaths_wanted, settles, verified};
use super::site::{Site, Wanted, until};

/// Deaths at each failpoint, if nothing else is said.
const DEATHS: usize = 5;

/// Every target is rotated once, through as many deaths as it takes, and every account agrees.
async fn survives(failpoint: &str, faults: Vec<rekeyd::simulator::Fault>) {
    let wanted = deaths_wanted().unwrap_or(DEATHS);
    // Each life dies at its failpoint, so there are about as many deaths as targets.
    let targets = wanted * 8 / 5;
    let simulator = Simulator::start(SimulatorSpec {
        fleet: FleetSpec::uniform(targets),
        timing: KeyTiming::After(Duration::from_millis(30)),
        faults,
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let settings = Wanted { max_concurrent: 1, request_timeout: "1s", settle: "2s", ..Wanted::of(&simulator) };
    let site = Site::new(&settings);
    let mut deaths = 0;
    let done = || {
        let Ok(reader) = rekeyd::store::Reader::open(&site.state()) else { return false };
        let fleet = reader.fleet().unwrap();
        fleet.targets.len() == targets && fleet.targets.values().all(|target| target.last_rotation_at.is_some())
    };
    while deaths < wanted && !done() {
        let mut daemon = site.launch_doomed(failpoint);
        until("it dies or has nothing left to do", || (daemon.is_over() || done()).then_some(())).unwrap();
        if daemon.is_over() {
            deaths += 1;
            let (code, log) = daemon.ended();
            assert_eq!(code, None, "it ended, and did not die: {log}");
            verified(&site);
        }
    }
    assert!(deaths >= wanted.min(targets / 2), "{failpoint}: only {deaths} deaths");
    let daemon = site.launch();
    let settled = settles(&site, Duration::from_secs(2));
    all_settled(&site, &simulator);
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!(agree(&site, &truth), targets, "{failpoint}");
    let effective = truth.puts.iter().filter(|put| matches!(put.outcome, PutOutcome::Changed { .. })).count();
    assert_eq!(effective, targets, "{failpoint}");
    println!("{failpoint}: {deaths} deaths, {targets} slots, {effective} rotations took effect; {settled}");
}

/// The second time, where the first would be the same one in every life.
macro_rules! failpoints {
    ($($name:ident: $failpoint:literal, $faults:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                survives($failpoint, $faults).await;
            }
        )+
    };
}

failpoints! {
    dead_before_the_intent: "before:rotation_intended:2", vec![];
    dead_after_the_intent: "after:rotation_intended", vec![];
    dead_before_sending: "before:rotation_sending:2", vec![];
    dead_after_sending_was_recorded_and_before_the_put: "after:rotation_sending", vec![];
    dead_after_the_put_and_before_its_reply_was_recorded: "before:rotation_accepted", vec![];
    dead_after_the_reply_was_recorded: "after:rotation_accepted", vec![];
    dead_before_a_lost_reply_was_recorded: "before:rotation_reply_lost", vec![FaultKind::CutAfter.everywhere()];
    dead_after_a_lost_reply_was_recorded: "after:rotation_reply_lost", vec![FaultKind::CutAfter.everywhere()];
    dead_before_the_new_key_was_recorded: "before:rotation_done:2", vec![];
    dead_after_the_new_key_was_recorded: "after:rotation_done", vec![];
}
