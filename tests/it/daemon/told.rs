//! The real binary tells of its alerts, over restarts, and waits for nobody.

use rekeyd::simulator::{Simulator, SimulatorSpec};
use rekeyd::store::DATABASE;
use serde_json::Value;

use super::accounts::settled;
use super::site::{PATIENCE, Site, Wanted, until};
use crate::delivery::OnCall;

/// A webhook before `on_call`, and keys that are rotated every few seconds.
fn wanted(simulator: &Simulator, on_call: &OnCall) -> Wanted {
    let manager = format!(
        "policy = \"fast\"\n[policy.fast]\nevery = \"5s\"\nspread = \"0%\"\nfirst_rotation = \"now\"\n\
         confirm_within = \"4s\"\nmax_attempts = 100\n\
         [[webhook]]\nname = \"oncall\"\nurl = \"{}\"\nevery = \"1s\"\n",
        on_call.url("/hook/hunter2")
    );
    Wanted { manager, ..Wanted::of(simulator) }
}

/// The statuses in which a receiver was told that this target's rotation is overdue, in order.
fn told_overdue(on_call: &OnCall, target: &str) -> Vec<String> {
    let messages = on_call.taken();
    let alerts = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap().clone());
    let wanted =
        alerts.filter(|item| item["labels"]["alert"] == "rotation_overdue" && item["labels"]["target"] == target);
    wanted.map(|item| item["status"].as_str().unwrap().to_owned()).collect()
}

/// What began in one life of the daemon and ended between two is told to its end, and is on record.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_ended_while_the_daemon_was_dead_is_told() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let on_call = OnCall::start().await;
    let site = Site::new(&wanted(&simulator, &on_call));
    let target =
        format!("emea/{}", simulator.target("billing/ledger/ledger-0").expect("the default fleet has it").name);
    let overdue = || told_overdue(&on_call, &target);
    let daemon = site.start();
    tokio::task::block_in_place(|| {
        until("every key is known", || {
            site.reader()
                .fleet()
                .unwrap()
                .targets
                .values()
                .filter(|target| target.key.is_some())
                .count()
                .eq(&14)
                .then_some(())
        })
    })
    .unwrap();
    simulator.unplug().await;
    tokio::task::block_in_place(|| {
        until("the alert is told and on record", || {
            let fleet = site.reader().fleet().unwrap();
            let recorded = fleet
                .receivers
                .get("oncall")
                .is_some_and(|record| record.told.values().any(|told| told.name == target));
            (overdue().last().is_some_and(|status| status == "firing") && recorded).then_some(())
        })
    })
    .unwrap();
    let before = overdue().len();
    let log = daemon.kill();
    simulator.plug_in().await.unwrap();

    let daemon = site.start();
    tokio::task::block_in_place(|| {
        until("its end is told", || overdue().get(before).is_some_and(|status| status == "resolved").then_some(()))
    })
    .unwrap();
    let log = log + &daemon.stop();
    assert!(!log.contains("hunter2"), "the address is a secret: {log}");
    let history: Vec<Value> = site.json(&["check"]);
    let receiver = history.iter().find(|line| line["receiver"] == "oncall").expect("`check` names it");
    assert_eq!(receiver["form"], "webhook");
    assert!(!receiver.to_string().contains("hunter2"), "{receiver}");
    let verified = site.ask(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// Whoever has no Prometheus hears that somebody was at the ledger, and that no checkpoint can be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_does_not_hold_is_told() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let on_call = OnCall::start().await;
    let webhook = format!("[[webhook]]\nname = \"oncall\"\nurl = \"{}\"\nevery = \"1s\"\n", on_call.url("/hook"));
    let site = Site::new(&Wanted { manager: webhook, ..Wanted::of(&simulator) });
    let daemon = site.start();
    settled(&site, &simulator, 14);
    daemon.stop();
    let db = rusqlite::Connection::open(site.state().join(DATABASE)).unwrap();
    assert_eq!(db.execute("UPDATE rotation SET actor = 'nobody'", []).unwrap(), 14);
    drop(db);
    let checkpoints = site.state().join("checkpoints");
    std::fs::remove_file(&checkpoints).unwrap();
    std::fs::create_dir(&checkpoints).unwrap();

    let daemon = site.start();
    tokio::task::block_in_place(|| {
        until("it is told", || {
            let messages = on_call.taken();
            let mut alerts = messages.iter().flat_map(|message| message["alerts"].as_array().unwrap());
            let broken = |item: &Value| item["labels"]["alert"] == "ledger_broken" && item["status"] == "firing";
            alerts.any(broken).then_some(())
        })
    })
    .unwrap();
    let (_, alerts) = daemon.get("/api/v1/alerts").await;
    assert!(alerts.contains("\"checkpoint_behind\""), "{alerts}");
    daemon.stop();
    let status = site.ask(&["status"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    for said in [
        "critical The ledger does not hold or could not be checked",
        "warning No signed checkpoint can be written since",
    ] {
        assert!(status.out.contains(said), "{status:?}");
    }
}

/// A receiver that takes a message and never answers holds up nobody but itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_receiver_delays_no_rotation() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let broken = simulator.target("billing/ledger/ledger-0").expect("the default fleet has it").name;
    simulator.set_faults(vec![format!("unavailable@put:{broken}").parse().unwrap()]);
    let on_call = OnCall::start().await;
    on_call.answer(0);
    let site = Site::new(&wanted(&simulator, &on_call));
    let daemon = site.start();
    tokio::task::block_in_place(|| {
        until("the receiver holds a message", || (!on_call.requests().is_empty()).then_some(())).unwrap();
        let done = || simulator.truth().puts.len();
        let before = done();
        let began = std::time::Instant::now();
        until("three more rounds of rotations", || (done() > before + 3 * 13).then_some(())).unwrap();
        assert!(began.elapsed() < PATIENCE);
    });
    assert_eq!(on_call.taken().len(), 0);
    assert_eq!(daemon.get("/readyz").await.0, 200);
    daemon.stop();
}
