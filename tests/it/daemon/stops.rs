//! Signals: an asked-for end finishes what is in hand, parks what cannot be settled, and says so in the ledger.

use std::time::{Duration, Instant};

use rekeyd::domain::Event;
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec};

use super::accounts::{ledger, verified};
use super::site::{Site, Wanted, until};

/// The grace that rotations in hand have, and some time for a busy machine to end a process.
const DEADLINE: Duration = Duration::from_secs(25 + 15);

async fn simulator(fault: FaultKind) -> Simulator {
    let spec = SimulatorSpec {
        fleet: FleetSpec::uniform(100),
        timing: KeyTiming::After(Duration::from_millis(300)),
        faults: vec![fault.everywhere()],
        ..SimulatorSpec::default()
    };
    Simulator::start(spec).await.unwrap()
}

/// How many rotations the newest record says were parked; fails if it is not the record of a stop.
fn parked(site: &Site) -> u64 {
    match ledger(site).last().unwrap().event().unwrap() {
        Event::DaemonStopped { parked } => parked,
        other => panic!("the newest record is {other:?}"),
    }
}

fn open(site: &Site) -> usize {
    site.reader().fleet().unwrap().targets.values().filter(|target| target.rotation.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_finish_what_is_in_hand() {
    let simulator = simulator(FaultKind::Slow(Duration::from_millis(50))).await;
    let site = Site::new(&Wanted::of(&simulator));
    let mut before = 0;
    for signal in ["TERM", "INT"] {
        let daemon = site.start();
        until("rotations are in hand", || (simulator.truth().puts.len() > before + 4).then_some(())).unwrap();
        let asked = Instant::now();
        daemon.signal(signal);
        let (code, log) = daemon.ended();
        assert_eq!(code, Some(0), "{log}");
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        // Everything that was sent had time to be settled: nothing is left open.
        assert_eq!((parked(&site), open(&site)), (0, 0));
        let truth = simulator.truth();
        let done = site.json(&["history"]).iter().filter(|row| row["state"] == "done").count();
        assert_eq!((truth.puts.len(), truth.changes.len()), (done, done));
        assert!(done < simulator.targets().len(), "nothing was left to do when the signal came");
        verified(&site);
        before = done;
    }
}

/// The far end accepts and keeps the old keys: that may take its 15 minutes, and a stop does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_settled_in_time_is_parked() {
    let simulator = simulator(FaultKind::NeverChanges).await;
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    until("all places are taken", || (simulator.truth().puts.len() == 8).then_some(())).unwrap();
    let asked = Instant::now();
    daemon.signal("TERM");
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
    assert_eq!((parked(&site), open(&site)), (8, 8));
    assert_eq!(simulator.truth().puts.len(), 8, "nothing new begins after the signal");
}
