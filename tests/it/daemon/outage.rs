//! A manager that accepts connections and is of no use, under the real daemon: a few probes, and no rush afterwards; and a
//! proxy that blocks one target's path, which is that target's trouble alone.

use std::time::{Duration, Instant};

use rekeyd::domain::Event;
use rekeyd::simulator::{FleetSpec, Simulator, SimulatorSpec};

use super::accounts::{agree, all_settled, ledger};
use super::site::{Site, Wanted, until};

const TARGETS: usize = 200;
const MAX_CONCURRENT: usize = 8;
const OUTAGE: Duration = Duration::from_secs(20);

fn outages(site: &Site) -> usize {
    ledger(site).iter().filter(|record| matches!(record.event().unwrap(), Event::ManagerFailing { .. })).count()
}

async fn simulator(targets: usize) -> Simulator {
    Simulator::start(SimulatorSpec { fleet: FleetSpec::uniform(targets), ..SimulatorSpec::default() }).await.unwrap()
}

/// While rotations are due and keys are looked at every few seconds, every request meets this fault for a while.
async fn costs_a_few_probes(fault: &str) {
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted {
        max_concurrent: MAX_CONCURRENT,
        requests_per_second: 50,
        request_timeout: "1s",
        settle: "2s",
        policy: "observe_every = \"5s\"",
        ..Wanted::of(&simulator)
    });
    let daemon = site.start();
    until("it is at work", || (simulator.truth().changes.len() > TARGETS / 4).then_some(())).unwrap();
    let before = simulator.truth().requests.total;
    simulator.set_faults(vec![fault.parse().unwrap()]);
    std::thread::sleep(OUTAGE);
    let cost = simulator.truth().requests.total - before;
    println!("{OUTAGE:?} of {fault}: {cost} requests");
    // What is in hand meets it, looks and rotations; then a probe now and then. Each target costs a time-out otherwise.
    assert!(cost <= 60, "{cost} requests in {OUTAGE:?} of {fault}");
    assert_eq!(outages(&site), 1);
    let (status, health) = daemon.get("/healthz").await;
    assert!(status == 200 && health.contains("manager_failing"), "{health}");

    let (began, before) = (Instant::now(), simulator.truth().requests.total);
    simulator.set_faults(Vec::new());
    let mut fastest = 0.0_f64;
    let done = || site.reader().fleet().unwrap().targets.values().filter(|t| t.last_rotation_at.is_some()).count();
    until("every key has changed", || {
        let (seconds, requests) = (began.elapsed().as_secs_f64(), (simulator.truth().requests.total - before) as f64);
        // A second's worth may come at once.
        fastest = fastest.max(requests / (seconds + 1.0));
        (done() == TARGETS).then_some(())
    })
    .unwrap();
    // The challenge of a login counts here, and not in the limit.
    assert!(fastest <= 75.0, "{fastest} requests a second after the outage");
    let most = simulator.truth().max_concurrent_requests;
    // What was given up by its time-out may still be in hand there.
    assert!(most <= 2 * MAX_CONCURRENT as u32, "{most} at once");
    all_settled(&site, &simulator);
    daemon.stop();
    assert_eq!((outages(&site), agree(&site, &simulator.truth())), (1, TARGETS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_hangs_costs_a_few_probes() {
    costs_a_few_probes("hang@any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_cuts_every_connection_costs_a_few_probes() {
    costs_a_few_probes("cut-before@any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_blocks_one_path_does_not_make_the_manager_flap() {
    const TARGETS: usize = 20;
    let simulator = simulator(TARGETS).await;
    let blocked = simulator.targets()[7].clone();
    simulator.set_faults(vec![format!("unavailable-page@key:{}", blocked.id).parse().unwrap()]);
    let site = Site::new(&Wanted { policy: "observe_every = \"2s\"", ..Wanted::of(&simulator) });
    let daemon = site.start();
    until("the others are rotated", || (simulator.truth().changes.len() == TARGETS - 1).then_some(())).unwrap();
    // Long enough for many looks at each.
    let struck = |simulator: &Simulator| simulator.truth().requests.faults.values().sum::<u64>();
    let before = struck(&simulator);
    until("it was looked at again and again", || (struck(&simulator) >= before + 5).then_some(())).unwrap();
    let (_, health) = daemon.get("/healthz").await;
    daemon.stop();
    assert!(outages(&site) <= 1, "{} outages", outages(&site));
    assert!(!health.contains("manager_failing"), "{health}");
    assert!(site.reader().fleet().unwrap().managers.values().all(|manager| manager.outage.is_none()));
}

/// A manager that lists for us and refuses our address for keys alone is one outage, until a key is read.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_for_keys_alone_is_one_outage() {
    const TARGETS: usize = 4;
    let simulator = simulator(TARGETS).await;
    simulator.set_faults(vec!["address-refused@key".parse().unwrap()]);
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    let struck = || simulator.truth().requests.faults.values().sum::<u64>();
    // Each target may have met it once before it was known; what follows are probes.
    until("it was tried again and again", || (struck() >= TARGETS as u64 + 2).then_some(())).unwrap();
    let (_, health) = daemon.get("/healthz").await;
    assert!(health.contains("credentials_refused") && health.contains("the server saw the address"), "{health}");
    assert_eq!(outages(&site), 1);
    simulator.set_faults(Vec::new());
    all_settled(&site, &simulator);
    daemon.stop();
    assert_eq!((outages(&site), agree(&site, &simulator.truth())), (1, TARGETS));
}
